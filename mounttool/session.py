"""A session: one open way to one node, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """What a script did: its exit status and all that it printed."""

    returncode: int
    stdout: str
    stderr: str


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

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...
