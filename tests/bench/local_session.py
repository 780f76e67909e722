from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mounttool.deliver import local
from mounttool.session import Completed


class LocalSession(local.LocalSession):
    """Runs scripts on this machine under another name; programs in ``stubs`` stand in front of its own."""

    def __init__(self, host: str, stubs: Path | None = None) -> None:
        path = os.pathsep.join([*([str(stubs)] if stubs else []), os.environ["PATH"]])
        super().__init__(60, prefix=["env", f"PATH={path}"])
        self.host = host
        self.scripts: list[str] = []

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        self.scripts.append(script)
        return super().run(script, timeout_s=timeout_s, on_line=on_line)
