"""Plans become one self-contained POSIX sh script: the only place where a state turns into shell.

What a kind of step means is in ``shell/prelude.sh``; here its fields become quoted words. The script is read whole
before anything of it runs, so a connection that breaks in the middle of it does nothing.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mounttool import systemd
from mounttool.plan import Ensure, Environment, File, Plan, Step
from mounttool.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = Path(__file__).parent / "shell"

#: The program that stays on a node: units call it to wait for, look at and heal their mount.
HELPER = (_SHELL / "node.sh").read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """What a script is for. ``adopt`` allows data in a link's way to be copied and kept aside."""

    action: Literal["apply", "remove"] = "apply"
    dry_run: bool = False
    adopt: bool = False


def script(plans: Sequence[Plan], intent: Intent) -> str:
    """Return the script that carries out ``intent`` with ``plans`` on one node; a failure ends its plan only.

    Secrets are revealed into the text: it may go to a shell's standard input and nowhere else.

    Raises:
        SecretError: a secret cannot be read.

    """
    settings = f"act={intent.action} dry={int(intent.dry_run)} adopt={int(intent.adopt)}\n"
    body = "".join(_plan(number, plan, intent.action) for number, plan in enumerate(plans))
    libraries = dict.fromkeys(step.library for plan in plans for step in plan.steps if isinstance(step, Ensure))
    prelude = (_SHELL / "prelude.sh").read_text(encoding="utf-8")
    functions = "\n".join(_without_comments(text) for text in (prelude, *libraries))
    calls = "".join(f"plan_{number}\n" for number in range(len(plans)))
    return f"{settings}{functions}\n{body}main() {{\nstart_script\n{calls}finish_script\n}}\nmain </dev/null\n"


def _plan(number: int, plan: Plan, action: str) -> str:
    lines = []
    definitions = []
    for position, step in enumerate(plan.steps):
        kind = "file" if isinstance(step, Environment) else step.kind
        if isinstance(step, Ensure):
            kind = f"ensure_{number}_{position}"
            definitions.append(_ensure(kind, step))
        delivered = _as_file(step) if isinstance(step, Environment) else step
        lines.append(words("step", kind, step.title, *_arguments(delivered)))
    if action == "remove":
        lines.reverse()
        lines.insert(0, words("step", "idle", f"no process uses {plan.mount_point}", plan.mount_point))
    begin = words("begin_plan", plan.name, plan.digest)
    end = words("end_plan", plan.name)
    warnings = [words("say", "warning", text) for text in plan.warnings if action == "apply"]
    return "".join(definitions) + "\n".join([f"plan_{number}() {{", begin, *warnings, *lines, end, "}"]) + "\n"


def _as_file(step: Environment) -> File:
    """An environment file is a file whose content is made late, with its secrets revealed."""
    content = "".join(systemd.environment_line(name, _reveal(value)) for name, value in step.values.items())
    return File(step.path, content, mode="0600", restarts=step.restarts)


def _arguments(step: Step) -> list[str]:
    """The step's fields in their order, lists last: what the functions of its kind in the prelude take."""
    if isinstance(step, Ensure):
        return []
    fields = [getattr(step, field.name) for field in dataclasses.fields(step)]
    lists = [word for field in fields if isinstance(field, tuple) for word in field]
    return [str(field) for field in fields if not isinstance(field, tuple)] + lists


def _ensure(name: str, step: Ensure) -> str:
    exports = "".join(f"export {key}={shlex.quote(_reveal(value))}\n" for key, value in step.environment.items())
    action = f"{words('hint', step.hint)}\n{step.action}" if step.hint else step.action
    return (
        f"{name}_is() {{\n{exports}{step.test}\n}}\n"
        f"{name}_make() {{\n{exports}{action}\n}}\n"
        f"{name}_gone() {{ ensure_gone; }}\n"
    )


def _reveal(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def words(*arguments: str) -> str:
    """Return one shell command out of words that are taken as they are."""
    return " ".join(shlex.quote(argument) for argument in arguments)


def _without_comments(text: str) -> str:
    """Comments are for readers of the file; a fleet need not carry them."""
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
