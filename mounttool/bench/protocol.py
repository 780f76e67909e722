"""A run: every target in every block, in random order, so that no target meets a better hour than the others."""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import mounttool
from mounttool import intervals
from mounttool.bench import crosscheck, measure, process, provenance
from mounttool.bench.provenance import Facts
from mounttool.bench.rows import failed
from mounttool.bench.target import Target, Trial, Where
from mounttool.bench.workload import Workload
from mounttool.errors import HostError, InputError, MounttoolError, ResultsError, StepError
from mounttool.quantities import format_rate, format_seconds
from mounttool.results import ENGINE, JOURNAL, Row, append, seal
from mounttool.session import Session

#: A target is done when half of its medians' intervals is at most this share of them.
NARROW = 0.05


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is asked of a run.

    ``ranks`` write on each writing node, the largest of them ``size_bytes``. Each target is measured at least
    ``repeats[0]`` times after a warm-up, then until its medians are narrow, at most ``repeats[1]`` times. ``seed``
    orders the targets and makes the data. ``with_fio``: fio does the same beside it, to be checked against.
    """

    workload: Workload
    size_bytes: int
    ranks: int = 1
    repeats: tuple[int, int] = (10, 30)
    seed: int = 0
    compress_percent: int | None = None
    with_fio: bool = False
    timeout_s: float = 900.0


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def say(self, text: str) -> None:
        """Hear of something that happened."""
        ...

    def went(self, done: int, at_most: int, doing: str) -> None:
        """Hear how many of the run's measurements are done, of how many at most, and what comes now."""
        ...


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run that is done: its folder, which holds ``run.json``, the rows and raw outputs, and its rows."""

    run_id: str
    folder: Path
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before a run starts: what the nodes are, and that each of them can take the ``first`` trial."""

    targets: tuple[Target, ...]
    nodes: tuple[Session, ...]
    conditions: Conditions
    facts: tuple[Facts, ...]
    first: Trial


def prepare(targets: Sequence[Target], nodes: Sequence[Session], conditions: Conditions, results: Path) -> Prepared:
    """Look whether the nodes can take the run, before anything is written.

    Raises:
        InputError: there is nothing to measure, or two targets have one name.
        UnsupportedError: a target cannot be used on a node.
        HostError: a node does not answer.

    """
    _refuse_nonsense(targets, nodes, conditions)
    now = datetime.now(tz=UTC)
    run_id = f"{now:%Y%m%dt%H%M%Sz}-{secrets.token_hex(2)}"
    facts = tuple(provenance.facts(session, timeout_s=conditions.timeout_s) for session in nodes)
    gbps = provenance.network_gbps(nodes[0], nodes[1]) if len(nodes) > 1 else None
    writers = len(nodes) if conditions.workload.writers == "all" else 1
    works = conditions.workload.work(
        size_bytes=conditions.size_bytes,
        ranks=conditions.ranks * writers,
        seed=conditions.seed,
        compress_percent=conditions.compress_percent,
    )
    first = Trial(
        run_id=run_id,
        block=0,
        workload=conditions.workload,
        works=works,
        size_bytes=conditions.size_bytes,
        nodes=len(nodes),
        timeout_s=conditions.timeout_s,
        raw=results / "raw" / run_id,
        where=_where(facts, gbps),
    )
    for target in targets:
        for session in nodes:
            measure.check(target, session, first)
        if conditions.workload.process:
            process.check(target, nodes, conditions.size_bytes)
    if conditions.with_fio:
        crosscheck.refuse_unfit(conditions.workload, facts)
    return Prepared(tuple(targets), tuple(nodes), conditions, facts, first)


def run(prepared: Prepared, watcher: Watcher) -> RunSummary:
    """Measure, and keep everything below the results' ``raw/<run id>``.

    From block to block the next node writes and the one after it restores; with a single node a shared mount's rows are
    not valid. What is complete is kept, also when the run is interrupted.

    Raises:
        HostError: a node does not answer.

    """
    folder, conditions = begin(prepared), prepared.conditions
    rows: list[Row] = []
    try:
        for target, trial, done in _blocks(prepared, rows):
            block = f"repeat {trial.block}" if trial.block else "warm-up"
            watcher.went(done, len(prepared.targets) * (conditions.repeats[1] + 1), f"{block}: {target.name}")
            new = _one(target, prepared, trial, watcher.say)
            append(folder / JOURNAL, new)
            rows += new
            watcher.say(_line(target, new))
    finally:
        if rows:
            seal(folder)
    return RunSummary(prepared.first.run_id, folder, tuple(rows))


def begin(prepared: Prepared) -> Path:
    """Make the run's folder, with ``run.json`` in it, and return it."""
    folder = prepared.first.raw
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(_description(prepared), encoding="utf-8")
    return folder


def _blocks(prepared: Prepared, rows: Sequence[Row]) -> Iterator[tuple[Target, Trial, int]]:
    """Yield what to measure next; ``rows`` grow meanwhile, and say who needs no more."""
    conditions, done = prepared.conditions, 0
    order = random.Random(conditions.seed)  # noqa: S311 - an order that can be repeated, no secret
    for block in range(conditions.repeats[1] + 1):
        left = [target for target in prepared.targets if not _is_enough(target, block, conditions, rows)]
        for target in order.sample(left, len(left)):
            # New bytes each time: what a storage has seen before it may keep only once.
            seed = order.getrandbits(32)
            works = tuple(dataclasses.replace(work, seed=seed) for work in prepared.first.works)
            yield target, dataclasses.replace(prepared.first, block=block, works=works), done
            done += 1


