"""A typical configuration with known secrets, and the nodes of a mixed fleet."""

from __future__ import annotations

from pathlib import Path

from mounttool import config
from mounttool.backends.base import Backend
from mounttool.node import Node

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
