"""How long single calls took, over all ranks and repeats: with our own engine, and with what it is checked by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mounttool import histogram

PERCENTS = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of ``write`` or ``read`` of one target and phase by one engine: all ranks and valid repeats together.

    ``percentiles_ns`` are for `PERCENTS`. Our own engine's histograms round down, by at most 6 %.
    """

    target: str
    phase: str
    engine: str
    calls: int
    percentiles_ns: tuple[int, ...]
    max_ns: int


def calls(rows: pd.DataFrame) -> Iterator[Calls]:
    """Yield the calls of the valid ones of these rows; of phases and engines without histograms there are none."""
    told = rows[rows["valid"] & (rows["hist"] != "")]
    for (target, phase, engine), found in told.groupby(["target", "phase", "engine"]):
        bins = histogram.merge(map(histogram.from_text, found["hist"]))
        percentiles = tuple(histogram.percentile(bins, percent) for percent in PERCENTS)
        slowest = int(found["lat_max_ns"].max())
        yield Calls(str(target), str(phase), str(engine), sum(bins.values()), percentiles, slowest)
