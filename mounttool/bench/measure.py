"""One repeat: ranks write, other nodes see it, empty their caches, read it back, and compare every byte."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mounttool.bench import engine, process
from mounttool.bench.engine import Answer, Durable, Share
from mounttool.bench.node import Workplace
from mounttool.bench.placement import Placement, place
from mounttool.bench.rows import Restored, Wrote, blank, failed, restored, utc, written
from mounttool.bench.target import Target, Trial
from mounttool.bench.workload import Work
from mounttool.errors import MounttoolError, UnsupportedError
from mounttool.quantities import format_bytes
from mounttool.results import Row
from mounttool.session import Session

# The file system's own bookkeeping needs some room beside the data.
_ROOM = 1.05

#: How long another node is given to see what was acknowledged.
LOOK_S = 120.0


def measure(
    target: Target, nodes: Sequence[Session], trial: Trial, *, progress: Callable[[str], None]
) -> tuple[Row, ...]:
    """Carry out one trial at ``target``, and return a row per phase and rank.

    A directory of its own below the target's path holds the files; it is removed whatever happens.

    Raises:
        UnsupportedError: the path is not there, not mounted, not writable, or has too little space.
        StepError: a command on a node failed.
        HostError: a node does not answer.

    """
    placed = place(target, nodes, trial)
    for session in placed.sessions:
        check(target, session, trial)
    if trial.workload.process:
        return process.measure(target, placed, trial, progress=progress)
    with workplaces(placed.sessions, placed.writing[0].directory, trial.timeout_s, progress) as places:
        if trial.workload.metadata:
            return _metadata(target, trial, placed)
        return _checkpoint(target, trial, placed, places)


def check(target: Target, session: Session, trial: Trial) -> None:
    """Look whether the node can take the trial.

    Raises:
        UnsupportedError: the path is not there, not mounted, not writable, or has too little space.
        HostError: the node does not answer.

    """
    found = Workplace(session, target.path, trial.timeout_s).place()
    if target.shared and found.mount_point == "/":
        raise UnsupportedError(f"{session.host}: {target.path} lies on the root disk", hint="mount it first")
    if found.free_bytes < (needed_bytes := trial.room_bytes * _ROOM):
        needed, free = format_bytes(needed_bytes), format_bytes(found.free_bytes)
        raise UnsupportedError(f"{session.host}: {target.path} has {free} free, {needed} are needed")


@contextlib.contextmanager
def workplaces(
    sessions: Sequence[Session], directory: str, timeout_s: float, progress: Callable[[str], None]
) -> Iterator[Mapping[str, Workplace]]:
    """Make a trial's directory on the first node, give it by host, and remove it from all of them at the end."""
    places = {session.host: Workplace(session, directory, timeout_s) for session in sessions}
    try:
        places[sessions[0].host].make_directory()
        yield places
    finally:
        # From every node, even when they share it: a node may still see what another one has removed.
        for host, one in places.items():
            try:
                one.clean_up()
            except MounttoolError as error:
                # Said, not raised: it must neither hide why the repeat broke off nor cost a good measurement.
                progress(f"warning: {host}: {directory} could not be removed: {error}")


def observed_writes(durable: Durable, shares: Sequence[Share], start_ns: int) -> list[Wrote]:
    """Return what was seen of each rank's write."""
    found = []
    for share, answer in zip(shares, durable.written, strict=True):
        for rank, told in answer.ranks.items():
            seen = Wrote(rank, share.session.host, start_ns)
            if "error" in told:
                found.append(dataclasses.replace(seen, error=str(told["error"])))
                continue
            lag_s = durable.lags_s.get(rank)
            found.append(
                dataclasses.replace(
                    seen,
                    bytes=told["bytes"],
                    ack_s=told["ack_s"],
                    flush_s=told["flush_s"],
                    close_s=told["close_s"],
                    lag_s=math.inf if rank in durable.unseen else lag_s,
                    latencies_ns=latencies(told),
                    fsync_calls=told["fsync_calls"],
                    cpu_s=told["cpu_s"],
                    sent_bytes=answer.sent_bytes,
                    error=durable.unseen.get(rank, ""),
                )
            )
    return found


def equal(answer: Answer) -> dict[int, bool]:
    """Return for each rank whether every byte was as it had to be."""
    return {rank: bool(told.get("equal")) for rank, told in answer.ranks.items()}


