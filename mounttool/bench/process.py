"""A real process as a workload: each repeat moves one by CRIU, and has rows as a write and a restore."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from mounttool.bench import live
from mounttool.bench.placement import Placement
from mounttool.bench.rows import Restored, Wrote, restored, written
from mounttool.bench.target import Target, Trial
from mounttool.bench.workload import File
from mounttool.results import Row
from mounttool.session import Session


def check(target: Target, nodes: Sequence[Session], memory_bytes: int) -> None:
    """Look whether every node can dump a process of that much memory, and the next one restore it.

    Raises:
        UnsupportedError: a node lacks something for it; see `live.check`.
        HostError: a node does not answer.

    """
    readers = [*nodes[1:], nodes[0]] if target.shared else nodes
    for writer, reader in zip(nodes, readers, strict=True):
        live.check(writer, reader, target.path, memory_bytes)


def measure(target: Target, placed: Placement, trial: Trial, *, progress: Callable[[str], None]) -> tuple[Row, Row]:
    """Move a process from the node that writes to the one that restores; return the two rows.

    A dump is acknowledged when CRIU has ended: it has closed its images then, and has synced none. They are equal: the
    process went on, and found every byte of its memory as it was.

    Raises:
        StepError: a step failed on a node; or the process lost a count, or a byte of its memory.
        HostError: a node does not answer.

    """
    (work,), (sink,) = trial.works, placed.rounds[0]
    moved = live.move(
        placed.writing[0].session, sink.session, target.path, trial.size_bytes,
        caches=target.caches, seed=work.seed, timeout_s=trial.timeout_s, progress=progress,
    )  # fmt: skip
    work = dataclasses.replace(work, files=tuple(File(name, size, ()) for name, size in moved.images.items()))
    wrote = Wrote(
        work.rank, moved.writer, moved.dump_at_ns,
        bytes=moved.image_bytes,
        ack_s=moved.dump_s,
        flush_s=moved.sync_s,
        close_s=None,
        lag_s=moved.visible_s,
        frozen_s=moved.frozen_s,
        fsync_calls=len(moved.images) + 1,
        sent_bytes=moved.sent_bytes,
    )  # fmt: skip
    read = Restored(
        work.rank, moved.reader, moved.restore_at_ns,
        bytes=moved.image_bytes,
        wall_s=moved.restore_s,
        resident=moved.resident,
        received_bytes=moved.received_bytes,
        fetched_bytes=moved.fetched_bytes,
        node_bytes=moved.image_bytes,
        equal=True,
    )  # fmt: skip
    return (
        written(target, trial, work, wrote, equal=True, on_one_node=placed.on_one_node),
        restored(target, trial, work, read, on_one_node=placed.on_one_node),
    )
