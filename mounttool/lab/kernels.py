"""Kernel nodes: user-mode Linux, for what the host's kernel may not have, such as an NFS client."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.lab.image import FILES
from mounttool.lab.network import mac
from mounttool.lab.shell import call, locked, remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from mounttool.lab.settings import Settings

MODULES = Path("/usr/lib/uml/modules")

MEMORY = "512M"

VOLUME_BYTES = 2**30
"""The blank second disk of each node, /dev/ubdb: what a volume of EBS is to an instance."""


def ensure_disk(settings: Settings, tree: Path, say: Callable[[str], None]) -> Path:
    """Build the disk that all kernel nodes share, each with a layer of its own, unless it is there."""
    script = FILES / "kernel-image.sh"
    versions = " ".join(sorted(path.name for path in MODULES.iterdir()))
    recipe = hashlib.sha256(f"{tree.name} {versions} {script.read_text()}".encode()).hexdigest()[:12]
    disk = settings.cache / f"kernel-{recipe}.ext4"
    with locked(settings.cache):
        if not disk.exists():
            say(f"building the kernel nodes' disk in {disk} (once; half a minute)")
            for stale in settings.cache.glob("kernel-*.unfinished*"):
                remove(stale)
            # A name of our own: what a killed `up` had started may still be writing to its.
            unfinished = disk.with_name(f"{disk.name}.unfinished{os.getpid()}")
            call(
                "unshare", "--mount", "--propagation", "private", "sh", script, tree, MODULES, unfinished, timeout_s=600
            )
            unfinished.rename(disk)
    return disk


def loop(settings: Settings, node: str, disk: Path) -> list[str]:
    """Return the command that boots a node from ``disk`` again and again."""
    address = settings.address(node)
    return [
        "sh",
        str(FILES / "kernel.sh"),
        str(settings.directory(node)),
        str(disk),
        f"{settings.name}/{node}",
        settings.switch,
        f"mem={MEMORY}",
        f"systemd.hostname={node}",
        f"vec0:transport=tap,ifname={node},depth=64,gro=1,mac={mac(address)}",
        f"lab.address={address}/{settings.subnet.prefixlen}",
    ]
