"""bench and compare: measure mounts, and set the results side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.deliver import fleet
from mounttool.deliver.apply import facts
from mounttool.errors import InputError
from mounttool.quantities import parse_bytes
from mounttool.session import Session
from mounttool.tasks._command import ALL, Choice, command, hosts_of
from mounttool.terminal import err, out, print_json

if TYPE_CHECKING:
    from mounttool.bench.target import Target

_RESULTS = Path("results")
#: A benchmark takes as long as its data; what bounds it is the limit on each command, not on the whole session.
_DEADLINE_S = 86400


@command(
    size="how much each rank writes, such as 512MiB",
    ranks="how many processes write at once, a file each",
    repeats="how often each target is measured, beside one warm-up",
    results="the folder that keeps what was measured",
    baseline="a directory on the nodes' own disk to compare with; empty: none",
)
def bench(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    size: str = "512MiB",
    ranks: int = 1,
    repeats: int = 5,
    results: str = str(_RESULTS),
    baseline: str = "/var/tmp",  # noqa: S108 - a directory of its own is made there, on the disk and not in memory
    json_: bool = False,
) -> None:
    """Write a checkpoint on one node, restore it cold on the next, compare checksums; beside the nodes' own disk.

    Raw fio output and tidy rows are kept below results/raw/; `fab compare` shows them.

    Example: fab bench --size 512MiB --repeats 5
    """
    from mounttool.bench import protocol, target  # noqa: PLC0415 - see `compare`

    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    size_bytes = parse_bytes(size)
    chosen = hosts_of(loaded, hosts)
    if not chosen:
        raise InputError("no hosts: give fleet.hosts in the configuration, or --hosts")
    patient = loaded.fleet.model_copy(update={"deadline_s": _DEADLINE_S})
    with ExitStack() as stack:
        sessions = [fleet.session(host, patient) for host in chosen]
        for session in sessions:
            stack.callback(session.close)
        summary = protocol.run(
            [*_targets(mounts, sessions[0], size_bytes), *([target.baseline(baseline)] if baseline else [])],
            sessions,
            size_bytes=size_bytes,
            ranks=ranks,
            repeats=repeats,
            results=Path(results),
            progress=lambda text: err.print(text, markup=False),
        )
    if json_:
        print_json({"run": summary.run_id, "folder": str(summary.folder), "rows": len(summary.rows)})
    else:
        out.print(f"kept in {summary.folder}; `fab compare` shows it", markup=False)


def _targets(mounts: Sequence[Backend], session: Session, size_bytes: int) -> list[Target]:
    from mounttool.bench.target import Target  # noqa: PLC0415 - see `compare`

    node = facts(session)
    targets = []
    for mount in mounts:
        if mount.read_only:
            raise InputError(f"{mount.name} is mounted read-only: expected mounts to write to (--name picks one)")
        plan = mount.plan(node)
        if 0 < plan.largest_file_bytes < size_bytes:
            raise InputError(
                f"--size {size_bytes}: a file on {mount.name} has at most {plan.largest_file_bytes} bytes",
                hint="a larger write_part_size, or more --ranks of a smaller --size",
            )
        targets.append(
            Target(
                name=plan.name,
                backend=plan.backend,
                path=plan.data_path,
                shared=mount.shared,
                plan_digest=plan.digest,
                caches=plan.caches,
                settings=plan.settings,
            )
        )
    return targets


@command(
    runs="run ids, or folders with rows.jsonl, comma-separated; default: the newest run",
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
    png, svg = plots.plot(frame, path, allow=may_differ)
    if json_:
        print_json({**table.data(frame, allow=may_differ), "plots": [str(png), str(svg)]})
        return
    out.print(table.table(frame, allow=may_differ))
    out.print(f"plots: {png} {svg}", markup=False)


def _folders(runs: str, results: Path) -> list[Path]:
    if not runs:
        # A run's name begins with its time.
        found = sorted(path.parent for path in (results / "raw").glob("*/rows.jsonl"))
        if not found:
            raise InputError(f"{results / 'raw'}: no results yet", hint="`fab bench` measures")
        return found[-1:]
    folders = []
    for run in runs.split(","):
        folder = Path(run) if Path(run).exists() else results / "raw" / run
        if not folder.exists():
            raise InputError(f"--runs {run}: expected a run below {results / 'raw'} or a folder with rows.jsonl")
        folders.append(folder)
    return folders
