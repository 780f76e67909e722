"""The comparison as a picture: every valid repeat is a dot, so that nobody has to trust a bar."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mounttool.quantities import format_rate
from mounttool.report.compare import BYTE_PHASES, PHASES, Comparison, Figures, compare

# Two colours that keep apart in print and for the colour-blind; hatching and the marker's shape say the same.
_MOUNT_COLOUR = "#0b5394"
_BASELINE_COLOUR = "#8a5a00"

#: How many times as far as the fastest durable rate the axis may reach for what was only acknowledged.
_ACKNOWLEDGED_UP_TO = 3.0

_WIDTH_IN = 11.0
_ROW_IN = 0.72
_FRAME_IN = 1.9
_NAME_WIDTH = 26

_LEGEND = (
    "dot: one repeat    long stroke: median    bar with caps: 95 % bootstrap interval of the median"
    "    cross: what the clock of the last write() would say    hatched, squares: baseline"
)


def plot(frame: pd.DataFrame, path: Path, *, allow: Sequence[str] = ()) -> tuple[Path, Path]:
    """Draw ``frame``'s rows and return the PNG and the SVG, which are ``path`` with these suffixes.

    Raises:
        ResultsError: the rows must not be compared.

    """
    comparison = compare(frame, allow=allow)
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    # The same rows give the same bytes: no date, no random ids. A dollar sign in a name is no formula.
    with mpl.rc_context({"svg.hashsalt": "mounttool", "svg.fonttype": "none", "text.parse_math": False}):
        figure = _draw(comparison)
        figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def _draw(comparison: Comparison) -> Figure:
    # One order for both panels, fastest writer on top, so that a target is on one line.
    labels = {figures.target: _label(figures) for figures in comparison.figures}
    rows = {target: row for row, target in enumerate(labels)}
    figure = Figure(figsize=(_WIDTH_IN, _FRAME_IN + _ROW_IN * len(labels)), layout="constrained")
    FigureCanvasAgg(figure)
    phases = [phase for phase in PHASES if any(figures.phase == phase for figures in comparison.figures)]
    panels = figure.subplots(1, len(phases), sharey=True, squeeze=False)[0]
    for axes, phase in zip(panels, phases, strict=True):
        of_phase = [figures for figures in comparison.figures if figures.phase == phase]
        _panel(axes, phase, of_phase, rows)
    panels[0].set_yticks(list(rows.values()), list(labels.values()))
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.suptitle("\n".join(textwrap.wrap(comparison.title, 110)), fontsize=12)
    figure.supxlabel(_LEGEND, fontsize=8)
    return figure


def _panel(axes: Axes, phase: str, of_phase: Sequence[Figures], rows: Mapping[str, int]) -> None:
    of_bytes = phase in BYTE_PHASES
    axes.set_title("write until durable" if phase == "write" else phase, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(f"all ranks, {'MB/s' if of_bytes else 'files/s'} (more is better)")
    fastest = max((figures.high for figures in of_phase if figures.high is not None), default=_scale(phase))
    # What was only acknowledged may be many times faster: it must not press what is durable against the axis.
    shown = max((one.acknowledged or 0.0 for one in of_phase if phase == "write"), default=0.0)
    axes.set_xlim(0, max(fastest, min(shown, _ACKNOWLEDGED_UP_TO * fastest)) / _scale(phase) * 1.08)
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    for figures in of_phase:
        _target(axes, figures, rows[figures.target])


def _target(axes: Axes, figures: Figures, row: int) -> None:
    colour = _BASELINE_COLOUR if figures.is_baseline else _MOUNT_COLOUR
    if figures.is_baseline:
        axes.axhspan(row - 0.5, row + 0.5, facecolor="none", edgecolor="#e6e6e6", hatch="///", linewidth=0, zorder=0)
    note = f"n={len(figures.rates)}" + (f", {figures.invalid} not valid" if figures.invalid else "")
    middle = axes.get_xlim()[1] / 2
    if figures.median is None:
        axes.text(middle, row, f"not ranked: {note}", ha="center", va="center", fontsize=9, style="italic")
        return
    scale = _scale(figures.phase)
    rates = np.array(figures.rates) / scale
    # Spread evenly in the order of time, so that equal repeats do not hide each other and a drift shows.
    heights = row + (np.linspace(-0.16, 0.16, len(rates)) if len(rates) > 1 else np.zeros(1))
    marker = "s" if figures.is_baseline else "o"
    axes.plot(rates, heights, marker, color=colour, markerfacecolor="white", markersize=5, zorder=5)
    median = figures.median / scale
    axes.plot([median, median], [row - 0.28, row + 0.28], color=colour, linewidth=2.5, zorder=4)
    if figures.interval:
        low, high = (bound / scale for bound in figures.interval)
        axes.errorbar(
            median,
            row + 0.28,
            xerr=[[median - low], [high - median]],
            color=colour,
            capsize=4,
            linewidth=1.5,
            zorder=4,
        )
    if figures.acknowledged is not None and figures.phase == "write":
        _acknowledged(axes, figures.acknowledged / scale, row, colour)
    # On the side with more room, so that it never leaves the panel.
    side = "right" if median > middle else "left"
    rate = format_rate(figures.median) if scale > 1 else f"{figures.median:.0f} files/s"
    axes.text(median, row - 0.3, f"{rate}  ({note})", ha=side, va="bottom", fontsize=9)


def _acknowledged(axes: Axes, rate: float, row: int, colour: str) -> None:
    edge = axes.get_xlim()[1]
    if rate <= edge:
        axes.plot(rate, row, "x", color=colour, markersize=7, zorder=4)
    else:
        axes.text(
            edge,
            row,
            f"\N{MULTIPLICATION SIGN} at {rate:.0f} \N{RIGHTWARDS ARROW}",
            ha="right",
            va="center",
            fontsize=9,
            color=colour,
        )


def _scale(phase: str) -> float:
    return 1e6 if phase in BYTE_PHASES else 1.0


def _label(figures: Figures) -> str:
    lines = textwrap.wrap(figures.target, _NAME_WIDTH, max_lines=3, placeholder=" …")
    return "\n".join([*lines, "(baseline)"] if figures.is_baseline else lines)
