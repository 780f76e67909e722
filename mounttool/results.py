"""Measured rows: one per rank, phase and repeat.

While a run goes on its rows are appended to a journal of JSON lines, which a crash can cost its last line at most. When
it ends, `seal` turns the journal into Parquet. `load` reads both, and everything else is derived from what it returns.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from mounttool.errors import ResultsError

SCHEMA_VERSION = 3
JOURNAL = "rows.jsonl"
SEALED = "rows.parquet"

#: The columns that rows of an older version lack. In all else these mean the same, and are read as before.
_LACKED: Mapping[int, tuple[str, ...]] = {2: ("t_frozen_s",)}

# The backend of rows from a node's own disk, which the others are compared to.
BASELINE = "local"
#: The engine that times each phase by itself; only its rows are ranked.
ENGINE = "mounttool"
#: The same, doing just what fio does beside it, a file for each rank: both are there to be checked against each other.
ONE_FILE = "mounttool, one file"

# A number depends on these at least as much as on the storage.
COMPARED_WITHIN = (
    "instance_type", "kernel", "engine", "engine_version", "workload", "workload_version", "size_bytes", "block_size",
    "compress_pct", "ranks", "nodes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What one rank did in one phase of one repeat. Times are in seconds, rates in bytes per second.

    ``target`` is the mount's name, ``backend_tier`` what it is priced as, ``mount_opts_hash`` its plan's digest. A
    ``block`` is one round over all targets in random order; ``repeat`` counts a target's own, 0 is the warm-up.
    ``size_bytes`` is what the largest rank was asked to write, ``bytes`` are those really moved. ``node`` is where the
    phase ran, ``nodes`` how many took part in the run; ``nic_baseline_gbps`` is what came through between two of them.

    ``phase`` is ``write``, ``restore``, ``kill`` or an operation on metadata. A write is acknowledged after ``t_ack_s``
    (open and every write), ``t_flush_s`` (fsync) and ``t_close_s``, and durable ``t_lag_s`` later, when another node
    has read it back equal. ``wall_s`` is the whole: their sum, and for a restore the time until its last byte.
    ``t_frozen_s`` is for how long a real process stood still for it. ``bw_ack`` and ``bw_durable`` are bytes over the
    time until acknowledged, and durable. Latencies are those of single calls in nanoseconds; ``hist`` has how many
    calls had which, as ``NS:CALLS NS:CALLS``.

    ``resident_frac`` is the share of the data that was still in the reader's page cache before it was read; ``nic_rx``
    and ``nic_tx`` count the node's network meanwhile. ``checksum_ok``: another node read what was written. What does
    not apply, or is not known, is None or empty. A row with ``valid`` False says why in ``invalid_reason``.
    """

    run_id: str
    target: str
    backend: str
    backend_tier: str
    mount_opts_hash: str
    metadata_engine: str
    block: int
    repeat: int
    warmup: bool
    workload: str
    workload_version: int
    size_bytes: int
    engine: str
    engine_version: str
    kernel: str
    instance_type: str
    vcpus: int
    az: str
    nic_baseline_gbps: float | None
    node: str
    nodes: int
    rank: int
    ranks: int
    phase: str
    files: int
    block_size: int
    compress_pct: int
    seed: int
    t_start_utc: str
    bytes: int = 0
    t_ack_s: float | None = None
    t_flush_s: float | None = None
    t_close_s: float | None = None
    t_lag_s: float | None = None
    t_frozen_s: float | None = None
    t_first_byte_s: float | None = None
    wall_s: float = 0.0
    bw_ack: float | None = None
    bw_durable: float | None = None
    lat_p50_ns: int | None = None
    lat_p95_ns: int | None = None
    lat_p99_ns: int | None = None
    lat_max_ns: int | None = None
    hist: str = ""
    fsync_calls: int | None = None
    cold_verified: bool | None = None
    resident_frac: float | None = None
    nic_rx: int | None = None
    nic_tx: int | None = None
    checksum_ok: bool | None = None
    credits_before: float | None = None
    credits_after: float | None = None
    cpu_s: float | None = None
    usd_requests: float | None = None
    usd_throughput: float | None = None
    usd_storage: float | None = None
    price_date: str = ""
    error: str = ""
    valid: bool = False
    invalid_reason: str = "failed"
    schema_version: int = SCHEMA_VERSION


_TYPES = typing.get_type_hints(Row)
COLUMNS = tuple(part.name for part in dataclasses.fields(Row))
_KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _kinds(name: str) -> tuple[type, ...]:
    return typing.get_args(_TYPES[name]) or (_TYPES[name],)


#: The columns of the Parquet file; one of them is the version.
SCHEMA = pa.schema([pa.field(name, _KINDS[_kinds(name)[0]], nullable=type(None) in _kinds(name)) for name in COLUMNS])


