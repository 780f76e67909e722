"""A run: every target in every block, in random order, so that no target meets a better hour than the others."""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import mounttool
from mounttool.bench import node
from mounttool.bench.checkpoint import check, measure
from mounttool.bench.rows import failed
from mounttool.bench.target import Target, Trial
from mounttool.errors import InputError, ResultsError, StepError
from mounttool.quantities import format_rate
from mounttool.results import ROWS_FILE, Row, append
from mounttool.session import Session


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run that is done: its folder, which holds ``run.json``, ``rows.jsonl`` and fio's raw output, and its rows."""

    run_id: str
    folder: Path
    rows: tuple[Row, ...]


def run(
    targets: Sequence[Target],
    nodes: Sequence[Session],
    *,
    size_bytes: int,
    ranks: int,
    repeats: int,
    results: Path,
    progress: Callable[[str], None],
    timeout_s: float = 900,
    seed: int | None = None,
) -> RunSummary:
    """Measure every target ``repeats`` times after one warm-up, and keep everything below ``results/raw/<run id>``.

    Each of ``ranks`` writes ``size_bytes``. From block to block the next node writes and the one after it restores;
    with a single node a shared mount's rows are not valid. ``seed`` orders the targets. ``timeout_s`` bounds every
    single command on a node. What is complete is kept, also when the run is interrupted.

    Raises:
        InputError: there is nothing to measure, or two targets have one name.
        UnsupportedError: fio is missing on a node, or a target cannot be used there; found before the first block.
        HostError: a node does not answer.

    """
    _refuse_nonsense(targets, nodes, size_bytes, ranks, repeats)
    now = datetime.now(tz=UTC)
    run_id = f"{now:%Y%m%dt%H%M%Sz}-{secrets.token_hex(2)}"
    folder = results / "raw" / run_id
    seed = secrets.randbelow(2**32) if seed is None else seed
    first = Trial(run_id, 0, size_bytes, ranks, len(nodes), seed, timeout_s, folder)
    facts = {session.host: node.facts(session, timeout_s=timeout_s) for session in nodes}
    for target in targets:
        for session in nodes:
            check(target, session, first)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(_description(targets, facts, first, repeats, now), encoding="utf-8")
    rows: list[Row] = []
    order = random.Random(seed)  # noqa: S311 - an order that can be repeated, no secret
    for block in range(repeats + 1):
        trial = dataclasses.replace(first, block=block)
        for target in order.sample(targets, len(targets)):
            done = _one(target, nodes, trial, progress)
            append(folder / ROWS_FILE, done)
            rows += done
            progress(_line(target, done, repeats))
    return RunSummary(run_id, folder, tuple(rows))


def _one(target: Target, nodes: Sequence[Session], trial: Trial, progress: Callable[[str], None]) -> tuple[Row, ...]:
    writer = nodes[trial.block % len(nodes)]
    # A node's own disk is read where it was written.
    reader = nodes[(trial.block + 1) % len(nodes)] if target.shared else writer
    try:
        return measure(target, writer, reader, trial, progress=progress)
    except (StepError, ResultsError) as error:
        # The other targets go on: one that fails is a finding about it.
        return failed(target, trial, getattr(error, "host", writer.host), str(error))


def _refuse_nonsense(
    targets: Sequence[Target], nodes: Sequence[Session], size_bytes: int, ranks: int, repeats: int
) -> None:
    if not targets or not nodes:
        raise InputError(f"{len(targets)} targets on {len(nodes)} nodes: expected at least one of each")
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise InputError(f"targets {', '.join(names)}: expected different names")
    if min(size_bytes, ranks, repeats) < 1:
        raise InputError(f"{size_bytes} bytes, {ranks} ranks, {repeats} repeats: expected at least one of each")


def _description(
    targets: Sequence[Target], facts: dict[str, dict[str, str | int]], trial: Trial, repeats: int, start: datetime
) -> str:
    document = {
        "run_id": trial.run_id,
        "mounttool": mounttool.__version__,
        "t_start_utc": start.isoformat(timespec="seconds"),
        "seed": trial.seed,
        "size_bytes": trial.size_bytes,
        "ranks": trial.ranks,
        "repeats": repeats,
        "nodes": facts,
        "targets": [_plain(target) for target in targets],
    }
    return json.dumps(document, indent=2) + "\n"


def _plain(target: Target) -> dict[str, object]:
    return {
        "name": target.name,
        "backend": target.backend,
        "path": target.path,
        "shared": target.shared,
        "plan_digest": target.plan_digest,
        "caches": [dataclasses.asdict(cache) for cache in target.caches],
        "settings": dict(target.settings),
    }


def _line(target: Target, rows: Sequence[Row], repeats: int) -> str:
    block = rows[0].block
    which = f"repeat {block}/{repeats}" if block else "warm-up"
    if rows[0].error:
        return f"{which}: {target.name}: failed: {rows[0].error}"
    parts = []
    for phase in ("write", "restore"):
        ranks = [row for row in rows if row.phase == phase]
        if reasons := sorted({row.invalid_reason for row in ranks} - {""}):
            parts.append(f"{phase} not valid: {', '.join(reasons)}")
        else:
            rate = format_rate(sum(row.bytes for row in ranks) / max(row.wall_s for row in ranks))
            parts.append(f"{phase} {rate} on {ranks[0].node}")
    if all(row.checksum_ok for row in rows):
        parts.append("checksums equal")
    return f"{which}: {target.name}: {', '.join(parts)}"
