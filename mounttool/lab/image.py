"""The image that all nodes boot from: a Debian tree, made once per recipe and never written to again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.errors import LabError
from mounttool.lab.shell import call, locked, remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from mounttool.lab.settings import Settings

SUITE = "trixie"
"""Not bookworm: its CRIU cannot dump under kernels from 6.13 on."""

FILES = Path(__file__).parent / "files"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def packages() -> list[str]:
    """Read files/packages.txt."""
    lines = (FILES / "packages.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def path(settings: Settings) -> Path:
    """Where the image of the present recipe is, or will be."""
    recipe = "\n".join([SUITE, *packages(), (FILES / "customize.sh").read_text()])
    return settings.cache / f"image-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(settings: Settings, say: Callable[[str], None]) -> Path:
    """Build the image unless it is there. Two builders do not collide, and a killed one leaves nothing that is used."""
    image = path(settings)
    with locked(settings.cache):
        if not image.exists():
            if platform.freedesktop_os_release().get("ID") != "debian" and not KEYRING.exists():
                raise LabError("the nodes are Debian machines: apt install debian-archive-keyring")
            say(f"building the image in {image} (once; about a minute)")
            unfinished = image.with_name(f"{image.name}.unfinished")
            remove(unfinished)
            call(*_mmdebstrap(unfinished), timeout_s=1800)
            unfinished.rename(image)
    return image


def remove_all(settings: Settings) -> None:
    """Delete the cache. Raises ``LabError`` while a node of any lab runs from it: files/node.sh holds a lock."""
    made = [*settings.cache.glob("image-*"), *settings.cache.glob("kernel-*")]
    for image in made:
        descriptor = os.open(image, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"{image}: nodes of another lab run from it", hint="take that lab down first") from None
        finally:
            os.close(descriptor)
    for image in [*made, settings.cache / "mirror"]:
        remove(image)
    if settings.cache.exists() and not any(settings.cache.iterdir()):
        settings.cache.rmdir()


def _mmdebstrap(target: Path) -> list[str]:
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(packages())}",
        f'--customize-hook=sh {shlex.quote(str(FILES / "customize.sh"))} "$1"',
        SUITE,
        str(target),
        *_mirror(),
    ]


def _mirror() -> list[str]:
    """Name the mirror that this host itself uses, when it is a Debian; else leave it to mmdebstrap."""
    system = platform.freedesktop_os_release()
    if system.get("ID") != "debian":
        return []
    sources = call("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    wanted = [
        line.split()[2] for line in sources.splitlines() if line.startswith(f"{system.get('VERSION_CODENAME')} main ")
    ]
    return wanted[:1]
