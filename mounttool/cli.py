"""The program ``mounttool``, and what both it and ``fab`` need to run tasks on many hosts at once."""

from __future__ import annotations

from typing import Any

from invoke.executor import Executor as OneByOne
from invoke.parser.argument import Argument
from invoke.program import Program
from invoke.tasks import Call, Task

import mounttool


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
    # Imported late: a wrong flag is told before the tasks are loaded.
    from mounttool import tasks  # noqa: PLC0415

    _Program(
        name="mounttool",
        binary="mounttool",
        binary_names=["mounttool"],
        version=mounttool.__version__,
        namespace=tasks.namespace,
        executor_class=Executor,
    ).run()
