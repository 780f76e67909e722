"""What a script says while it runs, read line by line into an outcome per mount.

A line is ``mounttool``, an event and its fields, separated by tabs; anything else is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mounttool.plan import Plan

Status = Literal["ok", "changed", "would", "failed", "skipped"]

#: The script's events, and how many fields each has.
_FIELDS = {"begin": 2, "start": 2, "step": 4, "command": 2, "hint": 2, "log": 2, "warning": 1, "end": 2, "fatal": 1}

#: The mount's name and the title of the step that begins, or what the script says of itself.
Observer = Callable[[str, str], None]


@dataclass(slots=True)
class StepOutcome:
    """One step. ``command``, ``log`` (at most ten lines) and ``hint`` are filled when it failed."""

    number: int
    title: str
    status: Status
    note: str = ""
    command: str = ""
    log: list[str] = field(default_factory=list)
    hint: str = ""


@dataclass(slots=True)
class MountOutcome:
    """One mount on one node. ``complete`` is false when the script ended before the mount's last step."""

    name: str
    digest: str = ""
    steps: list[StepOutcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    complete: bool = False

    @property
    def status(self) -> Status:
        """``failed`` when a step failed or the script was cut off; else ``changed``, ``would`` or ``ok``."""
        found = {step.status for step in self.steps}
        if "failed" in found or not self.complete:
            return "failed"
        for status in ("would", "changed"):
            if status in found:
                return status
        return "ok"

    @property
    def failure(self) -> StepOutcome | None:
        """The step that failed."""
        return next((step for step in self.steps if step.status == "failed"), None)

    def count(self, status: Status) -> int:
        """How many steps have this status."""
        return sum(step.status == status for step in self.steps)

    def document(self) -> dict[str, object]:
        """Return the outcome as plain data for JSON."""
        return {
            "mount": self.name,
            "digest": self.digest,
            "status": self.status,
            "warnings": self.warnings,
            "steps": [
                {key: value for key in StepOutcome.__slots__ if (value := getattr(step, key)) not in ("", [])}
                for step in self.steps
            ],
        }


class Reader:
    """Takes the lines of a script that runs ``plans``; ``outcomes`` has one entry for each plan that began."""

    def __init__(self, plans: Sequence[Plan], observe: Observer | None = None) -> None:
        self.outcomes: list[MountOutcome] = []
        self.fatal = ""
        self._hints: Mapping[str, Mapping[str, str]] = {plan.name: plan.hints for plan in plans}
        self._observe = observe or (lambda _mount, _title: None)

    def line(self, text: str) -> None:
        """Take one line."""
        word, *fields = text.split("\t")
        if word == "mounttool" and fields and self._is_sound(*fields):
            getattr(self, f"_on_{fields[0]}")(*fields[1:])

    def _is_sound(self, event: str, *fields: str) -> bool:
        """Whether the line is whole and comes where it may: connections break, and others may write too."""
        if len(fields) != _FIELDS.get(event):
            return False
        if event not in {"begin", "fatal"} and not self.outcomes:
            return False
        if event == "step":
            return fields[0] in get_args(Status) and fields[1].isascii() and fields[1].isdigit()
        return event not in {"command", "hint", "log"} or bool(self.outcomes[-1].steps)

    def _on_begin(self, name: str, digest: str) -> None:
        self.outcomes.append(MountOutcome(name, digest))

    def _on_start(self, _number: str, title: str) -> None:
        self._observe(self.outcomes[-1].name, title)

    def _on_step(self, status: Status, number: str, title: str, note: str) -> None:
        self.outcomes[-1].steps.append(StepOutcome(int(number), title, status, note))

    def _on_command(self, _number: str, command: str) -> None:
        self._last.command = command

    def _on_hint(self, _number: str, hint: str) -> None:
        self._last.hint = hint

    def _on_log(self, _number: str, text: str) -> None:
        self._last.log.append(text)

    def _on_warning(self, text: str) -> None:
        self.outcomes[-1].warnings.append(text)

    def _on_end(self, name: str, _failed: str) -> None:
        outcome = self.outcomes[-1]
        outcome.complete = True
        failure = outcome.failure
        if failure is None or failure.hint:
            return
        # The last line is the nearest to the cause, so its meaning is looked for first.
        for text in reversed(failure.log):
            for pattern, meaning in self._hints.get(name, {}).items():
                if re.search(pattern, text):
                    failure.hint = meaning
                    return

    def _on_fatal(self, text: str) -> None:
        self.fatal = text

    @property
    def _last(self) -> StepOutcome:
        return self.outcomes[-1].steps[-1]
