"""A session: one open way to one node, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """What a script did: its exit status and all that it printed."""

    returncode: int
    stdout: str
    stderr: str


class Conversation(Protocol):
    """A Python program on a node, and lines between it and its caller. Closing it ends the program."""

    def send(self, line: str) -> None:
        """Give the program a line on its standard input.

        Raises:
            HostError: the program or the connection has ended.

        """
        ...

    def receive(self, until: float) -> str:
        """Return the next line that the program prints; ``until`` is a moment of the monotonic clock.

        Raises:
            HostError: the program or the connection has ended, or the moment came.

        """
        ...

    def close(self) -> None:
        """End the program; a second call does nothing."""
        ...


class Session(Protocol):
    """Runs POSIX sh on a node as root, over a connection that stays open between calls."""

    host: str

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run ``script``, given to ``sh`` on its standard input, so that nothing of it shows in ``ps``.

        ``on_line`` gets each line of standard output as it comes, without its newline. A status other than 0 is
        returned, not raised.

        Raises:
            HostError: the node cannot be reached, or it took longer than ``timeout_s`` (default: what is left of the
                host's deadline).

        """
        ...

    def converse(self, program: str) -> Conversation:
        """Start a Python program, over a connection of its own.

        ``program`` gets to the node's ``python3`` (3.6 or newer) on its standard input, so that nothing of it shows in
        ``ps``. Its own standard input is descriptor 0, from which no byte more than the program has been taken.

        Raises:
            HostError: the node cannot be reached.
            UnsupportedError: it has no Python that is new enough.

        """
        ...

    def forward(self, *, local: Mapping[str, str], remote: Mapping[str, str]) -> AbstractContextManager[None]:
        """Join Unix sockets here and on the node, over a connection of its own, while the context is open.

        ``local`` maps paths here, at which is listened from then on, to sockets on the node; ``remote`` maps paths on
        the node to sockets here. Nothing may be at the paths before. They may be left behind: the caller removes the
        directories that they lie in.

        Raises:
            HostError: the node cannot be reached, or it does not let sockets be forwarded.

        """
        ...

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...
