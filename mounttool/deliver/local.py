"""Delivery to this very machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable

from mounttool.errors import HostError
from mounttool.session import Completed


class LocalSession:
    """This machine, by a shell of its own; mounttool must already be root here for what needs it."""

    host = "localhost"

    def __init__(self, deadline_s: float = 600) -> None:
        self._deadline_s = deadline_s

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run ``script``; see `mounttool.session.Session`."""
        limit = self._deadline_s if timeout_s is None else timeout_s
        # No shell of the caller's choosing: the script is for /bin/sh, and stands on its standard input only.
        process = subprocess.Popen(
            ["/bin/sh", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - three pipes were asked for
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or []), daemon=True)
        timer = threading.Timer(limit, _end, [process])
        reader.start()
        timer.start()
        try:
            try:
                process.stdin.write(script)
                process.stdin.close()
            except BrokenPipeError:
                pass  # the shell ended early; its words and status follow
            lines = []
            for line in process.stdout:
                lines.append(line)
                if on_line:
                    on_line(line.rstrip("\n"))
            process.wait()
            reader.join(timeout=1)
        finally:
            expired = not timer.is_alive()
            timer.cancel()
            _end(process)
            process.stdout.close()
            # A service that the script started may hold the other pipe; its reader is left to it.
            if not reader.is_alive():
                process.stderr.close()
        if expired:
            raise HostError(self.host, "run", f"its deadline of {limit:g} s is over", hint="see fleet.deadline_s")
        return Completed(process.returncode, "".join(lines), "".join(errors))

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _end(process: subprocess.Popen[str]) -> None:
    """End the shell with all that it started and waits for; killing it alone would leave its pipes open."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
