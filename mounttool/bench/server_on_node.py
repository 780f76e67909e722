"""fio's server on a node, there for as long as its caller: one program for Python 3.6 and newer, and fio.

It is sent over a connection that is open already, reads one order as a line of JSON, and tells in another where the
server's socket is. At the next line, at the end of the connection, or when its time is over, the server goes, with all
that it has started and its directory; a last line says what was told last.

Whoever reaches the socket is root here, for a job can name a program to run, and nobody is asked for a password. fio
lets everybody open the socket; so it lies in a directory that only root and the user who is logged in may enter.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List

START_S = 10
#: How long what was told to end may take for it.
END_S = 5
SHORT_S = 0.05


def main(line: bytes) -> None:
    order = json.loads(line)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    folder = private_directory()
    said = []  # type: List[str]
    try:
        said = serve(order, folder)
    except OSError as error:
        said = ["fio: {}".format(error.strerror)]
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end(mark(folder))
        shutil.rmtree(folder, ignore_errors=True)
        tell(event="end", said=said)


def private_directory() -> str:
    """Return a new one, short enough for a socket's name, and gone with the next boot."""
    above = "/run" if os.access("/run", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="mounttool-fio-", dir=above)
    if "SUDO_UID" in os.environ:
        # sshd forwards sockets as the user.
        os.chown(folder, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    return folder


def serve(order: Dict[str, Any], folder: str) -> List[str]:
    """Let fio serve until the caller says something, or nothing any more; return what it said last."""
    path, log = os.path.join(folder, "fio.sock"), os.path.join(folder, "log")
    name, _, value = mark(folder).partition("=")
    with open(log, "wb") as file:
        server = subprocess.Popen(
            ["fio", "--server=sock:" + path],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(os.environ, MOUNTTOOL_BENCH=order["directory"], **{name: value}),
        )
    if listens(path, server):
        tell(event="ready", socket=path, folder=folder)
        select.select([0], [], [], order["limit_s"])
    ended = [] if server.poll() is None else ["fio ended with status {}".format(server.returncode)]
    with open(log, "rb") as file:
        return (file.read().decode(errors="replace").splitlines() + ended)[-10:]


def listens(path: str, server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server takes connections, within a moment."""
    until = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
            caller.connect(path)
            return True
        time.sleep(SHORT_S)
    return False


def mark(folder: str) -> str:
    """What stands in the environment of the server and of all that it starts, which leaves its session and group."""
    return "MOUNTTOOL_FIO_SERVER=" + folder


def end(marked: str) -> None:
    """End every process that has this in its environment: asked first, so that ranks end before what started them."""
    until = time.monotonic() + END_S
    number = signal.SIGTERM
    while True:
        found = processes(marked)
        if not found or number == signal.SIGKILL:
            return
        if time.monotonic() >= until:
            number = signal.SIGKILL
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        time.sleep(SHORT_S)


def processes(marked: str) -> List[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/{}/environ".format(name), "rb") as file:
            if marked.encode() in file.read().split(b"\0"):
                found.append(int(name))
    return found


def tell(**event: Any) -> None:
    # Nobody may be there any more to hear it.
    with contextlib.suppress(OSError):
        print(json.dumps(event), flush=True)
