"""The comparison as tables for people, and as plain data for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mounttool.quantities import format_rate, format_seconds
from mounttool.report.calls import PERCENTS, Calls
from mounttool.report.compare import BYTE_PHASES, Comparison, Figures, compare

_SPREAD = ("median", "95 % CI", "min to max", "n", "not\nvalid", "CV", "of\nbaseline")
_STEPS = (
    "durable\nMB/s", "acknowledged\nMB/s", "ratio", "t_ack", "t_flush", "t_close", "t_lag",
)  # fmt: skip
#: Only where a real process was dumped: for how long it stood still, most of it in ``t_ack``.
_FROZEN = "frozen"


def tables(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> RenderableType:
    """Return tables of ``frame``'s rows; what was left out and what to bear in mind stands below them.

    Raises:
        ResultsError: the rows must not be compared.

    """
    comparison = compare(frame, allow=allow)
    parts: list[RenderableType] = []
    if comparison.figures:
        parts.append(_figures(comparison))
    if writes := [one for one in comparison.figures if one.phase == "write" and one.median is not None]:
        parts.append(_steps(writes))
    if comparison.calls:
        parts.append(_calls(comparison.calls))
    if comparison.survivals:
        parts.append(_survivals(comparison))
    parts += [Text(line) for line in _lines(comparison)]
    return Group(*parts)


def data(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> dict[str, object]:
    """Return the same as plain data; rates in bytes or files per second.

    Raises:
        ResultsError: the rows must not be compared.

    """
    return dataclasses.asdict(compare(frame, allow=allow))


def _figures(comparison: Comparison) -> Table:
    shown = Table(title=escape(comparison.title))
    shown.add_column("phase")
    shown.add_column("target", overflow="fold")
    for name in _SPREAD:
        shown.add_column(name, justify="right")
    last_phase = ""
    for figures in comparison.figures:
        if last_phase and figures.phase != last_phase:
            shown.add_section()
        last_phase = figures.phase
        shown.add_row(*(escape(cell) for cell in _cells(figures)))
    return shown


def _cells(figures: Figures) -> tuple[str, ...]:
    unit = "MB/s" if figures.phase in BYTE_PHASES else "files/s"
    head = (f"{figures.phase}, {unit}", _name(figures))
    counts = (str(len(figures.rates)), str(figures.invalid))
    if figures.median is None or figures.low is None or figures.high is None:
        return *head, "not ranked", "", "", *counts, "", ""
    ratio = "" if figures.ratio is None else f"{figures.ratio:.2f}x"
    if figures.ratio_interval and not figures.is_baseline:
        ratio += " ({:.2f} to {:.2f})".format(*figures.ratio_interval)
    return (
        *head,
        _number(figures.median, figures.phase),
        " to ".join(_number(bound, figures.phase) for bound in figures.interval) if figures.interval else "n=1",
        f"{_number(figures.low, figures.phase)} to {_number(figures.high, figures.phase)}",
        *counts,
        "" if figures.cv is None else f"{figures.cv:.1%}",
        ratio,
    )


def _calls(found: Sequence[Calls]) -> Table:
    shown = Table(title="how long single calls took (all ranks and repeats together)")
    shown.add_column("phase")
    shown.add_column("target", overflow="fold")
    shown.add_column("engine")
    for name in ("calls", *(f"p{percent}" for percent in PERCENTS), "max"):
        shown.add_column(name, justify="right")
    for one in sorted(found, key=lambda one: (BYTE_PHASES.index(one.phase), one.target, one.engine)):
        times = (format_seconds(ns / 1e9) for ns in (*one.percentiles_ns, one.max_ns))
        shown.add_row(one.phase, escape(one.target), escape(one.engine), str(one.calls), *times)
    return shown


def _steps(writes: Sequence[Figures]) -> Table:
    shown = Table(title="where the time of a write goes (medians of the slowest rank)")
    shown.add_column("target", overflow="fold")
    with_process = any(figures.frozen_s is not None for figures in writes)
    for name in (*_STEPS, *([_FROZEN] if with_process else []), "USD"):
        shown.add_column(name, justify="right")
    for figures in writes:
        if figures.median is None:
            continue
        acknowledged, usd = figures.acknowledged, figures.usd
        shown.add_row(
            escape(_name(figures)),
            _number(figures.median, "write"),
            "" if acknowledged is None else _number(acknowledged, "write"),
            "" if acknowledged is None else f"{acknowledged / figures.median:.2f}x",
            *map(_time, figures.steps_s),
            *([_time(figures.frozen_s)] if with_process else []),
            "unknown" if usd is None else f"{usd:.4f}",
        )
    return shown


def _survivals(comparison: Comparison) -> Table:
    shown = Table(title="checkpoints that outlived their writer")
    shown.add_column("target", overflow="fold")
    for name in ("acknowledged", "restored by\nanother node", "share", "95 % CI"):
        shown.add_column(name, justify="right")
    for one in comparison.survivals:
        low, high = one.interval
        shown.add_row(
            escape(one.target),
            str(one.acknowledged),
            str(one.survived),
            f"{one.survived / one.acknowledged:.0%}",
            f"{low:.1%} to {high:.1%}",
        )
    return shown


def _lines(comparison: Comparison) -> Iterator[str]:
    for pair in comparison.pairs:
        interval = " ({:.2f} to {:.2f})".format(*pair.interval) if pair.interval else ""
        chance = "" if pair.p is None else f", p = {pair.p:.2g}"
        yield f"{pair.phase}: {pair.faster} is {pair.ratio:.2f} times as fast as {pair.slower}{interval}{chance}"
    for one in comparison.left_out:
        yield f"not valid: {one.target}, {one.phase}, {one.repeats} of its repeats: {one.reason}"
    for note in comparison.notes:
        yield f"note: {note}"


def _name(figures: Figures) -> str:
    return f"{figures.target} (baseline)" if figures.is_baseline else figures.target


def _time(seconds: float | None) -> str:
    return "" if seconds is None else format_seconds(seconds)


def _number(rate: float, phase: str) -> str:
    """Return a rate without its unit, which stands beside the phase."""
    return format_rate(rate).removesuffix(" MB/s") if phase in BYTE_PHASES else f"{rate:.0f}"
