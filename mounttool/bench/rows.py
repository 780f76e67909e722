"""From what was observed to rows: a number whose conditions were not seen to hold is kept, but marked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mounttool import histogram
from mounttool.bench import prices
from mounttool.bench.target import Target, Trial
from mounttool.bench.workload import Work
from mounttool.results import ENGINE, Row

# Of the bytes read this much must have come from the storage: not all, for a client may fetch them compressed.
COLD_SHARE = 0.9

#: What may lie in the page cache before a cold read: the kernel reads a little around what it is asked for.
_RESIDENT_SHARE = 1 - COLD_SHARE


@dataclass(frozen=True, slots=True)
class Wrote:
    """What one rank's write was seen to take, on one node; times as in `mounttool.results.Row`.

    ``latencies_ns`` counts the calls of each latency. ``close_s`` is None when that is in ``ack_s``, ``frozen_s`` when
    nothing stood still meanwhile. ``lag_s`` is None when no other node was there to look, and infinite when none saw it
    in time. ``sent_bytes`` left over the node's network while its ranks wrote. ``error`` is what broke it off.
    """

    rank: int
    host: str
    start_ns: int
    bytes: int = 0
    ack_s: float = 0.0
    flush_s: float = 0.0
    close_s: float | None = 0.0
    lag_s: float | None = None
    frozen_s: float | None = None
    latencies_ns: Mapping[int, int] = field(default_factory=dict)
    fsync_calls: int = 0
    cpu_s: float | None = None
    sent_bytes: int | None = None
    error: str = ""

    @property
    def acknowledged_s(self) -> float:
        """Until the last file was closed."""
        return self.ack_s + self.flush_s + (self.close_s or 0.0)


@dataclass(frozen=True, slots=True)
class Restored:
    """What one rank's restore was seen to take, on one node.

    ``turn`` counts the restores of one checkpoint. ``resident`` is the share that lay in the page cache before.
    ``received_bytes`` came in over the node's network while all its ranks read, ``fetched_bytes`` from its disks; they
    were ``node_bytes`` to read. ``equal``: it was what had been written.
    """

    rank: int
    host: str
    start_ns: int
    turn: int = 0
    bytes: int = 0
    wall_s: float = 0.0
    first_byte_s: float | None = None
    latencies_ns: Mapping[int, int] = field(default_factory=dict)
    resident: float | None = None
    received_bytes: int = 0
    fetched_bytes: int = 0
    node_bytes: int = 0
    cpu_s: float | None = None
    equal: bool = False
    error: str = ""


def written(target: Target, trial: Trial, work: Work, wrote: Wrote, *, equal: bool, on_one_node: bool) -> Row:
    """Return the row of one rank's write. ``equal``: another node read what it wrote, as far as it was asked."""
    lag_s = None if wrote.lag_s is None or math.isinf(wrote.lag_s) else wrote.lag_s
    wall_s = wrote.acknowledged_s + (lag_s or 0.0)
    reason = _unproven_write(work, wrote, equal=equal, on_one_node=on_one_node)
    cost = prices.of_write(target.backend, target.tier, [file.size_bytes for file in work.files], kept_s=wall_s)
    return dataclasses.replace(
        _priced(timed(blank(target, trial, "write", work), wrote.host, wrote.start_ns, wrote.latencies_ns), cost),
        bytes=wrote.bytes,
        t_ack_s=wrote.ack_s,
        t_flush_s=wrote.flush_s,
        t_close_s=wrote.close_s,
        t_lag_s=lag_s,
        t_frozen_s=wrote.frozen_s,
        wall_s=wall_s,
        bw_ack=_rate(wrote.bytes, wrote.ack_s),
        bw_durable=None if reason else _rate(wrote.bytes, wall_s),
        fsync_calls=wrote.fsync_calls,
        nic_tx=wrote.sent_bytes,
        cpu_s=wrote.cpu_s,
        checksum_ok=equal,
        error=wrote.error,
        valid=not reason,
        invalid_reason=reason,
    )


def restored(target: Target, trial: Trial, work: Work, read: Restored, *, on_one_node: bool) -> Row:
    """Return the row of one rank's restore."""
    # A mount's bytes come over the network; the baseline's come from the node's own disk, as the kernel counts them.
    seen_bytes = read.received_bytes if target.shared else read.fetched_bytes
    cold = is_cold(read.resident, seen_bytes, read.node_bytes)
    reason = _unproven_restore(work, read, cold=cold, on_one_node=on_one_node)
    cost = prices.of_read(target.backend, target.tier, [file.size_bytes for file in (*work.files, *work.before)])
    return dataclasses.replace(
        _priced(timed(blank(target, trial, "restore", work), read.host, read.start_ns, read.latencies_ns), cost),
        repeat=trial.block + read.turn,
        bytes=read.bytes,
        t_first_byte_s=read.first_byte_s,
        wall_s=read.wall_s,
        cold_verified=cold,
        resident_frac=read.resident,
        nic_rx=read.received_bytes,
        cpu_s=read.cpu_s,
        checksum_ok=read.equal,
        error=read.error,
        valid=not reason,
        invalid_reason=reason,
    )


