"""The program ``mounttool``, and what both it and ``fab`` need to run tasks on many hosts at once."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from invoke.executor import Executor as OneByOne
from invoke.parser.argument import Argument
from invoke.program import Program
from invoke.tasks import Call, Task

import mounttool
from mounttool import tasks


class Executor(OneByOne):
    """Runs each task once and gives it all of ``-H``'s hosts; Fabric's own would run it host by host.

    ``fab`` finds it through fabric.yaml beside the fabfile. See fabric issue 2156.
    """

    def expand_calls(self, calls: list[Any], *, apply_hosts: bool = True) -> list[Any]:
        """Return the calls as they are, with ``hosts`` filled in where the task takes it and the user gave ``-H``."""
        core: Any = self.core
        chosen = core[0].args.hosts.value
        expanded = []
        for item in calls:
            call = Call(item) if isinstance(item, Task) else item
            if apply_hosts and chosen and "hosts" in _parameters(call) and not call.kwargs.get("hosts"):
                call.kwargs["hosts"] = ",".join(chosen) if isinstance(chosen, list) else chosen
            expanded.append(call)
        return expanded


def _parameters(call: Any) -> set[str]:
    return {argument.name for argument in call.task.get_arguments()} | {
        argument.attr_name for argument in call.task.get_arguments()
    }


class _Program(Program):
    """Invoke's own and not Fabric's ``fab``, whose SSH library takes a quarter of a second to import."""

    def core_args(self) -> list[Argument]:
        """Return what may stand before a command: what Invoke knows, and ``-H`` as with ``fab``."""
        return [*super().core_args(), Argument(names=("H", "hosts"), help="Comma-separated hosts to work on.")]


def main() -> None:
    """Run the installed command."""
    # Reading modules makes much, and no garbage: looking for it at Python's own pace takes a twentieth of the start.
    gc.set_threshold(100_000)
    program = _Program(
        name="mounttool",
        binary="mounttool",
        binary_names=["mounttool"],
        version=mounttool.__version__,
        namespace=tasks.commands(sys.argv[1:]),
        executor_class=Executor,
    )
    try:
        program.run()
    except BrokenPipeError:
        # Whoever read a list or a help has gone (`| head`); what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
