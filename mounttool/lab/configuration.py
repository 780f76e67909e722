"""The ``mounttool.toml`` that points mounttool at the lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.lab.settings import STORAGE_TLS
from mounttool.lab.storage import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mounttool.lab.mirror import Release
    from mounttool.lab.settings import Settings

MARKER = "# Written by the mounttool lab; lab.down removes it."

TEMPLATE = """\
{marker}

[fleet]
hosts = {hosts}
user = "ops"
sudo = true
ssh_config = "{state}/ssh_config"
deadline_s = 120

[mount.checkpoints]
backend = "juicefs"
mount_point = "/mnt/jfs"
link = "/mmc-checkpoint"
directory = "mmc-checkpoint"
mode = "0777"
role = "checkpoint"
profile = "checkpoint"
volume = "mtlab-checkpoints"
metadata = "redis://storage:6379/1"
metadata_password = "file:{state}/secrets/redis"
bucket = "http://storage:8333/{bucket}"
access_key = "file:{state}/secrets/s3_access_key"
secret_key = "file:{state}/secrets/s3_secret_key"

[mount.checkpoints.release]
version = "{release.version}"
url = "http://storage:8080/juicefs-{{version}}-linux-{{arch}}.tar.gz"
sha256 = {{ {release.arch} = "{release.sha256}" }}
"""


KERNEL_TEMPLATE = """\
{marker}
# Nodes with a kernel of their own, which has an NFS client; "none" is NFS without amazon-efs-utils.

[fleet]
hosts = {hosts}
user = "ops"
sudo = true
ssh_config = "{state}/ssh_config"
deadline_s = 180

[mount.shared]
backend = "efs"
helper = "none"
file_system = "fs-0123456789abcdef0"
mount_target = "{server}"
ca = "{state}/tls/ca.crt"
mount_point = "/mnt/efs"
link = "/mmc-checkpoint"
directory = "mmc-checkpoint"
mode = "0777"
"""


def render_kernel(settings: Settings, nodes: Sequence[str]) -> str:
    """Fill the kernel nodes' template in."""
    return KERNEL_TEMPLATE.format(
        marker=MARKER, hosts=json.dumps(list(nodes)), state=settings.state, server=STORAGE_TLS
    )


def render(settings: Settings, nodes: Sequence[str], release: Release) -> str:
    """Fill the template in."""
    return TEMPLATE.format(
        marker=MARKER, hosts=json.dumps(list(nodes)), state=settings.state, bucket=BUCKET, release=release
    )


def write(folder: Path, content: str, say: Callable[[str], None], *, name: str = "mounttool.toml") -> Path:
    """Write ``mounttool.toml`` into a folder; beside one that is somebody's own, ``mounttool.lab.toml``."""
    target = folder / name
    if target.exists() and not is_ours(target):
        target = target.with_suffix(".lab.toml")
        say(f"{folder / name} is yours and stays as it is; the lab's is {target}")
    target.write_text(content)
    return target


def is_ours(target: Path) -> bool:
    """Whether the lab wrote the file."""
    return target.is_file() and target.read_text(errors="replace").startswith(MARKER)


def delete(targets: Sequence[Path]) -> None:
    """Delete those of the files that the lab wrote."""
    for target in targets:
        if is_ours(target):
            target.unlink()
