"""The program ``mounttool``, and what both it and ``fab`` need to run tasks on many hosts at once."""

from __future__ import annotations

from typing import Any

import fabric.executor
import fabric.main
from invoke.tasks import Call, Task

import mounttool


class Executor(fabric.executor.Executor):  # type: ignore[misc] # fabric has no types
    """Runs each task once and gives it all of ``-H``'s hosts; Fabric itself would run it host by host.

    ``fab`` finds it through fabric.yaml beside the fabfile. See fabric issue 2156.
    """

    def expand_calls(self, calls: list[Any], *, apply_hosts: bool = True) -> list[Any]:
        """Return the calls as they are, with ``hosts`` filled in where the task takes it and the user gave ``-H``."""
        chosen = self.core[0].args.hosts.value
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


def main() -> None:
    """Run the installed command."""
    # Imported late: a wrong flag is told before pandas is loaded.
    from mounttool import tasks  # noqa: PLC0415

    program = fabric.main.Fab(
        name="mounttool",
        binary="mounttool",
        binary_names=["mounttool"],
        version=mounttool.__version__,
        namespace=tasks.namespace,
        executor_class=Executor,
        config_class=fabric.Config,
    )
    program.run()
