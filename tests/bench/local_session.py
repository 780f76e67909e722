from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from mounttool.errors import HostError
from mounttool.session import Completed


class LocalSession:
    """Runs scripts on this machine; programs in ``stubs`` stand in front of its own."""

    def __init__(self, host: str, stubs: Path | None = None) -> None:
        self.host = host
        self.scripts: list[str] = []
        self._path = os.pathsep.join([*([str(stubs)] if stubs else []), os.environ["PATH"]])

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        assert on_line is None
        self.scripts.append(script)
        try:
            done = subprocess.run(
                ["sh", "-s"],
                input=script,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                env={**os.environ, "PATH": self._path},
            )
        except subprocess.TimeoutExpired:
            raise HostError(self.host, "run", f"no answer in {timeout_s} s") from None
        return Completed(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        pass
