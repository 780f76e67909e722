"""From what was observed to rows: a number whose conditions were not seen to hold is kept, but marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mounttool.bench import jobs
from mounttool.bench.fio import Direction, Output
from mounttool.bench.node import Measured
from mounttool.bench.target import Target, Trial
from mounttool.results import Row

# Of the bytes read this much must have come from the storage: not all, for a client may fetch them compressed.
COLD_SHARE = 0.9

# fio's own clock and the node's are read at different moments; fio rounds to milliseconds.
_CLOCK_SLACK_S = 0.01

_DIRECTIONS: Mapping[str, Direction] = {"write": "write", "restore": "read"}


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of one repeat, ``write`` or ``restore``, on one node: all ranks at once."""

    name: str
    host: str
    measured: Measured
    output: Output

    @property
    def wall_s(self) -> float:
        """From the first rank's start to the end of the process; from the process's start where fio is too old to say.

        The end comes up to 0.15 s after the last rank's (seen with fio 3.39), because fio polls for it.
        """
        starts_ns = [job.start_ms * 10**6 for job in self.output.jobs if job.start_ms is not None]
        return (self.measured.end_ns - min(starts_ns, default=self.measured.begin_ns)) / 1e9


def rows(target: Target, trial: Trial, write: Phase, restore: Phase, same: Mapping[int, bool]) -> tuple[Row, ...]:
    """Return a row per phase and rank. ``same`` says of each rank whether the reader read what the writer wrote."""
    on_one_node = target.shared and write.host == restore.host
    found = []
    for phase in (write, restore):
        for rank in range(trial.ranks):
            row = _measured(target, trial, phase, rank)
            row = dataclasses.replace(row, checksum_ok=same[rank])
            reason = "restored on the writing node" if on_one_node else _unproven(row, phase, trial)
            found.append(dataclasses.replace(row, valid=not reason, invalid_reason=reason))
    return tuple(found)


def failed(target: Target, trial: Trial, host: str, error: str) -> tuple[Row, ...]:
    """Return the rows of a repeat that broke off: nothing of it counts, not even a write that went well."""
    now = datetime.now(tz=UTC).timestamp()
    return tuple(
        dataclasses.replace(_blank(target, trial, phase, rank), node=host, t_start_utc=_utc(now), error=error)
        for phase in _DIRECTIONS
        for rank in range(trial.ranks)
    )


def _measured(target: Target, trial: Trial, phase: Phase, rank: int) -> Row:
    done = phase.output.jobs[rank].transfer(_DIRECTIONS[phase.name])
    row = dataclasses.replace(
        _blank(target, trial, phase.name, rank),
        engine_version=phase.output.version,
        kernel=phase.measured.kernel,
        node=phase.host,
        bytes=done.io_bytes,
        t_start_utc=_utc(phase.measured.begin_ns / 1e9),
        wall_s=phase.wall_s,
        bw_ack=done.io_bytes * 1000 / done.runtime_ms if done.runtime_ms else 0.0,
        lat_p50_ns=done.latency.percentiles_ns.get(50.0),
        lat_p95_ns=done.latency.percentiles_ns.get(95.0),
        lat_p99_ns=done.latency.percentiles_ns.get(99.0),
        lat_max_ns=done.latency.max_ns if done.latency.count else None,
    )
    if phase.name == "write":
        return row
    received = phase.measured.received_bytes if target.shared else None
    # A mount's bytes come over the network; the baseline's come from the node's own disk, as the kernel counts them.
    seen_bytes = phase.measured.fetched_bytes if received is None else received
    return dataclasses.replace(
        row, nic_rx=received, cold_verified=seen_bytes >= COLD_SHARE * trial.size_bytes * trial.ranks
    )


def _unproven(row: Row, phase: Phase, trial: Trial) -> str:
    """Return why the row must not be ranked, the weightiest reason first; empty when it may be."""
    longest_ms = max(job.transfer(_DIRECTIONS[phase.name]).runtime_ms for job in phase.output.jobs)
    if row.bytes != trial.size_bytes:
        return f"moved {row.bytes} bytes of {trial.size_bytes}"
    if not row.checksum_ok:
        return "read back other bytes than were written"
    if row.cold_verified is False:
        return "not seen to come from the storage"
    if row.wall_s <= 0 or row.wall_s < longest_ms / 1000 - _CLOCK_SLACK_S:
        return "the node's clock was set meanwhile"
    return ""


def _blank(target: Target, trial: Trial, phase: str, rank: int) -> Row:
    """Return the row of a rank that did nothing."""
    return Row(
        run_id=trial.run_id,
        target=target.name,
        backend=target.backend,
        mount_opts_hash=target.plan_digest,
        block=trial.block,
        repeat=trial.block,
        warmup=trial.block == 0,
        workload="checkpoint",
        engine="fio",
        engine_version="",
        kernel="",
        node="",
        nodes=trial.nodes,
        rank=rank,
        ranks=trial.ranks,
        phase=phase,
        bytes=0,
        files=1,
        block_size=jobs.BLOCK_SIZE_BYTES,
        seed=trial.seed,
        t_start_utc="",
        wall_s=0.0,
        bw_ack=0.0,
        lat_p50_ns=None,
        lat_p95_ns=None,
        lat_p99_ns=None,
        lat_max_ns=None,
        cold_verified=None,
        nic_rx=None,
        checksum_ok=False,
        error="",
        valid=False,
        invalid_reason="failed",
    )


def _utc(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, tz=UTC).isoformat(timespec="milliseconds")
