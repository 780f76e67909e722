"""Many hosts' names in few words: ``node[1-500]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


def fold(hosts: Iterable[str], most: int = 0) -> str:
    """Return the hosts, those that differ in their last number only as ranges; the first ``most`` parts, 0 for all.

    A range holds every number between its ends: ``node[1-3]`` is node1, node2 and node3, ``node[01-03]`` node01 and on.
    """
    runs: dict[tuple[str, str, int], list[int]] = {}
    for host in dict.fromkeys(hosts):
        found = _NUMBERED.fullmatch(host)
        # Numbers of one width count as such only where a zero leads: node9 and node10 are neighbours.
        width = len(found[2]) if found and found[2].startswith("0") else 0
        key = (found[1], found[3], width) if found else (host, "", -1)
        runs.setdefault(key, []).append(int(found[2]) if found else 0)
    parts = [part for key, numbers in runs.items() for part in _ranges(*key, sorted(numbers))]
    hidden = len(parts) - most if most else 0
    if hidden > 0:
        return f"{', '.join(parts[:most])} and {hidden} more"
    return ", ".join(parts)


def _ranges(before: str, after: str, width: int, numbers: list[int]) -> Iterator[str]:
    if width < 0:
        yield before
        return
    first = last = numbers[0]
    for number in [*numbers[1:], -1]:
        if number == last + 1:
            last = number
            continue
        shown = f"{first:0{width}}" if first == last else f"[{first:0{width}}-{last:0{width}}]"
        yield f"{before}{shown}{after}"
        first = last = number
