"""A package of mount-s3, made here and signed by a key made here: what AWS' own is to a user."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SignedPackage:
    """The files of a release, by their path below its address, and the key's fingerprint."""

    files: dict[str, bytes]
    fingerprint: str

    @property
    def deb(self) -> str:
        return next(name for name in self.files if name.endswith(".deb"))


def make(folder: Path, program: Path) -> SignedPackage:
    """Build and sign it in ``folder``."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    version = version.partition("-")[0]
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/mount-s3").write_bytes(program.read_bytes())
    (tree / "usr/bin/mount-s3").chmod(0o755)
    control = f"Package: mount-s3\nVersion: {version}\nArchitecture: amd64\nMaintainer: Lab <lab@example.com>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: Mountpoint for Amazon S3\n")
    deb = folder / f"mount-s3-{version}-x86_64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, deb], check=True, capture_output=True
    )
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    environment = {**os.environ, "GNUPGHOME": str(home)}

    def run(*arguments: str) -> bytes:
        return subprocess.run([*gpg, *arguments], env=environment, check=True, capture_output=True).stdout

    try:
        run("--quick-generate-key", "lab@example.com", "ed25519", "sign", "never")
        listed = run("--with-colons", "--fingerprint", "lab@example.com").decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        signature = run("--armor", "--detach-sign", "--output", "-", str(deb))
        keys = run("--armor", "--export", "lab@example.com")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
    below = f"{version}/x86_64/{deb.name}"
    files = {below: deb.read_bytes(), f"{below}.asc": signature, "public_keys/KEYS": keys}
    return SignedPackage(files, fingerprint)
