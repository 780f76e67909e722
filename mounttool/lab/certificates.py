"""The lab's own certificate authority, and the certificate of its storage node."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mounttool.lab import keys
from mounttool.lab.settings import STORAGE, STORAGE_TLS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mounttool.lab.settings import Settings


def ensure(settings: Settings) -> None:
    """Make what is missing."""
    if not (settings.state / "tls" / "server.crt").exists():
        make(settings.state / "tls", [settings.address(name) for name in (STORAGE, STORAGE_TLS)])


def make(folder: Path, addresses: Sequence[str]) -> None:
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
    keys.write_private(folder / "server.key", server_key.private_bytes(*form))
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
