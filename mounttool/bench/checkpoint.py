"""One repeat of the checkpoint workload: written on one node, read back cold on another, and checked."""

from __future__ import annotations

import re
from collections.abc import Callable

from mounttool.bench import jobs
from mounttool.bench.fio import parse
from mounttool.bench.node import Workplace
from mounttool.bench.rows import Phase, rows
from mounttool.bench.target import Target, Trial
from mounttool.errors import MounttoolError, StepError, UnsupportedError
from mounttool.quantities import format_bytes
from mounttool.results import Row
from mounttool.session import Session

# The file system's own bookkeeping needs some room beside the data.
_ROOM = 1.05

_JOBS = {"write": jobs.WRITE, "restore": jobs.RESTORE}


def measure(
    target: Target, writer: Session, reader: Session, trial: Trial, *, progress: Callable[[str], None]
) -> tuple[Row, ...]:
    """Write a checkpoint on ``writer``, restore it on ``reader``, and return a row per phase and rank.

    A directory of its own below the target's path holds the files; it is removed whatever happens.

    Raises:
        UnsupportedError: the path is not there, not mounted, not writable, or has too little space.
        StepError: a command on a node failed.
        ResultsError: fio printed something else than its results.
        HostError: a node does not answer.

    """
    directory = f"{target.path.rstrip('/')}/mounttool-bench-{trial.run_id}-{trial.block}"
    source, sink = (Workplace(session, directory, trial.timeout_s) for session in (writer, reader))
    check(target, writer, trial)
    check(target, reader, trial)
    try:
        source.make_directory()
        write = _phase("write", target, source, trial)
        written = source.checksums()
        for cache in target.caches:
            sink.empty(cache, keep=target.path, whole_mount=target.shared)
        restore = _phase("restore", target, sink, trial)
        restored = sink.checksums()
    finally:
        _clean_up((source, sink), progress)
    names = map(jobs.rank_file, range(trial.ranks))
    same = {rank: name in written and written[name] == restored.get(name) for rank, name in enumerate(names)}
    return rows(target, trial, write, restore, same)


def check(target: Target, session: Session, trial: Trial) -> None:
    """Look whether the node can take the trial.

    Raises:
        UnsupportedError: the path is not there, not mounted, not writable, or has too little space.
        HostError: the node does not answer.

    """
    place = Workplace(session, target.path, trial.timeout_s).place()
    if target.shared and place.mount_point == "/":
        raise UnsupportedError(f"{session.host}: {target.path} lies on the root disk", hint="mount it first")
    needed_bytes = trial.size_bytes * trial.ranks * _ROOM
    if place.free_bytes < needed_bytes:
        needed, free = format_bytes(needed_bytes), format_bytes(place.free_bytes)
        raise UnsupportedError(f"{session.host}: {target.path} has {free} free, {needed} are needed")


def _phase(name: str, target: Target, workplace: Workplace, trial: Trial) -> Phase:
    measured = workplace.fio(jobs.job(_JOBS[name]), size_bytes=trial.size_bytes, ranks=trial.ranks)
    label = re.sub(r"[^A-Za-z0-9._-]", "_", target.name)
    (trial.raw / f"{trial.block:03d}-{label}-{name}.json").write_text(measured.output, encoding="utf-8")
    output = parse(measured.output)
    if len(output.jobs) != trial.ranks:
        told = f"{len(output.jobs)} ranks reported, expected {trial.ranks}"
        raise StepError(workplace.host, name, "fio", (told,))
    return Phase(name, workplace.host, measured, output)


def _clean_up(workplaces: tuple[Workplace, Workplace], progress: Callable[[str], None]) -> None:
    # Both nodes, even when they share the directory: each may still run an fio in it.
    for workplace in workplaces:
        try:
            workplace.clean_up()
        except MounttoolError as error:
            # Said, not raised: it must neither hide why the repeat broke off nor cost a good measurement.
            progress(f"warning: {workplace.directory} could not be removed: {error}")
