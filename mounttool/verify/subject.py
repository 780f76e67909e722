"""What is verified: the mounts of one node, over a session that stays open meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import testinfra.host

from mounttool.deliver.probe import Verdict
from mounttool.plan import Check, Mounted, Plan
from mounttool.secrets import Secret
from mounttool.session import Session
from mounttool.verify.backend import SessionBackend


@dataclass(frozen=True)
class Confidential(Check):
    """No secret of the plan shows on the node outside of its environment file."""


@dataclass(frozen=True)
class Subject:
    """One node. ``verdicts`` has the probe's answer for each of ``plans``; ``secrets`` must not be found anywhere."""

    session: Session
    plans: tuple[Plan, ...]
    verdicts: tuple[Verdict, ...]
    secrets: tuple[Secret, ...]

    @cached_property
    def host(self) -> testinfra.host.Host:
        """The node for testinfra."""
        return testinfra.host.Host(SessionBackend(self.session))


@dataclass(frozen=True)
class Case:
    """One check of one mount on one node. ``verdict`` is how the mount was just before."""

    subject: Subject
    plan: Plan
    verdict: Verdict
    check: Check

    @property
    def usable(self) -> bool:
        """Whether its paths can be touched without waiting on a mount that does not answer."""
        return self.verdict.word in {"ok", "stacked", "read-only"}

    @property
    def title(self) -> str:
        """The check's kind and its subject, for a table."""
        values = [
            str(getattr(self.check, name)) for name in ("unit", "consumer", "path", "what") if hasattr(self.check, name)
        ]
        values = values or [self.plan.mount_point]
        return f"{self.check.kind} {values[-1]}"


def cases(subjects: Sequence[Subject]) -> list[Case]:
    """Return every check of every plan, the mount itself first."""
    found = []
    for subject in subjects:
        for plan, verdict in zip(subject.plans, subject.verdicts, strict=True):
            checks = sorted([*plan.checks, Confidential()], key=lambda check: not isinstance(check, Mounted))
            found += [Case(subject, plan, verdict, check) for check in checks]
    return found
