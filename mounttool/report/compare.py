"""From rows to figures per target and phase. Rates are in bytes per second; nothing is rounded here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mounttool.errors import ResultsError
from mounttool.quantities import format_bytes, format_seconds
from mounttool.results import BASELINE, comparable

PHASES = ("write", "restore")

# Resampling is random: a fixed seed gives the same interval for the same rows, every time.
_BOOTSTRAP_SEED = 20240229
_BOOTSTRAP_RESAMPLES = 9999

# Even the whole range of n repeats misses the median with a chance of 2 / 2**n: more than 5 % below six.
_FEWEST_FOR_95 = 6

# fio polls for its ranks' end, up to 0.15 s late; below this a phase's time is not only the storage's.
_SHORT_S = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One target in one phase. A repeat's rate is the bytes of all ranks over the slowest rank's time.

    ``rates`` are the valid repeats' in the order of time; ``interval`` is the 95 % bootstrap interval of their median,
    ``cv`` their coefficient of variation: both None below two repeats. ``ratio`` is the median over the baseline's.
    What cannot be said of no valid repeat is None; ``invalid`` counts the repeats left out.
    """

    target: str
    is_baseline: bool
    phase: str
    rates: tuple[float, ...]
    median: float | None
    interval: tuple[float, float] | None
    low: float | None
    high: float | None
    cv: float | None
    ratio: float | None
    invalid: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Repeats that are not ranked, and why."""

    target: str
    phase: str
    reason: str
    repeats: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a table or a plot shows: figures, fastest first in each phase, those without a valid repeat last."""

    title: str
    figures: tuple[Figures, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def compare(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> Comparison:
    """Return the figures of ``frame``'s rows (columns: `mounttool.results.COLUMNS`), warm-ups left out.

    ``allow`` names columns in which the rows may differ, as in `mounttool.results.comparable`.

    Raises:
        ResultsError: the rows must not be compared, or there are none but warm-ups.

    """
    measured = frame[~frame["warmup"]]
    if measured.empty:
        raise ResultsError("no repeats to compare: there are warm-ups only")
    comparable(measured, allow=allow)
    repeats = _repeats(measured)
    figures = []
    for phase in PHASES:
        of_phase = repeats[repeats["phase"] == phase]
        baseline = of_phase[of_phase["valid"] & (of_phase["backend"] == BASELINE)]["rate"]
        baseline_median = float(baseline.median()) if len(baseline) else None
        found = [_figures(rows, baseline_median) for _, rows in of_phase.groupby("target")]
        figures += sorted(found, key=lambda one: (one.median is None, -(one.median or 0), one.target))
    return Comparison(
        title=_title(measured), figures=tuple(figures), left_out=tuple(_left_out(repeats)), notes=tuple(_notes(repeats))
    )


def _repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per repeat: valid when every rank's row is, with the first reason when not."""
    key = ["run_id", "target", "backend", "phase", "block", "repeat"]
    repeats = rows.groupby(key, as_index=False).agg(
        bytes=("bytes", "sum"),
        wall_s=("wall_s", "max"),
        valid=("valid", "all"),
        start=("t_start_utc", "min"),
        reason=("invalid_reason", "max"),
        error=("error", "max"),
    )
    # Only a valid repeat has a rate: one that failed may have taken no time at all.
    repeats["rate"] = (repeats["bytes"] / repeats["wall_s"]).where(repeats["valid"])
    return repeats.sort_values("start")


def _figures(repeats: pd.DataFrame, baseline_median: float | None) -> Figures:
    rates = repeats[repeats["valid"]]["rate"].to_numpy(dtype=float)
    median = float(np.median(rates)) if len(rates) else None
    first = repeats.iloc[0]
    return Figures(
        target=str(first["target"]),
        is_baseline=bool(first["backend"] == BASELINE),
        phase=str(first["phase"]),
        rates=tuple(float(rate) for rate in rates),
        median=median,
        interval=_interval(rates) if len(rates) > 1 else None,
        low=float(rates.min()) if len(rates) else None,
        high=float(rates.max()) if len(rates) else None,
        cv=float(rates.std(ddof=1) / rates.mean()) if len(rates) > 1 else None,
        ratio=median / baseline_median if median is not None and baseline_median is not None else None,
        invalid=len(repeats) - len(rates),
    )


def _interval(rates: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    # The percentile method: BCa, the default, has no answer when repeats are equal.
    found = stats.bootstrap(
        (rates,),
        np.median,
        method="percentile",
        n_resamples=_BOOTSTRAP_RESAMPLES,
        rng=np.random.default_rng(_BOOTSTRAP_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def _left_out(repeats: pd.DataFrame) -> list[LeftOut]:
    invalid = repeats[~repeats["valid"]]
    reasons = invalid["reason"].where(invalid["error"] == "", invalid["reason"] + ": " + invalid["error"])
    counted = invalid.assign(reason=reasons).groupby(["target", "phase", "reason"], as_index=False).size()
    columns = (counted[name].tolist() for name in ("target", "phase", "reason", "size"))
    return [LeftOut(*found) for found in zip(*columns, strict=True)]


def _notes(repeats: pd.DataFrame) -> list[str]:
    notes = []
    valid = repeats[repeats["valid"]]
    counts = valid.groupby(["target", "phase"]).size()
    if counts.between(2, _FEWEST_FOR_95 - 1).any():
        notes.append(f"below {_FEWEST_FOR_95} repeats an interval holds the true median less often than 95 % says")
    if (valid["wall_s"] < _SHORT_S).any():
        shortest_s = format_seconds(float(valid["wall_s"].min()))
        own_time = "up to 0.15 s are fio's own end (before fio 3.36 also 0.3 s of its start)"
        notes.append(f"phases took as little as {shortest_s}, of which {own_time}: a larger size measures better")
    return notes


def _title(frame: pd.DataFrame) -> str:
    rows = frame[frame["valid"]] if frame["valid"].any() else frame
    sizes = " or ".join(format_bytes(size) for size in sorted(rows["bytes"].unique()))
    ranks, nodes = (_numbers(rows[name]) for name in ("ranks", "nodes"))
    days = sorted({start[:10] for start in rows["t_start_utc"]})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"checkpoint: {sizes} per rank, ranks: {ranks}, nodes: {nodes}, {when}"


def _numbers(column: pd.Series[int]) -> str:
    return " or ".join(str(number) for number in sorted(column.unique()))
