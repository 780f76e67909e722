"""A typical configuration with known secrets, and the nodes of a mixed fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import systemd_readers

from mounttool import config
from mounttool.backends.base import Backend
from mounttool.errors import ConfigError
from mounttool.node import Node
from mounttool.plan import Package, Plan, Unit

SECRETS = {
    "EXAMPLE_META_PASSWORD": "meta-hunter2-Tr0ub4dor",
    "EXAMPLE_S3_KEY": "AKIAINVENTEDKEY00001",
    "EXAMPLE_S3_SECRET": "s3-wJalrXUtnFEMI-invented",
    "EXAMPLE_SUDO": "sudo-correct-horse",
}

FLEET = """
[fleet]
hosts = ["node1", "node2"]
user = "ops"
sudo = true
sudo_password = "env:EXAMPLE_SUDO"
"""

MOUNT = """
[mount.checkpoints]
backend = "juicefs"
mount_point = "/mnt/jfs"
link = "/mmc-checkpoint"
directory = "mmc-checkpoint"
mode = "0777"
profile = "checkpoint"
consumers = ["docker.service"]
volume = "checkpoints"
metadata = "rediss://cache.example.com:6379/1"
metadata_password = "env:EXAMPLE_META_PASSWORD"
bucket = "https://checkpoints.s3.us-east-1.amazonaws.com"
access_key = "env:EXAMPLE_S3_KEY"
secret_key = "env:EXAMPLE_S3_SECRET"
"""

TYPICAL = FLEET + MOUNT

GIB = 2**30


def _node(distribution: str, version: str, family: str, architecture: str) -> Node:
    return Node(distribution, version, family, architecture, "6.1.0", "node1", 4, 16 * GIB)


NODES = {
    f"{name}-{architecture}": _node(distribution, version, family, architecture)
    for architecture in ("amd64", "arm64")
    for name, distribution, version, family in (
        ("debian12", "debian", "12", "debian"),
        ("ubuntu2404", "ubuntu", "24.04", "debian"),
        ("al2", "amzn", "2", "rhel"),
        ("al2023", "amzn", "2023", "rhel"),
        ("rhel9", "rhel", "9.4", "rhel"),
    )
}


def mounts(text: str = TYPICAL, file: str | Path = "mounttool.toml") -> tuple[Backend, ...]:
    return config.parse(text, str(file)).mounts


def mount(text: str = TYPICAL, **changed: str) -> Backend:
    """The example's mount; ``changed`` are keys with new values in TOML."""
    lines = text.splitlines()
    for key, value in changed.items():
        lines = [line for line in lines if not line.startswith(f"{key} =")]
        lines.append(f"{key} = {value}")
    return mounts("\n".join(lines))[0]


#: What each storage needs at least.
LEAST: Mapping[str, Mapping[str, Any]] = {
    "ebs": {"volume": "vol-0123456789abcdef0"},
    "efs": {"file_system": "fs-0123456789abcdef0"},
    "fsx_lustre": {"file_system": "fs-0123456789abcdef0", "mount_name": "abcdefgh", "region": "us-east-1"},
    "juicefs": {"volume": "data", "metadata": "redis://r/1", "bucket": "http://s:1/b"},
    "local": {"path": "/var/scratch"},
    "mountpoint_s3": {"bucket": "my-data"},
    "s3files": {"file_system": "fs-0123456789abcdef0"},
}


def declared(kind: str, **keys: Any) -> Backend:
    """A mount of a kind with the least keys; ``keys`` are added, and those that are None left out."""
    table = {"mount_point": "/mnt/data", **LEAST[kind], **keys}
    table = {key: value for key, value in table.items() if value is not None}
    return config.declare("data", {"backend": kind, **table}, "mounttool.toml")


def refusal(kind: str, **keys: Any) -> str:
    """What is said of such a mount, which must be refused in one line that names the file."""
    try:
        found = declared(kind, **keys)
    except ConfigError as error:
        said = str(error)
        assert said.startswith("mounttool.toml: mount.data")
        assert "\n" not in said
        return said
    raise AssertionError(f"not refused: {found}")


def refused_together(text: str) -> str:
    """What is said of a whole configuration that must be refused."""
    try:
        found = mounts(text)
    except ConfigError as error:
        return str(error)
    raise AssertionError(f"not refused: {found}")


def packages(plan: Plan) -> list[str]:
    """The names of all packages that a plan asks for, in order."""
    return [name for step in plan.steps if isinstance(step, Package) for name in step.names]


def unit(plan: Plan, name: str) -> dict[str, list[str]]:
    """The settings of a plan's unit as systemd reads those without quoting: specifiers expanded."""
    (content,) = [step.content for step in plan.steps if isinstance(step, Unit) and step.name == name]
    found: dict[str, list[str]] = {}
    for _, key, value in systemd_readers.settings(content):
        found.setdefault(key, []).append(value if key.startswith("Exec") else systemd_readers._specifiers(value))
    return found
