"""testinfra over the session that everything else uses: same login, same sudo, same jump host, same connection."""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from mounttool.session import Session

#: No question to a node may take longer; what could hang has bounds of its own below this.
COMMAND_TIMEOUT_S = 30


class SessionBackend(BaseBackend):  # type: ignore[misc] # testinfra has no types
    """Runs testinfra's commands in a shell's standard input, as root."""

    NAME = "mounttool"

    def __init__(self, session: Session) -> None:
        super().__init__(session.host)
        self._session = session

    def run(self, command: str, *args: str, **_keywords: Any) -> CommandResult:
        """Run one command; a status other than 0 is a result."""
        line = self.get_command(command, *args)
        completed = self._session.run(line + "\n", timeout_s=COMMAND_TIMEOUT_S)
        return self.result(completed.returncode, line, completed.stdout, completed.stderr)
