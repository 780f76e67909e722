"""From rows to figures per target and phase. Rates are per second, of bytes or of files; nothing is rounded here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mounttool import intervals
from mounttool.errors import ResultsError
from mounttool.quantities import format_bytes, format_seconds
from mounttool.report.calls import Calls, calls
from mounttool.results import BASELINE, ENGINE, ONE_FILE, comparable

#: Phases that move a checkpoint's bytes, and then those whose rates are in files.
PHASES = ("write", "restore", "create", "list", "rename", "delete")
BYTE_PHASES = PHASES[:2]
#: Where the time of a write goes, in order.
STEPS = ("t_ack_s", "t_flush_s", "t_close_s", "t_lag_s")

_KILL = "kill"

# Below this, what is not the storage's (a scheduler's turn, a round trip of the clock) shows in a phase's time.
_SHORT_S = 0.5

#: Two engines that time the same calls and disagree by more are not both right.
_ENGINES_AGREE_WITHIN = 0.10


@dataclass(frozen=True, slots=True)
class Figures:
    """One target in one phase. A repeat's rate is what all ranks moved over the slowest rank's time.

    A write's time ends when another node has read it back; ``acknowledged`` is the median of what a clock that stops at
    the last ``write`` would have said, and ``steps_s`` are the medians of the slowest rank's `STEPS`; ``frozen_s`` is
    for how long a real process stood still for it. ``rates`` are the valid repeats' in the order of time; ``interval``
    is the 95 % bootstrap interval of their median, ``cv`` their coefficient of variation: both None below two.
    ``ratio`` is the median over the baseline's, with its interval. ``usd`` is what one repeat cost. What cannot be said
    of no valid repeat is None; ``invalid`` counts those left out.
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
    ratio_interval: tuple[float, float] | None
    acknowledged: float | None
    steps_s: tuple[float | None, ...]
    frozen_s: float | None
    first_byte_s: float | None
    usd: float | None
    invalid: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two neighbours in the order of a phase: the medians' ratio with its interval, and Mann and Whitney's p."""

    phase: str
    faster: str
    slower: str
    ratio: float
    interval: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Survival:
    """How many acknowledged checkpoints outlived their writer, with the 95 % interval of their share."""

    target: str
    acknowledged: int
    survived: int
    interval: tuple[float, float]


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
    pairs: tuple[Pair, ...]
    survivals: tuple[Survival, ...]
    left_out: tuple[LeftOut, ...]
    calls: tuple[Calls, ...]
    notes: tuple[str, ...]


def compare(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> Comparison:
    """Return the figures of ``frame``'s rows (columns: `mounttool.results.COLUMNS`), warm-ups left out.

    Only the rows of our own engine are ranked; another's are checked against them. ``allow`` names columns in which the
    rows may differ, as in `mounttool.results.comparable`.

    Raises:
        ResultsError: the rows must not be compared, or there are none but warm-ups.

    """
    measured = frame[~frame["warmup"]]
    if measured.empty:
        raise ResultsError("no repeats to compare: there are warm-ups only")
    own = measured[measured["engine"] == ENGINE]
    if own.empty:
        raise ResultsError(f"no rows of {ENGINE}: another engine does not say when a checkpoint is durable")
    comparable(own, allow=allow)
    repeats = _repeats(own[own["phase"] != _KILL])
    figures = tuple(itertools.chain.from_iterable(_of_phase(repeats, phase) for phase in PHASES))
    return Comparison(
        title=_title(own),
        figures=figures,
        pairs=tuple(_pairs(figures)),
        survivals=tuple(_survivals(own[own["phase"] == _KILL])),
        left_out=tuple(_left_out(repeats)),
        calls=tuple(calls(measured[measured["phase"].isin(BYTE_PHASES)])),
        notes=(*_notes(repeats), *_disagreements(measured)),
    )


def _repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per repeat: valid when every rank's row is there and is, with the first reason when not."""
    key = ["run_id", "target", "backend", "phase", "block", "repeat"]
    rows = rows.assign(usd=rows["usd_requests"] + rows["usd_throughput"] + rows["usd_storage"], rows=1)
    repeats = rows.groupby(key, as_index=False).agg(
        rows=("rows", "sum"),
        ranks=("ranks", "max"),
        bytes=("bytes", "sum"),
        files=("files", "sum"),
        wall_s=("wall_s", "max"),
        valid=("valid", "all"),
        start=("t_start_utc", "min"),
        reason=("invalid_reason", "max"),
        error=("error", "max"),
        first_byte_s=("t_first_byte_s", "max"),
        frozen_s=("t_frozen_s", "max"),
        # A cost that is unknown for one rank is unknown for all.
        usd=("usd", lambda costs: costs.sum(skipna=False)),
        **{step: (step, "max") for step in STEPS},
    )
    whole = repeats["rows"] == repeats["ranks"]
    repeats["reason"] = repeats["reason"].where(whole | (repeats["reason"] != ""), "cut off before all ranks were kept")
    repeats["valid"] &= whole
    moved = repeats["bytes"].where(repeats["phase"].isin(BYTE_PHASES), repeats["files"])
    # Only a valid repeat has a rate: one that failed may have taken no time at all.
    repeats["rate"] = (moved / repeats["wall_s"]).where(repeats["valid"])
    repeats["acknowledged"] = (moved / repeats["t_ack_s"]).where(repeats["valid"])
    return repeats.sort_values("start")


