"""Delivery to this very machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mounttool.deliver.shell import EndedError, OverlongError, Shell
from mounttool.deliver.talk import Talk
from mounttool.errors import HostError
from mounttool.session import Completed


class LocalSession:
    """This machine, by a shell of its own; mounttool must already be root here for what needs it."""

    host = "localhost"

    def __init__(self, deadline_s: float = 600, *, prefix: Sequence[str] = ()) -> None:
        """``prefix`` goes before the shell: a command that runs another, such as nsenter."""
        self._deadline_s = deadline_s
        # No shell of the caller's choosing: the script is for /bin/sh.
        self._argv = (*prefix, "/bin/sh", "-s")
        self._shell: Shell | None = None

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run ``script``; see `mounttool.session.Session`."""
        limit = self._deadline_s if timeout_s is None else timeout_s
        # None is kept: another is there at once.
        self._shell = Shell(self._argv)
        try:
            return self._shell.run(script, time.monotonic() + limit, on_line)
        except TimeoutError:
            over = f"its deadline of {limit:g} s is over"
            raise HostError(self.host, "run", over, hint="see fleet.deadline_s") from None
        except EndedError as error:
            raise HostError(self.host, "run", f"the shell ended: {error.stderr or error.returncode}") from None
        except OverlongError:
            raise HostError(self.host, "run", "its output has no end") from None
        finally:
            self.close()

    def converse(self, program: str) -> Talk:
        """Start a Python program; see `mounttool.session.Session`."""
        return Talk(self.host, Shell(self._argv), program, time.monotonic() + self._deadline_s)

    @contextlib.contextmanager
    def forward(self, *, local: Mapping[str, str], remote: Mapping[str, str]) -> Iterator[None]:
        """Let the paths lead to the sockets, which are here already; see `mounttool.session.Session`."""
        for path, socket in (*local.items(), *remote.items()):
            Path(path).symlink_to(socket)
        yield

    def close(self) -> None:
        """End what is running."""
        if self._shell:
            self._shell.close()
