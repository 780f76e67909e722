"""How `bench --kill-writer` takes a node away: the lab's own way, or a command of the user's."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass

from mounttool import lab
from mounttool.bench.kill import Killer
from mounttool.errors import InputError, LabError, StepError

_COMMAND_S = 120


class LabKiller:
    """Nodes of the lab; each keeps its disk and is booted again."""

    def kill(self, host: str) -> None:
        """Kill all of it, and leave it off."""
        lab.reclaim(host)

    def revive(self, host: str) -> None:
        """Boot it."""
        lab.boot(host)


@dataclass(frozen=True)
class CommandKiller:
    """A command that is run here, with ``{host}`` in it; the node comes back by itself, or not at all."""

    command: str

    def kill(self, host: str) -> None:
        """Run the command."""
        command = self.command.replace("{host}", shlex.quote(host))
        # The user's own words, as they would type them.
        argv = ["timeout", str(_COMMAND_S), "/bin/sh", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            told = tuple((done.stderr + done.stdout).splitlines()[-10:]) or (f"exit status {done.returncode}",)
            raise StepError(host, "kill", self.command, told)

    def revive(self, host: str) -> None:
        """Do nothing."""


def choose(command: str, hosts: list[str]) -> Killer:
    """Return what takes these hosts away.

    Raises:
        InputError: they are no nodes of the lab, and there is no command.

    """
    if command:
        if "{host}" not in command:
            raise InputError(f"--kill-command {command!r}: expected {{host}} in it, where the node's name belongs")
        return CommandKiller(command)
    try:
        nodes = lab.load().machines
    except LabError:
        nodes = ()
    if strangers := [host for host in hosts if host not in nodes]:
        raise InputError(
            f"--kill-writer: {strangers[0]} is no node of the lab: expected --kill-command",
            hint="one that cuts {host}'s power, such as: aws ec2 terminate-instances ... {host}",
        )
    return LabKiller()