def append(path: Path, rows: Iterable[Row]) -> None:
    """Append ``rows`` to the journal at ``path`` and wait until it is on the disk: what was measured was paid for."""
    lines = "".join(json.dumps(dataclasses.asdict(row), allow_nan=False) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def seal(folder: Path) -> Path:
    """Turn the journal in ``folder`` into Parquet, and return that; the journal goes only when the other is whole.

    Raises:
        ResultsError: there are no rows, or one cannot be read.

    """
    journal, sealed = folder / JOURNAL, folder / SEALED
    table = _table(list(_read_journal(journal)))
    unfinished = sealed.with_suffix(".unfinished")
    # A run has few rows and many columns: what helps with many rows takes longer to read here than the rows themselves.
    parquet.write_table(
        table, unfinished, compression="none", use_dictionary=False, write_statistics=False, store_schema=False
    )
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.rename(sealed)
    journal.unlink()
    return sealed


def load(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of files, and of all runs below directories, with the columns of `COLUMNS`.

    Raises:
        ResultsError: there are no rows, or one cannot be read; names its file and line.

    """
    tables = {file: _with_all_columns(_read(file)) for path in paths for file in _files(path)}
    try:
        table = pa.concat_tables([SCHEMA.empty_table(), *tables.values()])
    except pa.ArrowInvalid:
        raise next(_misfits(tables)) from None
    if not table.num_rows:
        raise ResultsError(f"no rows in {', '.join(map(str, paths)) or 'no path'}", hint="run a benchmark first")
    return _frame(table)


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return ``rows`` as a frame with the columns of `COLUMNS`; whole numbers and truths may be missing in it."""
    return _frame(_table(rows))


def comparable(frame: pd.DataFrame, *, allow: Sequence[str] = ()) -> None:
    """Return quietly when the rows may stand side by side.

    ``allow`` names columns of `COMPARED_WITHIN` in which they may differ all the same.

    Raises:
        ResultsError: they differ in a column that the numbers depend on, or ``allow`` names none such.

    """
    for name in allow:
        if name not in COMPARED_WITHIN:
            raise ResultsError(f"{name!r} cannot be allowed to differ: expected one of {', '.join(COMPARED_WITHIN)}")
    # What failed may not even know its kernel: that is a finding about it, not another condition.
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


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, _, names in sorted(os.walk(path)):
        # Where both are, the run was cut off just before its journal went.
        if found := [name for name in (SEALED, JOURNAL) if name in names]:
            yield Path(folder, found[0])


def _read(path: Path) -> pa.Table:
    if path.suffix != ".parquet":
        return _table(list(_read_journal(path)))
    try:
        # As one piece of memory: for a file this small, anything cleverer takes longer.
        return parquet.ParquetFile(pa.py_buffer(path.read_bytes()), pre_buffer=False).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _with_all_columns(table: pa.Table) -> pa.Table:
    """Return a table of an older version with what its rows say nothing of; any other as it is."""
    if table.num_columns >= len(COLUMNS):
        return table  # a look at the versions would make loading a tenth slower
    for name in _LACKED.get(next(iter(_versions(table)), 0), ()):
        table = table.append_column(SCHEMA.field(name), pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table.select(COLUMNS) if set(table.column_names) == set(COLUMNS) else table


def _versions(table: pa.Table) -> list[int]:
    return table["schema_version"].unique().to_pylist() if "schema_version" in table.column_names else []


def _misfits(tables: Mapping[Path, pa.Table]) -> Iterator[ResultsError]:
    for path, table in tables.items():
        if not table.schema.equals(SCHEMA):
            versions = _versions(table)
            if versions in ([SCHEMA_VERSION], *([version] for version in _LACKED)):
                yield ResultsError(f"{path}: other columns than those of schema version {versions[0]}")
            yield _other_version(str(path), ", ".join(map(str, versions)) or "none")


def _read_journal(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    # What has no newline was cut off while it was written.
    lines = text[: text.rfind("\n") + 1].splitlines()
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
    if (version := values.get("schema_version")) not in (SCHEMA_VERSION, *_LACKED):
        raise _other_version(where, version)
    values = {**dict.fromkeys(_LACKED.get(version, ())), **values}
    for name in COLUMNS:
        if name not in values:
            raise ResultsError(f"{where}: {name} is missing")
        if not _is_a(values[name], _kinds(name)):
            expected = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in _kinds(name))
            raise ResultsError(f"{where}: {name} = {values[name]!r}: expected {expected}")
    if unknown := sorted(set(values) - set(COLUMNS)):
        raise ResultsError(f"{where}: unknown column {unknown[0]}")
    return Row(**values)


def _other_version(where: str, version: object) -> ResultsError:
    return ResultsError(
        f"{where}: schema_version = {version}: expected {' or '.join(map(str, (*_LACKED, SCHEMA_VERSION)))}",
        hint="these rows are of another mounttool, whose numbers mean something else: measure again",
    )


def _is_a(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # which Python also takes for an int
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = [[getattr(row, name) for row in rows] for name in COLUMNS]
    return pa.Table.from_arrays(
        [pa.array(values, type=SCHEMA.field(name).type) for name, values in zip(COLUMNS, columns, strict=True)],
        schema=SCHEMA,
    )


def _frame(table: pa.Table) -> pd.DataFrame:
    # Types of pandas' own that can be missing, so that one row without a number makes no others into floats.
    own = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.combine_chunks().to_pandas(types_mapper=own.get)
    return frame
