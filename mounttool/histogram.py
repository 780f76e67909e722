"""How many calls had which latency, in nanoseconds: the only form in which the calls of several ranks can be merged.

Percentiles cannot: the mean of two is the percentile of nothing.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from mounttool.errors import ResultsError


def to_text(bins: Mapping[int, int]) -> str:
    """Return the form that a row has, ``NS:CALLS NS:CALLS``, without what no call had."""
    return " ".join(f"{latency}:{calls}" for latency, calls in sorted(bins.items()) if calls)


def from_text(text: str) -> dict[int, int]:
    """Return what `to_text` was given.

    Raises:
        ResultsError: the text is something else.

    """
    try:
        return {int(latency): int(calls) for latency, calls in (one.split(":") for one in text.split())}
    except ValueError:
        raise ResultsError(f"hist = {text[:80]!r}: expected NS:CALLS NS:CALLS") from None


def merge(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the histogram of all calls together."""
    merged: Counter[int] = Counter()
    for bins in histograms:
        merged.update(bins)
    return dict(sorted(merged.items()))


def percentile(bins: Mapping[int, int], percent: float) -> int:
    """Return the smallest latency in ns that at least ``percent`` of the calls did not exceed.

    Raises:
        ResultsError: there are no calls in it, or ``percent`` is not above 0 and at most 100.

    """
    calls = sum(bins.values())
    if calls == 0 or not 0 < percent <= 100:
        raise ResultsError(f"no percentile {percent:g} of {calls} calls: expected calls and a percentage in (0, 100]")
    latencies = sorted(bins)
    reached = itertools.accumulate(bins[latency] for latency in latencies)
    wanted = math.ceil(calls * percent / 100)
    return next(latency for latency, count in zip(latencies, reached, strict=True) if count >= wanted)
