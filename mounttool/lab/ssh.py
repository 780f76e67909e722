"""Talking to nodes: as root, over one shared connection per node."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

from mounttool.errors import LabError
from mounttool.lab import keys
from mounttool.lab.settings import STORAGE
from mounttool.lab.shell import wait

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mounttool.lab.settings import Settings

LONGEST_SOCKET = 90
"""The kernel allows 107 bytes, and ssh adds 17 while it makes the socket."""


def write_config(settings: Settings, nodes: Sequence[str]) -> None:
    """Write the ``ssh_config`` and the ``known_hosts`` that it names: we made the nodes' keys."""
    known = settings.state / "ssh" / "known_hosts"
    hosts = [*nodes, STORAGE]
    _replace(
        known,
        "".join(
            f"{host},{settings.address(host)} {' '.join(_host_key(settings, host).split()[:2])}\n" for host in hosts
        ),
    )
    blocks = [f"Host {host}\n    HostName {settings.address(host)}\n    HostKeyAlias {host}\n" for host in hosts]
    common = {
        "User": "root",
        "IdentityFile": keys.ssh_key(settings),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "ServerAliveInterval": "5",
        "KexAlgorithms": "curve25519-sha256",  # OpenSSH's default costs each connection 0.2 s
    }
    blocks.append(f"Host {' '.join(hosts)}\n" + "".join(f"    {key} {value}\n" for key, value in common.items()))
    _replace(settings.ssh_config, "\n".join(blocks))


def execute(settings: Settings, node: str, command: str, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a node. Raises ``LabError`` when the node cannot be reached or does not answer in time."""
    done = _ssh(settings, node, "--", command, timeout_s=timeout_s)
    # 255 is ssh's own, or the command's: a node that lets us in tells which.
    if done.returncode == 255 and _ssh(settings, node, "--", "true", timeout_s=20).returncode == 255:
        said = (done.stderr.strip() or "no answer").splitlines()[-1]
        raise LabError(f"{node}: cannot be reached: {said}", hint="the lab's `status` shows which nodes run")
    return done


def answers(settings: Settings, node: str, *, timeout_s: float) -> bool:
    """Wait until a node lets root in. False when it never did."""
    return wait(lambda: _listens(settings.address(node)), timeout_s=timeout_s) and wait(
        lambda: _ssh(settings, node, "--", "true", timeout_s=20).returncode == 0, timeout_s=timeout_s, every_s=0.2
    )


def hang_up(settings: Settings, node: str) -> None:
    """End the shared connection, if there is one."""
    shared = _socket(settings, node)
    if shared.exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["ssh", "-F", str(settings.ssh_config), "-o", f"ControlPath={shared}", "-O", "exit", node],
                capture_output=True,
                timeout=10,
                check=False,
            )
        shared.unlink(missing_ok=True)


def _ssh(settings: Settings, node: str, *words: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    shared = _socket(settings, node)
    argv = ["ssh", "-F", str(settings.ssh_config)]
    short = len(str(shared)) < LONGEST_SOCKET
    if short and not shared.exists():
        # Started apart, and with none of our descriptors: as a by-product of a command it would keep that one's open.
        subprocess.run(
            [*argv, "-o", "ControlMaster=yes", "-o", f"ControlPath={shared}", "-f", "-N", node],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    argv += ["-o", f"ControlPath={shared if short else 'none'}", "-o", "ControlMaster=no", node, *words]
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{node}: no end after {timeout_s:.0f} s: {words[-1]}") from None


def _socket(settings: Settings, node: str) -> Path:
    return settings.state / "ssh" / f"{node}.socket"


def _listens(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _host_key(settings: Settings, node: str) -> str:
    return (settings.directory(node) / "host_key.pub").read_text()


def _replace(target: Path, content: str) -> None:
    """Write a file that others may be reading."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.write_text(content)
    fresh.chmod(0o644)
    fresh.rename(target)