def _checkpoint(target: Target, trial: Trial, placed: Placement, places: Mapping[str, Workplace]) -> tuple[Row, ...]:
    lookers = () if placed.on_one_node or not target.shared else placed.rounds[0]
    start_ns = time.time_ns()
    durable = engine.write(placed.writing, lookers, timeout_s=trial.timeout_s, look_timeout_s=LOOK_S)
    wrote = observed_writes(durable, placed.writing, start_ns)
    works = {work.rank: work for work in trial.works}
    if broken := [one for one in wrote if one.error]:
        read: list[Restored] = []
        unread = failed(target, trial, "restore", broken[0].host, "its write failed")
    else:
        read = [
            one
            for number, shares in enumerate(placed.rounds)
            for one in _restore(target, shares, places, trial, number)
        ]
        unread = ()
    same = {one.rank: one.equal for one in read if one.turn == 0}
    writes = (
        written(target, trial, works[one.rank], one, equal=same.get(one.rank, False), on_one_node=placed.on_one_node)
        for one in wrote
    )
    reads = (restored(target, trial, works[one.rank], one, on_one_node=placed.on_one_node) for one in read)
    return (*writes, *reads, *unread)


def _restore(
    target: Target, shares: Sequence[Share], places: Mapping[str, Workplace], trial: Trial, turn: int
) -> list[Restored]:
    """Empty every cache, read back all at once, then compare every byte."""

    def empty(share: Share) -> None:
        places[share.session.host].empty_all(target.caches, keep=target.path, whole_mount=target.shared)

    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(empty, shares))
    start_ns = time.time_ns()
    answers = engine.carry_out("read", shares, timeout_s=trial.timeout_s)
    verdicts = engine.carry_out("verify", shares, timeout_s=trial.timeout_s)
    found = []
    for share, answer, verdict in zip(shares, answers, verdicts, strict=True):
        same = equal(verdict)
        node_bytes = sum(work.read_bytes for work in share.works)
        for rank, told in answer.ranks.items():
            seen = Restored(rank, share.session.host, start_ns, turn=turn, equal=same.get(rank, False))
            if "error" in told:
                found.append(dataclasses.replace(seen, error=str(told["error"])))
                continue
            found.append(
                dataclasses.replace(
                    seen,
                    bytes=told["bytes"],
                    wall_s=told["read_s"],
                    first_byte_s=told["first_byte_s"],
                    latencies_ns=latencies(told),
                    resident=answer.resident_fraction,
                    received_bytes=answer.received_bytes,
                    fetched_bytes=answer.fetched_bytes,
                    node_bytes=node_bytes,
                    cpu_s=told["cpu_s"],
                )
            )
    return found


def _metadata(target: Target, trial: Trial, placed: Placement) -> tuple[Row, ...]:
    """Make small files, list and stat them from the next node, rename them, delete them."""
    works = {work.rank: work for work in trial.works}
    rows = []
    steps: tuple[tuple[str, engine.Order, tuple[Share, ...]], ...] = (
        ("create", "write", placed.writing),
        ("list", "list", placed.rounds[0]),
        ("rename", "rename", placed.writing),
        ("delete", "delete", placed.writing),
    )
    for phase, order, shares in steps:
        start_ns = time.time_ns()
        for share, answer in zip(shares, engine.carry_out(order, shares, timeout_s=trial.timeout_s), strict=True):
            for rank, told in answer.ranks.items():
                row = blank(target, trial, phase, works[rank])
                error = str(told.get("error", "")) or _miscounted(works[rank], told)
                seconds = sum(value for name, value in told.items() if name.endswith("_s") and name != "cpu_s")
                rows.append(
                    dataclasses.replace(
                        row,
                        node=share.session.host,
                        t_start_utc=utc(start_ns / 1e9),
                        wall_s=seconds,
                        cpu_s=told.get("cpu_s"),
                        error=error,
                        valid=not error,
                        invalid_reason="failed" if error else "",
                    )
                )
    return tuple(rows)


def _miscounted(work: Work, told: Mapping[str, object]) -> str:
    found = told.get("found", len(work.files))
    return "" if found == len(work.files) else f"listed {found} files of {len(work.files)}"


def latencies(told: Mapping[str, Any]) -> dict[int, int]:
    """Return how many of a rank's calls had which latency in nanoseconds."""
    return {int(latency_ns): calls for latency_ns, calls in told["latency"].items()}
