"""The lab's own keys and passwords, fresh for every lab: they exist in its state folder and on its nodes only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mounttool.lab.settings import STORAGE, STORAGE_TLS
from mounttool.lab.shell import call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mounttool.lab.settings import Settings

SECRETS = ("redis", "mariadb", "postgres", "s3_access_key", "s3_secret_key", "opspw")
"""One file each in the state folder's ``secrets``; ``opspw`` is that user's password for sudo."""


def ensure(settings: Settings) -> None:
    """Make what is missing: a killed run may have left half of it."""
    settings.secrets.mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        if not (settings.secrets / name).exists():
            _write(settings.secrets / name, secrets.token_urlsafe(24).encode())
    key = ssh_key(settings)
    key.parent.mkdir(mode=0o700, exist_ok=True)
    if not key.with_suffix(".pub").exists():
        key.unlink(missing_ok=True)
        make_ssh_key(key, settings.name)
    if not (settings.state / "tls" / "server.crt").exists():
        make_certificates(settings.state / "tls", [settings.address(name) for name in (STORAGE, STORAGE_TLS)])


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


def make_certificates(folder: Path, addresses: Sequence[str]) -> None:
    """Make an authority (``ca.crt``) and, signed by it, ``server.crt`` and ``server.key`` for the storage node."""
    folder.mkdir(mode=0o755, exist_ok=True)
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mounttool lab CA")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, STORAGE)])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in (STORAGE, STORAGE_TLS, "lab.test", "localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    ca = (
        _certificate(authority, authority, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _certificate(authority, server, server_key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder / "server.key", server_key.private_bytes(*form))
    (folder / "ca.crt").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
    )


def _write(target: Path, content: bytes) -> None:
    """Write what only root may read, under its name only once it is whole: a killed writer leaves no empty key."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.rename(target)
