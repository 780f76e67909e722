"""How the lab works on its host: an argv with a deadline, a bounded wait, a folder that only one process changes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mounttool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def call(*argv: str | Path, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run a command of this host and return its output. Raises ``LabError`` with the last line that it printed."""
    words = [str(word) for word in argv]
    shown = " ".join(words[:4])
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (FileNotFoundError, PermissionError):
        raise LabError(f"{words[0]}: not found on this machine") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{shown}: no end after {timeout_s:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise LabError(f"{shown}: exit {done.returncode}: {said}")
    return done.stdout


def wait(ready: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> bool:
    """Poll until ``ready``; False when it never was."""
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and be the only one in it; whoever comes second waits.

    The lock is on the folder itself, so that nothing remains when its holder deletes it. Whoever waited for a folder
    that is gone by then starts over.
    """
    while True:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                yield
                return
        finally:
            os.close(descriptor)


def remove(folder: Path) -> None:
    """Delete a folder that the lab made, immutable files included, and nothing that is mounted below it."""
    if folder.exists():
        # chattr complains about every symlink and socket; rm says what really cannot go.
        if folder.is_dir():
            subprocess.run(["chattr", "-R", "-f", "-ia", str(folder)], capture_output=True, check=False)
        call("rm", "-rf", "--one-file-system", "--", folder)
