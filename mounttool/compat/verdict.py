"""What was found on the nodes, put together: rows for a table, and a verdict for each use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.compat.probe import Found, Look
from mounttool.semantics import FEATURES, USES, Feature, Use


@dataclass(frozen=True, slots=True)
class Row:
    """A feature, and the hosts on which it was found so."""

    feature: Feature
    found: Found
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a mount can be used so, on all nodes that were looked at.

    ``lacks`` are rows that say what is not there; ``unknown`` is what the use needs and was not looked at anywhere or
    on some node.
    """

    use: Use
    lacks: tuple[Row, ...]
    unknown: tuple[Feature, ...]
    looked_at: int

    @property
    def ok(self) -> bool:
        """Whether nothing is known that speaks against it."""
        return bool(self.looked_at) and not self.lacks

    def text(self) -> str:
        """The verdict in words."""
        if not self.looked_at:
            return "not looked at"
        if self.lacks:
            return "lacks " + ", ".join(self._told(row) for row in self.lacks)
        return "ok" + (f" as far as known (not looked at: {', '.join(self.unknown)})" if self.unknown else "")

    def _told(self, row: Row) -> str:
        why = row.found.error or row.found.result
        where = f" on {shown(row.hosts)}" if len(row.hosts) < self.looked_at else ""
        return f"{row.feature} ({why}{where})"


def rows(looks: Sequence[Look]) -> list[Row]:
    """Return a row for each feature, and one more for each group of hosts that differs from the others."""
    found = []
    for feature in FEATURES:
        groups: dict[Found, list[str]] = {}
        for look in looks:
            if feature in look.found:
                groups.setdefault(look.found[feature], []).append(look.host)
        found += [Row(feature, one, tuple(hosts)) for one, hosts in groups.items()]
    return found


def verdicts(looks: Sequence[Look]) -> list[Verdict]:
    """Return a verdict for each use."""
    seen = [look for look in looks if look.found]
    found = rows(seen)
    return [
        Verdict(
            use,
            lacks=tuple(row for row in found if row.feature in needs and row.found.lacks),
            unknown=tuple(
                dict.fromkeys(
                    row.feature for row in found if row.feature in needs and row.found.result == "not looked at"
                )
            ),
            looked_at=len(seen),
        )
        for use, needs in USES.items()
    ]


def shown(hosts: Sequence[str]) -> str:
    """Return hosts for a cell: a fleet has hundreds."""
    return ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
