"""compare: set what was measured side by side."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from mounttool.errors import InputError
from mounttool.tasks._command import command
from mounttool.terminal import out, print_json

_RESULTS = Path("results")


@command(
    runs="run ids, or folders with rows, comma-separated; default: the newest run",
    results="the folder that keeps what was measured",
    plot="where the picture goes; .png and .svg are written",
    allow="columns in which the rows may differ, comma-separated, such as kernel",
)
def compare(
    c: Context,
    runs: str = "",
    results: str = str(_RESULTS),
    plot: str = "",
    allow: str = "",
    json_: bool = False,
) -> None:
    """Compare what was measured: a table with intervals, and a plot in which every repeat is a dot.

    Rows measured under different conditions are refused, unless --allow names the column.

    Example: fab compare
    """
    # pandas and matplotlib take most of a second to import: only those who look at results wait for them.
    from mounttool import results as rows  # noqa: PLC0415
    from mounttool.report import plot as plots  # noqa: PLC0415
    from mounttool.report import table  # noqa: PLC0415

    folders = _folders(runs, Path(results))
    frame = rows.load(folders)
    may_differ = [column for column in allow.split(",") if column]
    path = Path(plot) if plot else Path(results) / f"compare-{folders[-1].name}"
    data = table.data(frame, allow=may_differ)
    # Writers that were killed leave nothing to draw.
    drawn = plots.plot(frame, path, allow=may_differ) if data["figures"] else ()
    if json_:
        print_json({**data, "plots": [str(file) for file in drawn]})
        return
    out.print(table.tables(frame, allow=may_differ))
    if drawn:
        out.print(f"plots: {' '.join(map(str, drawn))}", markup=False)


def _folders(runs: str, results: Path) -> list[Path]:
    if not runs:
        # A run's name begins with its time.
        found = sorted({path.parent for path in (results / "raw").glob("*/rows.*")})
        if not found:
            raise InputError(f"{results / 'raw'}: no results yet", hint="`fab bench` measures")
        return found[-1:]
    folders = []
    for run in runs.split(","):
        folder = Path(run) if Path(run).exists() else results / "raw" / run
        if not folder.exists():
            raise InputError(f"--runs {run}: expected a run below {results / 'raw'} or a folder with rows")
        folders.append(folder)
    return folders
