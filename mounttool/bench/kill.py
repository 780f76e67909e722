"""The writer is taken away at a random moment after it acknowledged a checkpoint; another node has to restore it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mounttool.bench import engine, measure
from mounttool.bench.engine import Share
from mounttool.bench.placement import Placement, place
from mounttool.bench.protocol import Prepared, RunSummary, Watcher, begin
from mounttool.bench.rows import Wrote, blank, utc
from mounttool.bench.target import Target, Trial
from mounttool.errors import HostError, InputError, MounttoolError
from mounttool.results import JOURNAL, Row, append, seal
from mounttool.session import Session

#: The power goes at a moment between the acknowledgement and this much later.
WINDOW_S = 2.0
#: How long another node tries to read the checkpoint before it counts as lost.
PATIENCE_S = 30.0
#: How long a node is given to come back with its mounts.
BACK_S = 300.0


class Killer(Protocol):
    """Takes nodes away as a reclaimed instance is, and brings them back where that can be."""

    def kill(self, host: str) -> None:
        """Cut the node's power; nothing on it gets to say goodbye."""
        ...

    def revive(self, host: str) -> None:
        """Let the node come back, if it does not do so by itself."""
        ...


def run(prepared: Prepared, killer: Killer, watcher: Watcher) -> RunSummary:
    """Kill the writer of each shared target as often as it is to be measured, and keep a row per rank and kill.

    A node that does not come back is left out from then on; with a single one left the run ends. What is complete is
    kept, also when the run is interrupted.

    Raises:
        InputError: there is no shared target, or no second node.
        HostError: a node does not answer before it is killed.

    """
    targets = [target for target in prepared.targets if target.shared]
    nodes, conditions = list(prepared.nodes), prepared.conditions
    if not targets or len(nodes) < 2 or conditions.workload.writers == "all" or conditions.workload.metadata:
        raise InputError(
            "--kill-writer: expected a shared mount, two nodes or more, and a workload that one node writes"
        )
    folder = begin(prepared)
    draw = random.Random(conditions.seed)  # noqa: S311 - moments that can be repeated, no secret
    rows: list[Row] = []
    try:
        for number in range(1, conditions.repeats[0] + 1):
            for at, target in enumerate(draw.sample(targets, len(targets))):
                watcher.went((number - 1) * len(targets) + at, conditions.repeats[0] * len(targets), target.name)
                seed = draw.getrandbits(32)
                works = tuple(dataclasses.replace(work, seed=seed) for work in prepared.first.works)
                trial = dataclasses.replace(prepared.first, block=number, works=works)
                new = _one(target, nodes, trial, killer, draw.uniform(0, WINDOW_S), watcher.say)
                append(folder / JOURNAL, new)
                rows += new
                watcher.say(_line(target, number, new))
                nodes = [node for node in nodes if _answers(node)]
                if len(nodes) < 2:
                    watcher.say("too few nodes are left to go on")
                    return RunSummary(prepared.first.run_id, folder, tuple(rows))
    finally:
        if rows:
            seal(folder)
    return RunSummary(prepared.first.run_id, folder, tuple(rows))


def _one(
    target: Target, nodes: Sequence[Session], trial: Trial, killer: Killer, moment_s: float, say: Callable[[str], None]
) -> tuple[Row, ...]:
    placed = place(target, nodes, trial)
    writer = placed.writing[0].session
    for session in placed.sessions:
        measure.check(target, session, trial)
    with measure.workplaces(placed.sessions, placed.writing[0].directory, trial.timeout_s, say):
        start_ns = time.time_ns()
        durable = engine.write(placed.writing, (), timeout_s=trial.timeout_s, look_timeout_s=0.0)
        wrote = measure.observed_writes(durable, placed.writing, start_ns)
        if any(one.error for one in wrote):
            return _rows(target, trial, wrote, {}, "")
        time.sleep(moment_s)
        try:
            killer.kill(writer.host)
            reason = "the writer was not gone" if _answers(writer) else ""
            survived = _restorable(placed)
        finally:
            _bring_back(target, writer, trial, killer, say)
    return _rows(target, trial, wrote, survived, reason)


def _rows(
    target: Target, trial: Trial, wrote: Sequence[Wrote], survived: dict[int, bool], reason: str
) -> tuple[Row, ...]:
    works = {work.rank: work for work in trial.works}
    return tuple(
        dataclasses.replace(
            blank(target, trial, "kill", works[one.rank]),
            node=one.host,
            t_start_utc=utc(one.start_ns / 1e9),
            bytes=one.bytes,
            t_ack_s=one.ack_s,
            t_flush_s=one.flush_s,
            t_close_s=one.close_s,
            wall_s=one.acknowledged_s,
            fsync_calls=one.fsync_calls,
            checksum_ok=survived.get(one.rank, False),
            error=one.error,
            valid=not (one.error or reason),
            invalid_reason="failed" if one.error else reason,
        )
        for one in wrote
    )


def _restorable(placed: Placement) -> dict[int, bool]:
    """Return which ranks another node reads back equal, within its patience."""
    until = time.monotonic() + PATIENCE_S
    found: dict[int, bool] = {}
    while (left_s := until - time.monotonic()) > 0:
        found = _verified(placed.rounds[0], left_s)
        if found and all(found.values()):
            break
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
    return found


def _verified(shares: Sequence[Share], timeout_s: float) -> dict[int, bool]:
    try:
        answers = engine.carry_out("verify", shares, timeout_s=timeout_s)
    except HostError:
        return {}  # a read that hangs restores nothing
    return {rank: same for answer in answers for rank, same in measure.equal(answer).items()}


def _bring_back(target: Target, session: Session, trial: Trial, killer: Killer, say: Callable[[str], None]) -> None:
    """Wait until the node has its mount again."""
    try:
        killer.revive(session.host)
        until = time.monotonic() + BACK_S
        while True:
            try:
                measure.check(target, session, trial)
            except MounttoolError:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
            else:
                return
    except MounttoolError as error:
        say(f"{session.host} does not come back: {error}")


def _answers(session: Session) -> bool:
    try:
        return session.run("true", timeout_s=5).returncode == 0
    except MounttoolError:
        return False


def _line(target: Target, number: int, rows: Sequence[Row]) -> str:
    if told := sorted({": ".join(filter(None, (row.invalid_reason, row.error))) for row in rows} - {""}):
        return f"kill {number}: {target.name}: not valid: {', '.join(told)}"
    survived = all(row.checksum_ok for row in rows)
    return f"kill {number}: {target.name}: the acknowledged checkpoint {'was restored' if survived else 'is LOST'}"
