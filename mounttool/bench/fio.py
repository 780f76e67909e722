"""Read what fio prints with ``--output-format=json`` or ``json+``.

Both shapes are read: a plain run (``jobs``) and a client/server run (``client_stats``, text before the JSON, an
``All clients`` row, which has no percentiles before fio 3.39). Times are in nanoseconds except where a name says
otherwise; source: what fio 3.28 to 3.42 print, and their stat.c and client.c.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mounttool.errors import ResultsError

Direction = Literal["read", "write"]

# With several clients, fio adds this row itself as a sum over the others: counting it would count every byte twice.
_SUMMARY_ROW = "All clients"


@dataclass(frozen=True, slots=True)
class Latency:
    """Completion latencies of one job: how long each read or write call took, without any fsync.

    ``percentiles_ns`` maps a percentage such as 99.0 to nanoseconds. ``bins`` maps a latency in nanoseconds to how
    many calls had it; only json+ has it.
    """

    max_ns: int
    count: int
    percentiles_ns: Mapping[float, int]
    bins: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one job read or wrote.

    ``runtime_ms`` includes the opening, the calls and an ``end_fsync``, and excludes ``close()``.
    """

    io_bytes: int
    runtime_ms: int
    short_ios: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class Job:
    """One job, which is one rank. ``error`` is an errno, 0 when all went well.

    A job that could not even open its file has 0 bytes and may have no ``error``: fio's exit status has to be looked
    at, too. ``hostname`` is the server's address as the client was given it, empty outside of client/server runs.
    """

    name: str
    error: int
    hostname: str
    read: Transfer
    write: Transfer

    def transfer(self, direction: Direction) -> Transfer:
        """Return one direction's numbers."""
        return self.read if direction == "read" else self.write


@dataclass(frozen=True, slots=True)
class Output:
    """One run of fio. ``version`` is as fio spells it, such as ``fio-3.39``.

    ``jobs`` are in the order of ranks; in a client/server run by host, and of each host in the order of its ranks.
    """

    version: str
    jobs: tuple[Job, ...]


def parse(text: str) -> Output:
    """Return what one run of fio printed. Text before the JSON is skipped: fio puts its warnings there.

    Raises:
        ResultsError: there is no JSON of fio in it.

    """
    document = _document(text)
    try:
        rows = _of_clients(document["client_stats"]) if "client_stats" in document else document["jobs"]
        return Output(version=str(document["fio version"]), jobs=tuple(map(_job, rows)))
    except KeyError as error:
        raise ResultsError(f"fio's output lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ResultsError(f"fio's output is not as expected: {error!r}") from error


def _document(text: str) -> dict[str, Any]:
    # The JSON of fio begins with a brace on a line of its own; a warning before it may hold braces.
    for start in (at for at in range(len(text)) if text.startswith("{\n", at) and (at == 0 or text[at - 1] == "\n")):
        try:
            # Not strict: fio repeats what a job file says without escaping its tabs.
            document, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise ResultsError(f"fio's JSON breaks off or is damaged: {error}") from error
        return dict(document)
    last = text.strip().splitlines()[-1:] or ["nothing"]
    raise ResultsError(f"no JSON in fio's output; its last line: {last[0]}")


def _of_clients(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if rows and rows[-1]["jobname"] == _SUMMARY_ROW:
        rows = rows[:-1]
    # fio prints them as they end, one host's perhaps between another's.
    return sorted(rows, key=lambda row: (str(row["hostname"]), int(row["port"])))


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        name=str(row["jobname"]),
        error=int(row["error"]),
        hostname=str(row.get("hostname", "")),
        read=_transfer(row["read"]),
        write=_transfer(row["write"]),
    )


def _transfer(row: Mapping[str, Any]) -> Transfer:
    latency = row["clat_ns"]
    return Transfer(
        io_bytes=int(row["io_bytes"]),
        runtime_ms=int(row["runtime"]),
        short_ios=int(row["short_ios"]),
        latency=Latency(
            max_ns=int(latency["max"]),
            count=int(latency["N"]),
            percentiles_ns={float(key): int(value) for key, value in latency.get("percentile", {}).items()},
            bins={int(key): int(value) for key, value in latency.get("bins", {}).items()},
        ),
    )