def _is_enough(target: Target, block: int, conditions: Conditions, rows: Sequence[Row]) -> bool:
    if block <= conditions.repeats[0]:
        return False
    of_target = [row for row in rows if row.target == target.name and row.engine == ENGINE and not row.warmup]
    return all(
        intervals.is_narrow(_rates([row for row in of_target if row.phase == phase]), within=NARROW)
        for phase in {row.phase for row in of_target}
    )


def _rates(rows: Sequence[Row]) -> list[float]:
    """The rate of each repeat of which every rank is valid: of the slowest rank."""
    repeats: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        repeats.setdefault((row.block, row.repeat), []).append(row)
    return [
        1 / max(row.wall_s for row in ranks)
        for ranks in repeats.values()
        if all(row.valid and row.wall_s for row in ranks)
    ]


def _one(target: Target, prepared: Prepared, trial: Trial, say: Callable[[str], None]) -> tuple[Row, ...]:
    try:
        rows = measure.measure(target, prepared.nodes, trial, progress=say)
        return (*rows, *crosscheck.rows(target, prepared.nodes, trial, say)) if prepared.conditions.with_fio else rows
    except (StepError, ResultsError) as error:
        # The other targets go on: one that fails is a finding about it.
        return _all_failed(target, trial, getattr(error, "host", ""), str(error))
    except HostError as error:
        if not _answers(prepared.nodes):
            raise
        return _all_failed(target, trial, error.host, str(error))


def _answers(nodes: Sequence[Session]) -> bool:
    try:
        return all(session.run("true", timeout_s=20).returncode == 0 for session in nodes)
    except MounttoolError:
        return False


def _all_failed(target: Target, trial: Trial, host: str, error: str) -> tuple[Row, ...]:
    return tuple(row for phase in trial.phases for row in failed(target, trial, phase, host, error))


def _refuse_nonsense(targets: Sequence[Target], nodes: Sequence[Session], conditions: Conditions) -> None:
    if not targets or not nodes:
        raise InputError(f"{len(targets)} targets on {len(nodes)} nodes: expected at least one of each")
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise InputError(f"targets {', '.join(names)}: expected different names")
    fewest, most = conditions.repeats
    if min(conditions.ranks, fewest) < 1 or most < fewest:
        raise InputError(f"{conditions.ranks} ranks, {fewest} to {most} repeats: expected at least one of each")


def _where(facts: Sequence[Facts], gbps: float | None) -> Where:
    def alike(values: Sequence[str]) -> str:
        return values[0] if len(set(values)) == 1 else provenance.UNKNOWN

    return Where(
        version=mounttool.__version__,
        kernel=alike([fact.kernel for fact in facts]),
        instance_type=alike([fact.instance_type for fact in facts]),
        vcpus=min(fact.cpus for fact in facts),
        az=" ".join(sorted({fact.az for fact in facts} - {""})),
        nic_gbps=gbps,
        criu=alike([fact.criu for fact in facts]),
    )


def _description(prepared: Prepared) -> str:
    conditions, first = prepared.conditions, prepared.first
    document = {
        "run_id": first.run_id,
        "mounttool": mounttool.__version__,
        "seed": conditions.seed,
        "workload": conditions.workload.model_dump(mode="json"),
        "size_bytes": conditions.size_bytes,
        "ranks": len(first.works),
        "repeats": conditions.repeats,
        "network_gbps": first.where.nic_gbps,
        "nodes": [dataclasses.asdict(facts) for facts in prepared.facts],
        "targets": [dataclasses.asdict(target) for target in prepared.targets],
    }
    return json.dumps(document, indent=2) + "\n"


def _line(target: Target, rows: Sequence[Row]) -> str:
    which = f"repeat {rows[0].block}" if rows[0].block else "warm-up"
    own = [row for row in rows if row.engine == ENGINE]
    parts = []
    for phase in dict.fromkeys(row.phase for row in own):
        ranks = [row for row in own if row.phase == phase]
        if reasons := sorted({": ".join(filter(None, (row.invalid_reason, row.error))) for row in ranks} - {""}):
            parts.append(f"{phase} not valid: {', '.join(reasons)}")
        else:
            parts.append(f"{phase} {_pace(ranks)} on {', '.join(dict.fromkeys(row.node for row in ranks))}")
    if all(row.checksum_ok for row in own):
        parts.append("checksums equal")
    return f"{which}: {target.name}: {', '.join(parts)}"


def _pace(ranks: Sequence[Row]) -> str:
    seconds = max(row.wall_s for row in ranks)
    if not ranks[0].bytes:
        return f"{sum(row.files for row in ranks) / seconds:.0f} files/s"
    said = f"durable after {format_seconds(seconds)}" if ranks[0].phase == "write" else ""
    if ranks[0].t_frozen_s is not None:
        said += f", frozen for {format_seconds(ranks[0].t_frozen_s)}"
    return f"{format_rate(sum(row.bytes for row in ranks) / seconds)}{said and f' ({said})'}"
