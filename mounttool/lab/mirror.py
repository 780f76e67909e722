"""What the lab's mirror serves: JuiceFS's release archive, laid out as upstream's, from the ``lab`` extra's binary."""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from mounttool.lab.preflight import BINARIES, binary
from mounttool.lab.shell import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mounttool.lab.settings import Settings


@dataclass(frozen=True, slots=True)
class Release:
    """The archive that the mirror has. ``arch`` is Go's name for it, as in upstream's file names."""

    version: str
    arch: str
    sha256: str


def folder(settings: Settings) -> Path:
    """Where the mirror's files are on the host; nodes see them through HTTP only."""
    return settings.cache / "mirror"


def ensure(settings: Settings, say: Callable[[str], None]) -> Release:
    """Pack the archive unless it is there; its checksum lies beside it."""
    source = binary("juicefs")
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    number = version(BINARIES["juicefs"])
    archive = folder(settings) / f"juicefs-{number}-linux-{arch}.tar.gz"
    checksum = archive.with_name(f"{archive.name}.sha256")
    with locked(folder(settings)):
        if not checksum.exists():
            say(f"packing {archive.name} for the lab's mirror")
            sha256 = _pack(source, archive)
            checksum.write_text(f"{sha256}  {archive.name}\n")
    return Release(number, arch, checksum.read_text().split()[0])


def _pack(source: Path, archive: Path) -> str:
    """Pack the same bytes into the same archive: no time, no owner. Returns its SHA-256.

    Level 1: the archive never leaves this machine, and 9 takes ten times as long.
    """
    unfinished = archive.with_suffix(".unfinished")
    with (
        unfinished.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
        source.open("rb") as content,
    ):
        member = tarfile.TarInfo("juicefs")
        member.size = os.fstat(content.fileno()).st_size
        member.mode = 0o755
        tar.addfile(member, content)
    with unfinished.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    unfinished.rename(archive)
    return sha256
