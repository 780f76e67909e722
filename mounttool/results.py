"""Measured rows: one per rank, phase and repeat, kept as JSON lines that are only ever appended to."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mounttool.errors import ResultsError

SCHEMA_VERSION = 1
ROWS_FILE = "rows.jsonl"

# The backend of rows from a node's own disk, which the others are compared to.
BASELINE = "local"

# A number depends on these at least as much as on the storage. `bytes` is what one rank wrote or read.
COMPARED_WITHIN = ("kernel", "engine_version", "workload", "bytes", "block_size", "ranks", "nodes")


@dataclass(frozen=True, slots=True)
class Row:
    """What one rank did in one phase of one repeat.

    ``target`` is the mount's name and ``mount_opts_hash`` its plan's digest. A ``block`` is one round over all targets
    in random order; ``repeat`` counts a target's own, and number 0 is the warm-up. ``node`` is where the phase ran,
    ``nodes`` how many took part in the run. ``bytes`` were really moved.

    ``wall_s`` lasts from the first rank's start until the whole process has ended, so ``close()`` is in it and it is
    the same for all ranks; ``bw_ack`` is bytes per second as the engine claims it for this rank, without ``close()``.
    Latencies are those of single calls in nanoseconds, None where there was no call. ``nic_rx`` are the bytes that the
    node's interfaces received meanwhile; it and ``cold_verified`` are None where they do not apply.
    ``checksum_ok``: the reader read what the writer wrote. A row with ``valid`` False says why in ``invalid_reason``.
    """

    run_id: str
    target: str
    backend: str
    mount_opts_hash: str
    block: int
    repeat: int
    warmup: bool
    workload: str
    engine: str
    engine_version: str
    kernel: str
    node: str
    nodes: int
    rank: int
    ranks: int
    phase: str
    bytes: int
    files: int
    block_size: int
    seed: int
    t_start_utc: str
    wall_s: float
    bw_ack: float
    lat_p50_ns: int | None
    lat_p95_ns: int | None
    lat_p99_ns: int | None
    lat_max_ns: int | None
    cold_verified: bool | None
    nic_rx: int | None
    checksum_ok: bool
    error: str
    valid: bool
    invalid_reason: str
    schema_version: int = SCHEMA_VERSION


_TYPES = typing.get_type_hints(Row)
COLUMNS = tuple(part.name for part in dataclasses.fields(Row))


def append(path: Path, rows: Iterable[Row]) -> None:
    """Append ``rows`` to the file at ``path``, in one write, so that an interruption loses whole repeats only."""
    lines = "".join(json.dumps(dataclasses.asdict(row), allow_nan=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)


def load(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of files, and of all the ``rows.jsonl`` below directories, with the columns of `COLUMNS`.

    Raises:
        ResultsError: there are no rows, or one cannot be read; names its file and line.

    """
    rows = [row for file in _files(paths) for row in _read(file)]
    if not rows:
        raise ResultsError(f"no rows in {', '.join(map(str, paths)) or 'no path'}", hint="run a benchmark first")
    return to_frame(rows)


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return ``rows`` as a frame with the columns of `COLUMNS`; what may be missing has a nullable type."""
    frame = pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=list(COLUMNS))
    nullable = {"cold_verified": "boolean", "nic_rx": "Int64"}
    nullable |= dict.fromkeys((name for name in COLUMNS if name.startswith("lat_")), "Int64")
    return frame.astype(nullable)


def comparable(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> None:
    """Return quietly when the rows may stand side by side.

    ``allow`` names columns of `COMPARED_WITHIN` in which they may differ all the same.

    Raises:
        ResultsError: they differ in a column that the numbers depend on, or ``allow`` names none such.

    """
    for name in allow:
        if name not in COMPARED_WITHIN:
            raise ResultsError(f"{name!r} cannot be allowed to differ: expected one of {', '.join(COMPARED_WITHIN)}")
    # A rank that failed moved fewer bytes: that is a finding about it, not another workload.
    valid = frame[frame["valid"]]
    for name in COMPARED_WITHIN:
        found = sorted(map(str, valid[name].unique()))
        if len(found) > 1 and name not in allow:
            raise ResultsError(
                f"rows differ in {name}: {', '.join(found)}", hint=f"choose rows that agree, or allow {name} to differ"
            )
    # One name for two ways to mount would mix them into one figure.
    for target, rows in valid.groupby("target"):
        if len(found := sorted(rows["mount_opts_hash"].unique())) > 1:
            raise ResultsError(f"rows of {target} were measured with different plans: {', '.join(found)}")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob(ROWS_FILE))
        else:
            yield path


def _read(path: Path) -> Iterator[Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    for number, line in enumerate(lines, start=1):
        yield _row(line, f"{path}:{number}")


def _row(line: str, where: str) -> Row:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise ResultsError(f"{where}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ResultsError(f"{where}: expected an object, found {line[:40]!r}")
    # Checked before the columns: another version may have others, and its numbers may mean something else.
    if values.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(f"{where}: schema_version = {values.get('schema_version')!r}: expected {SCHEMA_VERSION}")
    for name, kind in _TYPES.items():
        if name not in values:
            raise ResultsError(f"{where}: {name} is missing")
        if not _is_a(values[name], kind):
            expected = getattr(kind, "__name__", str(kind))
            raise ResultsError(f"{where}: {name} = {values[name]!r}: expected {expected}")
    if unknown := sorted(set(values) - set(_TYPES)):
        raise ResultsError(f"{where}: unknown column {unknown[0]}")
    return Row(**values)


def _is_a(value: object, kind: type) -> bool:
    kinds = typing.get_args(kind) or (kind,)
    if isinstance(value, bool):  # which Python also takes for an int
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))
