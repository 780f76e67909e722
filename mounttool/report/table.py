"""The comparison as a table for people, and as plain data for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd
from rich.markup import escape
from rich.table import Table

from mounttool.quantities import format_rate
from mounttool.report.compare import Comparison, Figures, compare


def table(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> Table:
    """Return a table of ``frame``'s rows; what was left out and what to bear in mind stands below it.

    Raises:
        ResultsError: the rows must not be compared.

    """
    comparison = compare(frame, allow=allow)
    shown = Table(title=escape(comparison.title), caption=escape(_caption(comparison)), caption_justify="left")
    shown.add_column("phase")
    shown.add_column("target", overflow="fold")
    for name in ("median\nMB/s", "95 % CI\nMB/s", "min to max\nMB/s", "n", "not\nvalid", "CV", "of\nbaseline"):
        shown.add_column(name, justify="right")
    last_phase = ""
    for figures in comparison.figures:
        if last_phase and figures.phase != last_phase:
            shown.add_section()
        last_phase = figures.phase
        shown.add_row(*(escape(cell) for cell in _cells(figures)))
    return shown


def data(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> dict[str, object]:
    """Return the same as plain data; rates in bytes per second.

    Raises:
        ResultsError: the rows must not be compared.

    """
    return dataclasses.asdict(compare(frame, allow=allow))


def _cells(figures: Figures) -> tuple[str, ...]:
    name = f"{figures.target} (baseline)" if figures.is_baseline else figures.target
    counts = (str(len(figures.rates)), str(figures.invalid))
    if figures.median is None or figures.low is None or figures.high is None:
        return figures.phase, name, "not ranked", "", "", *counts, "", ""
    return (
        figures.phase,
        name,
        _number(figures.median),
        " to ".join(map(_number, figures.interval)) if figures.interval else "n=1",
        f"{_number(figures.low)} to {_number(figures.high)}",
        *counts,
        "" if figures.cv is None else f"{figures.cv:.1%}",
        "" if figures.ratio is None else f"{figures.ratio:.2f}x",
    )


def _number(bytes_per_s: float) -> str:
    """Return a rate without its unit, which stands in the column's head."""
    return format_rate(bytes_per_s).removesuffix(" MB/s")


def _caption(comparison: Comparison) -> str:
    lines = [
        f"not valid: {one.target}, {one.phase}, {one.repeats} of its repeats: {one.reason}"
        for one in comparison.left_out
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in comparison.notes)])
