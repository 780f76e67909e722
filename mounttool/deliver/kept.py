"""Connections that stay open for the next command: OpenSSH's own sharing (ControlPersist).

A login costs a node and this machine more than all that a command with nothing to do does. Each connection has a socket
that only this user can reach. Where ssh_config itself says how connections are shared, that holds and nothing is kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import subprocess
import tempfile
from pathlib import Path

from mounttool import inventory
from mounttool.config import Fleet
from mounttool.deliver import openssh
from mounttool.errors import InputError

#: A socket's path has at most 103 characters (macOS); ssh first makes it with 17 more.
_LONGEST_PATH = 86
_SHARING = {"controlmaster", "controlpath", "controlpersist"}
_SYSTEM_CONFIG = "/etc/ssh/ssh_config"


def socket(host: str, fleet: Fleet) -> Path | None:
    """Return where the connection to ``host`` is kept, or None when it is not; it may not be there yet.

    The name stands for all that chooses and checks the connection: with another key, user or known_hosts it is another.
    """
    folder = _folder()
    configs = (fleet.ssh_config,) if fleet.ssh_config else ("~/.ssh/config", _SYSTEM_CONFIG)
    if not fleet.keep_connections_s or not folder or any(map(_shares, configs)):
        return None
    way = (host, fleet.user, fleet.port, fleet.key, fleet.jump, fleet.known_hosts, fleet.host_keys)
    name = hashlib.sha256(repr((way, *map(_changed, configs))).encode()).hexdigest()[:20]
    path = folder / name
    return path if len(str(path)) <= _LONGEST_PATH else None


def forget(path: Path) -> None:
    """Let nothing more go over the connection that is kept there; the next one is another.

    It ends when what goes over it now has ended: that may be another command's.
    """
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        order = openssh.order(path, "stop")
        subprocess.run(order, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)
    path.unlink(missing_ok=True)


@functools.cache
def _folder() -> Path | None:
    """The folder of the sockets, which is this user's alone; None when there can be none."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "mounttool") if runtime else Path(tempfile.gettempdir(), f"mounttool-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    # Somebody else's folder of that name in /tmp would give them our connections.
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if private else None


@functools.cache
def _shares(config: str) -> bool:
    try:
        return any(keyword in _SHARING for keyword, _ in inventory.ssh_config(Path(config).expanduser(), config))
    except InputError:
        # It is not there, or ssh will say what is wrong with it.
        return False


def _changed(config: str) -> tuple[int, int]:
    """What tells a file from what it was before: a name may have another address since."""
    try:
        found = Path(config).expanduser().stat()
    except OSError:
        return 0, 0
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else (0, 0)
