"""fio's client/server mode: ranks on several nodes that one client lets begin, once every node has its job.

fio's servers ask nobody for a password, and a job may name a program to run: a port of theirs would be a root shell for
the whole network. So there is no port. Each server has a Unix socket that only the login user can reach, and OpenSSH
carries what the client, on the first node, and the servers on the others say to each other: jobs and statistics, no
data.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mounttool.bench.fio import parse
from mounttool.bench.node import Workplace
from mounttool.errors import HostError, ResultsError, StepError
from mounttool.session import Completed, Conversation

_PROGRAM = (Path(__file__).parent / "server_on_node.py").read_text(encoding="utf-8")
#: As the conversation leaves it, descriptor 0 is the program's.
_MAIN = "\nmain(open(0, 'rb', 0, closefd=False).readline())\n"
_START_S = 30.0
_END_S = 15.0
_STEP, _SERVER = "fio", "fio --server"
_MOST_LINES = 10


class _Server:
    """fio's server on one node, as long as the conversation goes on. ``address`` is where the client finds it."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.socket = self.folder = self.address = ""
        self.said: tuple[str, ...] = ()
        self._talk: Conversation | None = None

    def start(self) -> None:
        """Start it, and return when it can be reached on its node.

        Raises:
            StepError: it did not start.
            HostError: the node does not answer.

        """
        self._talk = self.place.session.converse(_PROGRAM + _MAIN)
        # Longer than the client's limit, which ends with a message.
        order = {"directory": self.place.directory, "limit_s": self.place.timeout_s + _END_S}
        self._talk.send(json.dumps(order))
        told = _heard(self._talk, _START_S)
        if told["event"] != "ready":
            raise StepError(self.place.host, _STEP, _SERVER, tuple(told["said"]) or ("it does not start",))
        self.socket = self.address = told["socket"]
        self.folder = told["folder"]

    def ask_to_end(self) -> None:
        if self._talk:
            with contextlib.suppress(HostError):
                self._talk.send("end")

    def end(self) -> None:
        """Wait for a while until it has ended, and close the conversation, without which it ends, too."""
        if self._talk:
            with contextlib.suppress(HostError):
                self.said = tuple(_heard(self._talk, _END_S).get("said", ()))
            self._talk.close()


def _heard(talk: Conversation, limit_s: float) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(talk.receive(time.monotonic() + limit_s))
    return told


def run(places: Sequence[Workplace], jobs: Sequence[str]) -> tuple[str, Mapping[str, str]]:
    """Let each place run its job, all at once; return what the client printed, and each host's name in it.

    The client runs on the first place's node.

    Raises:
        StepError: fio, or its server on a node, failed.
        HostError: a node does not answer, or lets no sockets be forwarded.

    """
    with _started(places) as servers:
        by_socket = {server.address: job for server, job in zip(servers, jobs, strict=True)}
        done = places[0].fio_client(by_socket, servers[0].folder)
    _check(done, servers)
    return done.stdout, {server.place.host: server.address for server in servers}


@contextlib.contextmanager
def _started(places: Sequence[Workplace]) -> Iterator[Sequence[_Server]]:
    """Start a server on each node, and let all of them be reached from the first one, by way of this machine."""
    servers = [_Server(place) for place in places]
    first, *others = servers
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mounttool-")))
        stack.callback(_end, servers)
        _all([server.start for server in servers])
        relays = {f"{first.folder}/{number}.sock": str(here / str(number)) for number in range(len(others))}

        def fetch(server: _Server, path: str) -> None:
            stack.enter_context(server.place.session.forward(local={path: server.socket}, remote={}))

        _all([functools.partial(fetch, *one) for one in zip(others, relays.values(), strict=True)])
        stack.enter_context(first.place.session.forward(local={}, remote=relays))
        for server, address in zip(others, relays, strict=True):
            server.address = address
        yield servers


def _all(calls: Sequence[Callable[[], None]]) -> None:
    """Make the calls at once; when all have ended, the first error is raised."""
    with ThreadPoolExecutor(max(1, len(calls))) as pool:
        futures = [pool.submit(call) for call in calls]
    for future in futures:
        future.result()


def _end(servers: Sequence[_Server]) -> None:
    for server in servers:
        server.ask_to_end()
    for server in servers:
        server.end()


def _check(done: Completed, servers: Sequence[_Server]) -> None:
    """Raise what went wrong, and where: the client's status says too little, 0 when a server was not there at all."""
    said = tuple(done.stderr.splitlines()) + tuple(line for line in done.stdout.splitlines() if "> fio: " in line)
    try:
        jobs = parse(done.stdout).jobs
    except ResultsError:
        # A server that cannot read its job leaves without a word, and the client dies of writing to it.
        lines = (*said, f"its client ended with status {done.returncode} and no results")
        raise StepError(servers[0].place.host, _STEP, _STEP, lines[-_MOST_LINES:]) from None
    for server in servers:
        of_node = [job for job in jobs if job.hostname == server.address]
        host = server.place.host
        if not of_node:
            lines = (*said, *server.said, "its server or the connection was lost before it had told its results")
            raise StepError(host, _STEP, _SERVER, lines[-_MOST_LINES:])
        if errors := [job.error for job in of_node if job.error]:
            raise StepError(host, _STEP, _STEP, (*said, f"fio: {os.strerror(errors[0])}")[-_MOST_LINES:])
    if done.returncode != 0:
        lines = said or (f"exit status {done.returncode}",)
        raise StepError(servers[0].place.host, _STEP, _STEP, lines[-_MOST_LINES:])
