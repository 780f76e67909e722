"""Unix sockets here and on a node, joined by an SSH connection that is open already."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mounttool.deliver import openssh
from mounttool.deliver.shell import EndedError, Shell
from mounttool.errors import HostError

_HINT = "its sshd must allow that: AllowStreamLocalForwarding yes"
#: ssh hears that a call is not taken before it hears the shell, and hangs up right then.
_HANG_UP_S = 0.2


def join(
    host: str, shell: Shell, control: Path, *, local: Mapping[str, str], remote: Mapping[str, str], limit_s: float
) -> None:
    """Join the sockets of `mounttool.session.Session.forward` by the connection of ``shell``.

    ``control`` is the socket by which that connection takes orders; each of them may take ``limit_s``.

    Raises:
        HostError: the node does not allow it, or the connection broke.

    """
    try:
        _add(openssh.forwarding(control, local, remote), limit_s)
        for path in local:
            _call(path, shell, limit_s)
    except (EndedError, OSError, subprocess.SubprocessError) as error:
        why = " ".join(openssh.without_chatter(str(error)).split())
        raise HostError(host, "run", f"sockets cannot be forwarded: {why}", hint=_HINT) from None


def _add(argv: Sequence[str], limit_s: float) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise OSError((done.stderr.strip().splitlines() or ["ssh ended without a word"])[-1].strip())


def _call(path: str, shell: Shell, limit_s: float) -> None:
    """Look whether a call gets through, for sshd refuses it only then: raise when it is hung up on."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)
        # The answer of the shell comes after that to the call.
        shell.run("true", time.monotonic() + limit_s)
        caller.settimeout(_HANG_UP_S)
        try:
            hung_up = not caller.recv(1)
        except TimeoutError:
            return
        if hung_up:
            raise OSError("a call to the socket there does not get through")
