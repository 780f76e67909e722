"""A POSIX shell at the far end of a process' pipes: it takes scripts one after another, and can always be ended.

The process is ``sh`` here or ``ssh`` to a node. Whatever that hangs in, its pipes are read with a limit of time, and
ending a process ends every wait for it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mounttool.session import Completed

#: What one script may say: an output that never ends must not fill the memory here.
MOST_BYTES = 64 << 20
_CHUNK = 65536
#: How long a process that was told to end, or whose output has ended, may take to be gone.
_GRACE_S = 1.0


class EndedError(Exception):
    """The process ended before what was asked of it was done; carries its status and what it last said."""

    def __init__(self, returncode: int, stderr: str) -> None:
        super().__init__(stderr)
        self.returncode = returncode
        self.stderr = stderr


class OverlongError(Exception):
    """A script said more than `MOST_BYTES`."""


@dataclass
class Stream:
    """One output, cut into lines, up to the line that has ``mark`` in it; ``end`` is what follows the mark there."""

    mark: bytes
    on_line: Callable[[str], None] | None = None
    end: str | None = None
    _text: bytearray = field(default_factory=bytearray)
    _begun: int = 0  # where the line begins that is not whole yet
    _looked: int = 0  # how far it has been looked through

    def take(self, data: bytes) -> None:
        """Take what was read; what comes after the mark's line is nobody's."""
        if self.end is not None:
            return
        self._text += data
        while (newline := self._text.find(b"\n", self._looked)) >= 0:
            line = bytes(self._text[self._begun : newline])
            before, found, after = line.partition(self.mark)
            if self.on_line and (before or not found):
                self.on_line(before.decode(errors="replace"))
            if found:
                self.end = after.decode(errors="replace").strip()
                del self._text[self._begun + len(before) :]
                return
            self._begun = self._looked = newline + 1
        self._looked = len(self._text)

    def __len__(self) -> int:
        return len(self._text)

    def __str__(self) -> str:
        return self._text.decode(errors="replace")


class Prompted(Stream):
    """The error output of a process that asks for a password: ``answer`` is called at each of its prompts."""

    def __init__(self, prompt: str, answer: Callable[[], None]) -> None:
        super().__init__(mark=b"\0")
        self._prompt = prompt.encode()
        self._answer = answer

    def take(self, data: bytes) -> None:
        """Take what was read, without the prompts."""
        super().take(data)
        while (found := self._text.find(self._prompt)) >= 0:
            del self._text[found : found + len(self._prompt)]
            self._begun = self._looked = 0
            self._answer()


class Shell:
    """The process. ``argv`` must lead to a shell that reads its standard input, such as ``sh -s``.

    Moments (``until``) are of the monotonic clock.

    Raises:
        OSError: the program is not there.

    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Neither Ctrl-C on our terminal reaches it, nor can it ask there for a password.
            start_new_session=True,
        )
        pipes = self._process.stdin, self._process.stdout, self._process.stderr
        self._stdin, self._stdout, self._stderr = (pipe.fileno() for pipe in pipes if pipe)
        os.set_blocking(self._stdin, False)
        self._unsent = memoryview(b"")
        self._busy = threading.Lock()

    def run(self, script: str, until: float, on_line: Callable[[str], None] | None = None) -> Completed:
        """Run ``script`` on the standard input of a shell of its own.

        It gets there through a pipe from a builtin: it is in nobody's arguments, and in no file.

        Raises:
            TimeoutError: the moment came; the shell is of no use any more, nor after the two below.
            EndedError: the process ended first.
            OverlongError: the script's output has no end.

        """
        mark = secrets.token_hex(8)
        stdout, stderr = Stream(mark.encode(), on_line), Stream(mark.encode())
        self.send(f"printf '%s' {shlex.quote(script)} | sh -s\nprintf '{mark} %s\\n' $?; echo {mark} >&2\n")
        self.read(stdout, stderr, until, lambda: stdout.end is not None and stderr.end is not None)
        return Completed(int(stdout.end or 0), str(stdout), str(stderr))

    @property
    def is_sent(self) -> bool:
        """Whether the process has taken all that was to be sent."""
        return not self._unsent

    def send(self, text: str) -> None:
        """Let ``text`` be written as soon as the process takes it."""
        self._unsent = memoryview(bytes(self._unsent) + text.encode())

    def read(self, stdout: Stream, stderr: Stream, until: float, done: Callable[[], bool]) -> None:
        """Write what is to be sent and read both outputs, until ``done``; raises as `run` does."""
        with self._busy:
            try:
                self._pump({self._stdout: stdout, self._stderr: stderr}, until, done)
            except BaseException:
                self._kill()
                raise

    def _pump(self, streams: dict[int, Stream], until: float, done: Callable[[], bool]) -> None:
        poller = select.poll()
        for descriptor in streams:
            poller.register(descriptor, select.POLLIN)
        reading = set(streams)
        while not done():
            left = until - time.monotonic()
            if not reading or (left <= 0 and len(reading) < len(streams)):
                raise EndedError(self._returncode(), str(streams[self._stderr]))
            if left <= 0:
                raise TimeoutError
            if self._unsent:
                poller.register(self._stdin, select.POLLOUT)
            for descriptor, _events in poller.poll(left * 1000):
                if descriptor == self._stdin:
                    self._write(poller)
                elif not self._take(streams[descriptor], descriptor):
                    poller.unregister(descriptor)
                    reading.discard(descriptor)
                    # Somebody may hold the other output for long after the process has gone.
                    until = min(until, time.monotonic() + _GRACE_S)
            if sum(map(len, streams.values())) > MOST_BYTES:
                raise OverlongError

    @staticmethod
    def _take(stream: Stream, descriptor: int) -> int:
        data = os.read(descriptor, _CHUNK)
        stream.take(data)
        return len(data)

    def _write(self, poller: select.poll) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The far shell ended early; what it said tells more than this.
            self._unsent = memoryview(b"")
        if not self._unsent:
            poller.unregister(self._stdin)

    def _returncode(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._kill()
        return self._process.returncode

    def _kill(self) -> None:
        """End the process and all that it started and waits for, such as the way to a jump host."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the process; from any thread, and cutting off what it is at. A second call does nothing."""
        if not self._busy.acquire(blocking=False):
            self._kill()
            self._busy.acquire()
        try:
            if self._process.poll() is None:
                # Not all that it started: what a script left running here is not ours.
                self._process.terminate()
            self._returncode()
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe:
                    pipe.close()
        finally:
            self._busy.release()