def is_cold(resident: float | None, seen_bytes: int, read_bytes: int) -> bool:
    """Return whether a read came from the storage.

    ``resident`` is the share that lay in the page cache before, None where nobody looked; ``seen_bytes`` were counted
    as coming in, of ``read_bytes``.
    """
    return (resident is None or resident <= _RESIDENT_SHARE) and seen_bytes >= COLD_SHARE * read_bytes


def failed(target: Target, trial: Trial, phase: str, host: str, error: str) -> tuple[Row, ...]:
    """Return the rows of a phase that broke off, or never began."""
    now = utc(datetime.now(tz=UTC).timestamp())
    return tuple(
        dataclasses.replace(blank(target, trial, phase, work), node=host, t_start_utc=now, error=error)
        for work in trial.works
    )


def blank(target: Target, trial: Trial, phase: str, work: Work) -> Row:
    """Return the row of a rank that did nothing."""
    where = trial.where
    return Row(
        run_id=trial.run_id,
        target=target.name,
        backend=target.backend,
        backend_tier=target.tier,
        mount_opts_hash=target.plan_digest,
        metadata_engine=target.metadata_engine,
        block=trial.block,
        repeat=trial.block,
        warmup=trial.block == 0,
        workload=trial.workload.title,
        workload_version=trial.workload.version,
        size_bytes=trial.size_bytes,
        engine=ENGINE,
        engine_version=f"{where.version}, CRIU {where.criu}" if trial.workload.process else where.version,
        kernel=where.kernel,
        instance_type=where.instance_type,
        vcpus=where.vcpus,
        az=where.az,
        nic_baseline_gbps=where.nic_gbps,
        node="",
        nodes=trial.nodes,
        rank=work.rank,
        ranks=len(trial.works),
        phase=phase,
        files=len(work.files) + (len(work.before) if phase == "restore" else 0),
        block_size=trial.workload.block_bytes,
        compress_pct=work.compress_percent,
        seed=work.seed,
        t_start_utc="",
    )


def utc(unix_s: float) -> str:
    """Return a time as rows have it."""
    return datetime.fromtimestamp(unix_s, tz=UTC).isoformat(timespec="milliseconds")


def _percentile(latencies_ns: Mapping[int, int], percent: float) -> int | None:
    return histogram.percentile(latencies_ns, percent) if latencies_ns else None


def timed(row: Row, host: str, start_ns: int, latencies_ns: Mapping[int, int]) -> Row:
    """Return the row with where and when it was, and with how long its calls took."""
    return dataclasses.replace(
        row,
        node=host,
        t_start_utc=utc(start_ns / 1e9),
        lat_p50_ns=_percentile(latencies_ns, 50),
        lat_p95_ns=_percentile(latencies_ns, 95),
        lat_p99_ns=_percentile(latencies_ns, 99),
        lat_max_ns=max(latencies_ns, default=None),
        hist=histogram.to_text(latencies_ns),
    )


def _unproven_write(work: Work, wrote: Wrote, *, equal: bool, on_one_node: bool) -> str:
    """Return why the row must not be ranked, the weightiest reason first; empty when it may be."""
    if wrote.error:
        return "failed"
    if wrote.bytes != work.written_bytes:
        return f"wrote {wrote.bytes} bytes of {work.written_bytes}"
    if on_one_node:
        return "no other node to read it"
    if wrote.lag_s is not None and math.isinf(wrote.lag_s):
        return "not seen from another node in time"
    if not equal:
        return "read back other bytes than were written"
    return ""


def _unproven_restore(work: Work, read: Restored, *, cold: bool, on_one_node: bool) -> str:
    if read.error:
        return "failed"
    if read.bytes != work.read_bytes:
        return f"read {read.bytes} bytes of {work.read_bytes}"
    if not read.equal:
        return "read back other bytes than were written"
    if on_one_node:
        return "restored on the writing node"
    if not cold:
        return "not seen to come from the storage"
    return ""


def _rate(moved: int, seconds: float) -> float | None:
    return moved / seconds if seconds > 0 else None


def _priced(row: Row, cost: prices.Cost | None) -> Row:
    if cost is None:
        return row
    return dataclasses.replace(
        row,
        usd_requests=cost.requests,
        usd_throughput=cost.throughput,
        usd_storage=cost.storage,
        price_date=prices.load().date,
    )
