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

from mounttool import histogram
from mounttool.bench import engine, jobs, servers
from mounttool.bench.engine import Share
from mounttool.bench.fio import Direction, parse
from mounttool.bench.measure import latencies, workplaces
from mounttool.bench.node import Workplace
from mounttool.bench.placement import place
from mounttool.bench.provenance import Facts
from mounttool.bench.rows import blank, timed, utc
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
        UnsupportedError: fio is missing on a node, or nodes that write at once have different ones.

    """
    if not workload.file or workload.parent or workload.process:
        raise InputError(f"--engine both: fio cannot do what {workload.title} does", hint="criu-full is one it can do")
    for fact in facts:
        if not fact.fio:
            raise UnsupportedError(f"{fact.host}: fio is not installed", hint="install the package fio on the node")
        if workload.writers == "all" and fact.fio != facts[0].fio:
            raise UnsupportedError(
                f"{fact.host} has {fact.fio}, {facts[0].host} has {facts[0].fio}: expected one version of fio on all",
                hint="its client and servers understand no other; --engine mounttool needs no fio",
            )


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
        for share in placed.writing:
            below = _directory_of_fio(dataclasses.replace(share, directory=directory))
            places[share.session.host].make_below(below)
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
    """Return a share whose ranks have a file each, as with fio, with the workload's own calls."""
    writes, size_bytes = trial.workload.file[0].writes, max(work.written_bytes for work in share.works)
    works = (
        dataclasses.replace(work, files=(File(f"own.{work.rank}.bin", size_bytes, writes),)) for work in share.works
    )
    return dataclasses.replace(share, directory=directory, works=tuple(works))


def _own(target: Target, trial: Trial, phase: str, shares: Sequence[Share]) -> Iterator[Row]:
    start_ns = time.time_ns()
    order: engine.Order = "write" if phase == "write" else "read"
    for share, answer in zip(shares, engine.carry_out(order, shares, timeout_s=trial.timeout_s), strict=True):
        for work in share.works:
            told = answer.ranks[work.rank]
            if "error" in told:
                raise StepError(share.session.host, phase, order, (str(told["error"]),))
            flush_s = told.get("flush_s")
            ack_s = told["ack_s"] if phase == "write" else told["read_s"]
            yield dataclasses.replace(
                timed(blank(target, trial, phase, work), share.session.host, start_ns, latencies(told)),
                engine=ONE_FILE,
                files=1,
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
    start_s = time.time()
    text, names = _run_fio([places[share.session.host] for share in shares], [_filled(job, share) for share in shares])
    where = shares[0].session.host if len(shares) == 1 else f"{len(shares)}-nodes"
    label = re.sub(r"[^A-Za-z0-9._-]", "_", f"{target.name}-{phase}-{where}")
    (trial.raw / f"{trial.block:03d}-{label}.json").write_text(text, encoding="utf-8")
    output = parse(text)
    for share in shares:
        host = share.session.host
        jobs_of_node = [one for one in output.jobs if one.hostname == names[host]]
        if len(jobs_of_node) != len(share.works):
            told = f"{len(jobs_of_node)} ranks reported, expected {len(share.works)}"
            raise StepError(host, phase, FIO, (told,))
        for job_of_rank, work in zip(jobs_of_node, share.works, strict=True):
            done = job_of_rank.transfer(direction)
            yield dataclasses.replace(
                blank(target, trial, phase, work),
                engine=FIO,
                engine_version=output.version,
                files=1,
                node=host,
                t_start_utc=utc(start_s),
                bytes=done.io_bytes,
                # Opening, every call and the fsync together: fio does not tell them apart.
                t_ack_s=done.runtime_ms / 1000,
                wall_s=done.runtime_ms / 1000,
                lat_p50_ns=done.latency.percentiles_ns.get(50.0),
                lat_p95_ns=done.latency.percentiles_ns.get(95.0),
                lat_p99_ns=done.latency.percentiles_ns.get(99.0),
                lat_max_ns=done.latency.max_ns if done.latency.count else None,
                hist=histogram.to_text(done.latency.bins),
                valid=True,
                invalid_reason="",
            )


def _filled(job: str, share: Share) -> str:
    (file,) = share.works[0].files
    directory, ranks = _directory_of_fio(share), len(share.works)
    return jobs.filled(job, directory=directory, size_bytes=file.size_bytes, ranks=ranks, writes=file.writes)


def _directory_of_fio(share: Share) -> str:
    """Where the files of a share's ranks lie, which fio counts from 0 on each node; whoever reads them looks there."""
    return f"{share.directory}/{share.works[0].rank}"


def _run_fio(places: Sequence[Workplace], texts: Sequence[str]) -> tuple[str, Mapping[str, str]]:
    """Return what fio printed, and what it calls each host."""
    if len(places) > 1:
        return servers.run(places, texts)
    return places[0].fio(texts[0]), {places[0].host: ""}