def _of_phase(repeats: pd.DataFrame, phase: str) -> list[Figures]:
    of_phase = repeats[repeats["phase"] == phase]
    baseline = of_phase[of_phase["valid"] & (of_phase["backend"] == BASELINE)]["rate"].to_list()
    found = [_figures(rows, baseline) for _, rows in of_phase.groupby("target")]
    return sorted(found, key=lambda one: (one.median is None, -(one.median or 0), one.target))


def _figures(repeats: pd.DataFrame, baseline: Sequence[float]) -> Figures:
    valid = repeats[repeats["valid"]]
    rates = valid["rate"].to_numpy(dtype=float)
    median = float(np.median(rates)) if len(rates) else None
    first = repeats.iloc[0]
    return Figures(
        target=str(first["target"]),
        is_baseline=bool(first["backend"] == BASELINE),
        phase=str(first["phase"]),
        rates=tuple(float(rate) for rate in rates),
        median=median,
        interval=intervals.of_median(rates.tolist()),
        low=float(rates.min()) if len(rates) else None,
        high=float(rates.max()) if len(rates) else None,
        cv=float(rates.std(ddof=1) / rates.mean()) if len(rates) > 1 else None,
        ratio=median / float(np.median(baseline)) if median is not None and len(baseline) else None,
        ratio_interval=intervals.of_ratio(rates.tolist(), baseline),
        acknowledged=_median(valid["acknowledged"]),
        steps_s=tuple(_median(valid[step]) for step in STEPS),
        frozen_s=_median(valid["frozen_s"]),
        first_byte_s=_median(valid["first_byte_s"]),
        usd=_median(valid["usd"]) if valid["usd"].notna().all() else None,
        invalid=len(repeats) - len(rates),
    )


def _median(column: pd.Series[float]) -> float | None:
    known = column.dropna()
    return float(known.median()) if len(known) else None


def _pairs(figures: Sequence[Figures]) -> Iterator[Pair]:
    ranked = [one for one in figures if one.median]
    for faster, slower in itertools.pairwise(ranked):
        if faster.phase == slower.phase and faster.median and slower.median:
            yield Pair(
                faster.phase,
                faster.target,
                slower.target,
                faster.median / slower.median,
                intervals.of_ratio(faster.rates, slower.rates),
                intervals.differ(faster.rates, slower.rates),
            )


def _survivals(rows: pd.DataFrame) -> Iterator[Survival]:
    for target, of_target in rows[rows["valid"]].groupby("target"):
        survived = of_target.groupby(["run_id", "repeat"])["checksum_ok"].all()
        found = intervals.of_share(int(survived.sum()), len(survived))
        yield Survival(str(target), len(survived), int(survived.sum()), found)


def _left_out(repeats: pd.DataFrame) -> list[LeftOut]:
    invalid = repeats[~repeats["valid"]]
    reasons = invalid["reason"].where(invalid["error"] == "", invalid["reason"] + ": " + invalid["error"])
    counted = invalid.assign(reason=reasons).groupby(["target", "phase", "reason"], as_index=False).size()
    columns = (counted[name].tolist() for name in ("target", "phase", "reason", "size"))
    return [LeftOut(*found) for found in zip(*columns, strict=True)]


def _notes(repeats: pd.DataFrame) -> Iterator[str]:
    valid = repeats[repeats["valid"]]
    counts = valid.groupby(["target", "phase"]).size()
    if counts.between(2, intervals.FEWEST_FOR_95 - 1).any():
        yield (f"below {intervals.FEWEST_FOR_95} repeats an interval holds the true median less often than 95 % says")
    short = valid[valid["phase"].isin(BYTE_PHASES)]
    if (short["wall_s"] < _SHORT_S).any():
        yield f"phases took as little as {format_seconds(float(short['wall_s'].min()))}: a larger size measures better"
    if (valid["phase"].eq("write") & valid["backend"].eq(BASELINE)).any():
        yield "the baseline is lost with its node: durable there means synced to its own disk"


def _disagreements(rows: pd.DataFrame) -> Iterator[str]:
    """What another engine says of the same calls (open, write, fsync; read), where it differs by more than it may."""
    rows = rows[rows["engine"] != ENGINE]
    rows = rows.assign(rate=rows["bytes"] / rows["wall_s"])
    for (target, phase), found in rows.groupby(["target", "phase"]):
        own = found[found["engine"] == ONE_FILE]["rate"]
        for engine, others in found[found["engine"] != ONE_FILE].groupby("engine"):
            ratio = float(others["rate"].median() / own.median())
            if abs(ratio - 1) > _ENGINES_AGREE_WITHIN:
                yield (
                    f"flagged: {target}, {phase}: {engine} says {ratio:.2f} times what {ENGINE} does of the same calls "
                    f"(n={len(others)} and {len(own)}): one of both is wrong, or the storage is not steady"
                )


def _title(frame: pd.DataFrame) -> str:
    rows = frame[frame["valid"]] if frame["valid"].any() else frame
    sizes = " or ".join(format_bytes(size) for size in sorted(rows["size_bytes"].unique()) if size)
    ranks, nodes = (_numbers(rows[name]) for name in ("ranks", "nodes"))
    days = sorted({start[:10] for start in rows["t_start_utc"]})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    named = " or ".join(sorted(rows["workload"].unique()))
    per_rank = f"{sizes} per rank, " if sizes else ""
    return f"{named}: {per_rank}ranks: {ranks}, nodes: {nodes}, {when}"


def _numbers(column: pd.Series[int]) -> str:
    return " or ".join(str(number) for number in sorted(column.unique()))
