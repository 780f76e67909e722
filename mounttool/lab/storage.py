"""The storage node: the same image, and the services that it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mounttool.lab import keys
from mounttool.lab.image import FILES
from mounttool.lab.settings import STORAGE, STORAGE_TLS

if TYPE_CHECKING:
    from pathlib import Path

    from mounttool.lab.settings import Settings

BUCKET = "mtlab"


@dataclass(frozen=True, slots=True)
class Service:
    """A storage service. ``endpoint`` is as nodes reach it; ``unit`` is what to stop or kill on ``storage``."""

    name: str
    endpoint: str
    unit: str


SERVICES = (
    Service("redis", f"redis://{STORAGE}:6379", "redis-server.service"),
    Service("redis-tls", f"rediss://{STORAGE}:6380", "redis-server.service"),
    Service("mariadb", f"mysql://ops@{STORAGE}:3306", "mariadb.service"),
    Service("postgres", f"postgres://ops@{STORAGE}:5432", "postgresql@17-main.service"),
    Service("s3", f"http://{STORAGE}:8333/{BUCKET}", "seaweedfs.service"),
    Service("nfs", f"nfs4://{STORAGE}:2049", "nfs-ganesha.service"),
    Service("nfs-tls", f"nfs4+tls://{STORAGE_TLS}:2049", "nfs-tls.service"),
    Service("mirror", f"http://{STORAGE}:8080", "mirror.service"),
)
"""All that files/storage/etc/lab/probe.sh asks, by the same names."""

OWNERS = {
    "etc/redis/redis.conf": ("redis", 0o640),
    "etc/lab/mariadb.sql": ("mysql", 0o640),
    "etc/lab/postgres.sql": ("postgres", 0o640),
    "etc/lab/s3.json": ("", 0o600),
    "etc/lab/s3-curl.conf": ("", 0o600),
    "etc/lab/redis-password": ("", 0o600),
    "etc/lab/mariadb-password": ("", 0o600),
    "etc/lab/postgres-password": ("", 0o600),
}
"""Files that hold a secret: the group that may read them besides root, and the mode. All others are for everybody."""


def fill_storage(settings: Settings, image: Path, upper: Path) -> None:
    """Copy files/storage into the node's layer, its ``@names@`` filled in, and the lab's certificate."""
    values = {
        "address": settings.address(STORAGE),
        "tls_address": settings.address(STORAGE_TLS),
        "subnet": str(settings.subnet),
        "bucket": BUCKET,
    }
    values |= keys.read(settings)
    groups = _groups(image)
    tree = FILES / "storage"
    for source in sorted(path for path in tree.rglob("*") if path.is_file()):
        content = source.read_text()
        for name, value in values.items():
            content = content.replace(f"@{name}@", value)
        inside = str(source.relative_to(tree))
        group, mode = OWNERS.get(inside, ("", 0o644))
        _install(upper / inside, content, groups.get(group, 0), mode)
    for name in ("ca.crt", "server.crt"):
        _install(upper / "etc/lab/tls" / name, (settings.state / "tls" / name).read_text(), 0, 0o644)
    _install(
        upper / "etc/lab/tls/server.key", (settings.state / "tls/server.key").read_text(), groups["ssl-cert"], 0o640
    )
    (upper / "etc/systemd/system/redis.service").symlink_to("/usr/lib/systemd/system/redis-server.service")
    (upper / "srv/s3").mkdir(parents=True)
    (upper / "srv/mirror").mkdir()
    (upper / "srv/nfs").mkdir()


def _install(target: Path, content: str, group: int, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    target.write_text(content)
    os.chown(target, 0, group)
    target.chmod(mode)


def _groups(image: Path) -> dict[str, int]:
    """Read the image's group numbers, which are not the host's."""
    entries = (line.split(":") for line in (image / "etc/group").read_text().splitlines())
    return {entry[0]: int(entry[2]) for entry in entries}
