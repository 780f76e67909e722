"""fio and our own engine do the very same, one file per rank: what both time, the calls themselves, has to agree.

fio cannot say when a checkpoint is durable: it leaves close() out, and knows of no other node. So these rows are kept
to be checked against each other, and are never ranked.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mounttool.bench import engine, jobs
from mounttool.bench.engine import Share
from mounttool.bench.fio import Direction, parse
from mounttool.bench.measure import workplaces
from mounttool.bench.node import Workplace
from mounttool.bench.placement import place
from mounttool.bench.provenance import Facts
from mounttool.bench.rows import blank, utc
from mounttool.bench.target import Target, Trial
from mounttool.bench.workload import File, Workload
from mounttool.errors import InputError, StepError, UnsupportedError
from mounttool.results import ONE_FILE, Row
from mounttool.session import Session

FIO = "fio"

_PHASES: tuple[tuple[str, str, Direction], ...] = (
    ("write", jobs.WRITE, "write"),
    ("restore", jobs.RESTORE, "read"),
)


def refuse_unfit(workload: Workload, facts: Sequence[Facts]) -> None:
    """Return quietly when fio can do what the workload does.

    Raises:
        InputError: the workload is none of plain files.
        UnsupportedError: fio is missing on a node.

    """
    if not workload.file or workload.parent or workload.process:
        raise InputError(f"--engine both: fio cannot do what {workload.title} does", hint="criu-full is one it can do")
    for fact in facts:
        if not fact.fio:
            raise UnsupportedError(f"{fact.host}: fio is not installed", hint="install the package fio on the node")


def rows(target: Target, nodes: Sequence[Session], trial: Trial, progress: Callable[[str], None]) -> tuple[Row, ...]:
    """Let both engines write and restore a file per rank on the same nodes; return a row per engine, phase and rank.

    Raises:
        StepError: fio, or another command, failed on a node.
        ResultsError: fio printed something else than its results.
        HostError: a node does not answer.

    """
    placed = place(target, nodes, trial)
    directory = f"{placed.writing[0].directory}-fio"
    found: list[Row] = []
    with workplaces(placed.sessions, directory, trial.timeout_s, progress) as places:
        for phase, job, direction in _PHASES:
            shares = placed.writing if phase == "write" else placed.rounds[0]
            shares = tuple(_one_file(share, directory, trial) for share in shares)
            own = functools.partial(_own, target, trial, phase, shares)
            fio = functools.partial(_fio, target, trial, phase, shares, places, job, direction)
            # Whoever comes second finds the storage as the first one left it: they take turns.
            for measured in (own, fio) if trial.block % 2 else (fio, own):
                if phase == "restore":
                    for share in shares:
                        at = places[share.session.host]
                        at.empty_all(target.caches, keep=target.path, whole_mount=target.shared)
                found += measured()
    return tuple(found)


def _one_file(share: Share, directory: str, trial: Trial) -> Share:
    """Return a share whose ranks have a file each, as fio names them, with the workload's own calls."""
    writes, size_bytes = trial.workload.file[0].writes, max(work.written_bytes for work in share.works)
    works = (
        dataclasses.replace(work, files=(File(f"own.{number}.bin", size_bytes, writes),))
        for number, work in enumerate(share.works)
    )
    return dataclasses.replace(share, directory=directory, works=tuple(works))


def _own(target: Target, trial: Trial, phase: str, shares: Sequence[Share]) -> Iterator[Row]:
    start_s = time.time()
    order: engine.Order = "write" if phase == "write" else "read"
    for share, answer in zip(shares, engine.carry_out(order, shares, timeout_s=trial.timeout_s), strict=True):
        for work in share.works:
            told = answer.ranks[work.rank]
            if "error" in told:
                raise StepError(share.session.host, phase, order, (str(told["error"]),))
            flush_s = told.get("flush_s")
            ack_s = told["ack_s"] if phase == "write" else told["read_s"]
            yield dataclasses.replace(
                blank(target, trial, phase, work),
                engine=ONE_FILE,
                files=1,
                node=share.session.host,
                t_start_utc=utc(start_s),
                bytes=told["bytes"],
                t_ack_s=ack_s,
                t_flush_s=flush_s,
                wall_s=ack_s + (flush_s or 0.0),
                valid=True,
                invalid_reason="",
            )


def _fio(
    target: Target, trial: Trial, phase: str, shares: Sequence[Share], places: Mapping[str, Workplace], job: str,
    direction: Direction,
) -> Iterator[Row]:  # fmt: skip
    def run(share: Share) -> str:
        (file,) = share.works[0].files
        at = places[share.session.host]
        return at.fio(jobs.job(job), size_bytes=file.size_bytes, ranks=len(share.works), writes=file.writes)

    start_s = time.time()
    with ThreadPoolExecutor(len(shares)) as pool:
        outputs = list(pool.map(run, shares))
    for share, text in zip(shares, outputs, strict=True):
        label = re.sub(r"[^A-Za-z0-9._-]", "_", f"{target.name}-{phase}-{share.session.host}")
        (trial.raw / f"{trial.block:03d}-{label}.json").write_text(text, encoding="utf-8")
        output = parse(text)
        if len(output.jobs) != len(share.works):
            told = f"{len(output.jobs)} ranks reported, expected {len(share.works)}"
            raise StepError(share.session.host, phase, FIO, (told,))
        for job_of_rank, work in zip(output.jobs, share.works, strict=True):
            done = job_of_rank.transfer(direction)
            yield dataclasses.replace(
                blank(target, trial, phase, work),
                engine=FIO,
                engine_version=output.version,
                files=1,
                node=share.session.host,
                t_start_utc=utc(start_s),
                bytes=done.io_bytes,
                # Opening, every call and the fsync together: fio does not tell them apart.
                t_ack_s=done.runtime_ms / 1000,
                wall_s=done.runtime_ms / 1000,
                lat_p50_ns=done.latency.percentiles_ns.get(50.0),
                lat_p95_ns=done.latency.percentiles_ns.get(95.0),
                lat_p99_ns=done.latency.percentiles_ns.get(99.0),
                lat_max_ns=done.latency.max_ns if done.latency.count else None,
                hist=" ".join(f"{at}:{calls}" for at, calls in sorted(done.latency.bins.items()) if calls),
                valid=True,
                invalid_reason="",
            )
