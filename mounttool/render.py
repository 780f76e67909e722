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
    from collections.abc import Mapping, Sequence

_SHELL = Path(__file__).parent / "shell"

#: The program that stays on a node: units call it to wait for, look at and heal their mount.
HELPER = (_SHELL / "node.sh").read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """What a script is for. ``adopt`` allows data in a link's way to be copied and kept aside."""

    action: Literal["apply", "remove"] = "apply"
    dry_run: bool = False
    adopt: bool = False


def script(plans: Sequence[Plan], intent: Intent, *, only: str = "") -> str:
    """Return the script that carries out ``intent`` with ``plans`` on one node; a failure ends its plan only.

    ``only`` is a shell word for the number of the one plan that is carried out; empty: all of them.

    Secrets of this machine are revealed into the text: it may go to a shell's standard input and nowhere else. Those
    that nodes read themselves are in it as references.

    Raises:
        SecretError: a secret cannot be read.

    """
    settings = f"act={intent.action} dry={int(intent.dry_run)} adopt={int(intent.adopt)}\n"
    numbers = {secret: number for number, secret in enumerate(_on_node(plans))}
    body = "".join(_plan(number, plan, intent.action, numbers) for number, plan in enumerate(plans))
    libraries = dict.fromkeys(step.library for plan in plans for step in plan.steps if isinstance(step, Ensure))
    own = ["prelude", "aws", "secrets"] if numbers else ["prelude"]
    functions = "\n".join([*(library(name) for name in own), *(_without_comments(text) for text in libraries)])
    calls = f"plan_{only}\n" if only else "".join(f"plan_{number}\n" for number in range(len(plans)))
    return f"{settings}{functions}\n{body}main() {{\nstart_script\n{calls}finish_script\n}}\nmain </dev/null\n"


def _on_node(plans: Sequence[Plan]) -> list[Secret]:
    """The secrets that the node reads, each once."""
    return list(dict.fromkeys(secret for plan in plans for secret in plan.secrets if secret.is_on_node))


def library(name: str) -> str:
    """Return the functions of ``shell/NAME.sh`` as a script carries them."""
    return _without_comments((_SHELL / f"{name}.sh").read_text(encoding="utf-8"))


def _plan(number: int, plan: Plan, action: str, numbers: Mapping[Secret, int]) -> str:
    lines = []
    definitions = []
    for position, step in enumerate(plan.steps):
        kind = step.kind
        arguments = [shlex.quote(argument) for argument in _arguments(step)]
        if isinstance(step, Environment):
            kind, arguments = "file", _environment(step, numbers)
        elif isinstance(step, Ensure):
            kind = f"ensure_{number}_{position}"
            definitions.append(_ensure(kind, step, numbers))
        read = [words("secret", str(numbers[secret]), secret.reference) for secret in step.secrets if secret in numbers]
        lines.append("\n".join([*read, " ".join([words("step", kind, step.title), *arguments])]))
    if action == "remove":
        lines.reverse()
        lines.insert(0, words("step", "idle", f"no process uses {plan.mount_point}", plan.mount_point))
    begin = words("begin_plan", plan.name, plan.digest)
    end = words("end_plan", plan.name)
    warnings = [words("say", "warning", text) for text in plan.warnings if action == "apply"]
    return "".join(definitions) + "\n".join([f"plan_{number}() {{", begin, *warnings, *lines, end, "}"]) + "\n"


def _environment(step: Environment, numbers: Mapping[Secret, int]) -> list[str]:
    """The words of a file whose content is made late: its secrets are revealed here, or put in on the node."""
    lines = []
    for name, value in step.values.items():
        if isinstance(value, Secret) and value in numbers:
            lines.append(f'"$({words("environment_line", name)} {_value(value, numbers)})$newline"')
        else:
            revealed = value.reveal() if isinstance(value, Secret) else value
            lines.append(shlex.quote(systemd.environment_line(name, revealed)))
    path, _, *others = (
        shlex.quote(word) for word in _arguments(File(step.path, "", mode="0600", restarts=step.restarts))
    )
    return [path, "".join(lines) or "''", *others]


def _arguments(step: Step) -> list[str]:
    """The step's fields in their order, lists last: what the functions of its kind in the prelude take."""
    if isinstance(step, Ensure | Environment):
        return []
    fields = [getattr(step, field.name) for field in dataclasses.fields(step)]
    lists = [word for field in fields if isinstance(field, tuple) for word in field]
    return [str(field) for field in fields if not isinstance(field, tuple)] + lists


def _ensure(name: str, step: Ensure, numbers: Mapping[Secret, int]) -> str:
    exports = "".join(f"export {key}={_value(value, numbers)}\n" for key, value in step.environment.items())
    action = f"{words('hint', step.hint)}\n{step.action}" if step.hint else step.action
    return (
        f"{name}_is() {{\n{exports}{step.test}\n}}\n"
        f"{name}_make() {{\n{exports}{action}\n}}\n"
        f"{name}_gone() {{ ensure_gone; }}\n"
    )


def _value(value: str | Secret, numbers: Mapping[Secret, int]) -> str:
    """One shell word: the value itself, or the variable in which the node has it."""
    if isinstance(value, Secret):
        return f'"$secret_{numbers[value]}"' if value in numbers else shlex.quote(value.reveal())
    return shlex.quote(value)


def words(*arguments: str) -> str:
    """Return one shell command out of words that are taken as they are."""
    return " ".join(shlex.quote(argument) for argument in arguments)


def _without_comments(text: str) -> str:
    """Comments are for readers of the file; a fleet need not carry them."""
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
