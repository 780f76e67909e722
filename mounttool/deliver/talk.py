"""A conversation with a Python program at the far end of a shell."""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable

from mounttool.deliver.shell import EndedError, OverlongError, Shell, Stream
from mounttool.errors import HostError, UnsupportedError

#: Takes no byte more than the program off its input: what follows is for the program.
_STARTER = """
import sys
if sys.version_info < (3, 6):
    sys.exit("Python %d.%d is too old" % sys.version_info[:2])
print("mounttool-python", flush=True)
take = open(0, "rb", 0, closefd=False)
size, text = int(take.readline()), b""
while len(text) < size:
    text += take.read(size - len(text)) or sys.exit(1)
exec(compile(text, "mounttool", "exec"))
"""
_START_S = 20.0
_NEVER = b"\0"


class Talk:
    """See `mounttool.session.Conversation`. The shell is the program's alone, and is closed with it."""

    def __init__(self, host: str, shell: Shell, program: str, until: float) -> None:
        self._host = host
        self._shell = shell
        self._until = until
        self._lines: deque[str] = deque()
        self._stdout, self._stderr = Stream(_NEVER, self._lines.append), Stream(_NEVER)
        encoded = program.encode()
        try:
            # The program takes the shell's place, and its input: the shell has not read further than this line.
            self._shell.send(f"exec python3 -c {shlex.quote(_STARTER)}\n")
            self.receive(min(until, time.monotonic() + _START_S))
        except HostError as error:
            self.close()
            raise UnsupportedError(
                f"{host}: python3 3.6 or newer is needed to benchmark: {error.message}", hint="install python3 there"
            ) from None
        self.send(f"{len(encoded)}\n{program}", end="")

    def send(self, line: str, end: str = "\n") -> None:
        """Give the program a line."""
        self._shell.send(line + end)
        self._pump(lambda: self._shell.is_sent, self._until)

    def receive(self, until: float) -> str:
        """Return the next line of the program."""
        self._pump(lambda: bool(self._lines), min(until, self._until))
        return self._lines.popleft()

    def close(self) -> None:
        """End the program: it sees the end of its input."""
        self._shell.close()

    def _pump(self, done: Callable[[], bool], until: float) -> None:
        try:
            self._shell.read(self._stdout, self._stderr, until, done)
        except TimeoutError:
            raise HostError(self._host, "run", "the program did not answer in time") from None
        except OverlongError:
            raise HostError(self._host, "run", "its output has no end") from None
        except EndedError as error:
            said = error.stderr.strip().splitlines() or [f"it ended with status {error.returncode}"]
            raise HostError(self._host, "run", said[-1]) from None
