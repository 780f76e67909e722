"""The lab's own keys and passwords, fresh for every lab: they exist in its state folder and on its nodes only."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mounttool.lab.shell import call

if TYPE_CHECKING:
    from pathlib import Path

    from mounttool.lab.settings import Settings

SECRETS = ("redis", "mariadb", "postgres", "s3_access_key", "s3_secret_key", "opspw")
"""One file each in the state folder's ``secrets``; ``opspw`` is that user's password for sudo."""


def ensure(settings: Settings) -> None:
    """Make what is missing: a killed run may have left half of it."""
    settings.secrets.mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        if not (settings.secrets / name).exists():
            write_private(settings.secrets / name, secrets.token_urlsafe(24).encode())
    key = ssh_key(settings)
    key.parent.mkdir(mode=0o700, exist_ok=True)
    if not key.with_suffix(".pub").exists():
        key.unlink(missing_ok=True)
        make_ssh_key(key, settings.name)


def read(settings: Settings) -> dict[str, str]:
    """Read all secrets, by name."""
    return {name: (settings.secrets / name).read_text() for name in SECRETS}


def ssh_key(settings: Settings) -> Path:
    """Name the private key that every user of every node lets in."""
    return settings.state / "ssh" / "id_ed25519"


def make_ssh_key(target: Path, comment: str) -> str:
    """Make a key pair and return its public half."""
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", target)
    return target.with_name(f"{target.name}.pub").read_text()


def write_private(target: Path, content: bytes) -> None:
    """Write what only root may read, under its name only once it is whole: a killed writer leaves no empty key."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.rename(target)
