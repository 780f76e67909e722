"""bench: measure how fast a checkpoint becomes durable on the mounts, and how fast it comes back."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from mounttool import config as configs
from mounttool import semantics
from mounttool.backends.base import Backend
from mounttool.errors import InputError, UnsupportedError
from mounttool.quantities import format_bytes, format_seconds
from mounttool.session import Session
from mounttool.tasks._command import ALL, Choice, command, hosts_of
from mounttool.tasks._process import SMALLEST_BYTES, refuse_mount, refuse_single_host
from mounttool.terminal import Progress, err, out, print_json

if TYPE_CHECKING:
    from mounttool.bench.estimate import Estimate
    from mounttool.bench.protocol import Conditions, Prepared
    from mounttool.bench.target import Target
    from mounttool.bench.workload import Workload
    from mounttool.compat.probe import Found
    from mounttool.semantics import Feature

_RESULTS = Path("results")
#: A benchmark takes as long as its data; what bounds it is the limit on each order, not on the whole session.
_DEADLINE_S = 86400
_ENGINES = ("mounttool", "both")


@command(
    workload="what is written and read, such as criu-full, criu-incr:20, criu-live, ml-shard:8b, gang, meta",
    size="how much the largest rank writes, such as 4GiB; full: a model's own bytes; default: the workload's",
    ranks="how many processes write at once on each writing node",
    repeats="how often each target is measured, MIN or MIN:MAX: until the medians are known within 5 %",
    compress="how much of the data can be compressed away, in percent; default: the workload's",
    budget="refuse a run that may cost more than so many USD",
    engine="mounttool, or both: let fio do the same, to be checked against",
    kill_writer="cut the writer's power after each checkpoint, and see what another node restores",
    kill_command="what cuts it, run here, with {host} in it; default: the lab's own way",
    results="the folder that keeps what was measured",
    baseline="a directory on the nodes' own disk to compare with; empty: none",
    timeout="how many seconds a node may take for a single order",
)
def bench(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    workload: str = "criu-full",
    size: str = "",
    ranks: int = 1,
    repeats: str = "10:30",
    compress: str = "",
    budget: str = "",
    engine: str = "mounttool",
    kill_writer: bool = False,
    kill_command: str = "",
    results: str = str(_RESULTS),
    baseline: str = "/var/tmp",  # noqa: S108 - a directory of its own is made there, on the disk and not in memory
    timeout: int = 900,
    json_: bool = False,
) -> None:
    """Time how long a checkpoint takes to be durable, and to come back cold on another node; compare every byte.

    Targets are measured in turns, in random order, beside the nodes' own disk. Rows and raw outputs are kept below
    results/raw/; `fab compare` shows them. Needs python3 on the nodes.

    Examples: fab bench --size 64MiB --repeats 3
              fab bench --workload criu-incr:20 --size 16GiB --budget 5
              fab bench --kill-writer --repeats 20
    """
    from mounttool.bench import kill, protocol  # noqa: PLC0415 - only who measures waits for them
    from mounttool.bench import workload as workloads  # noqa: PLC0415
    from mounttool.bench.target import baseline as own_disk  # noqa: PLC0415
    from mounttool.deliver import fleet  # noqa: PLC0415
    from mounttool.tasks import _killer  # noqa: PLC0415

    chosen = workloads.load(workload)
    conditions = _conditions(chosen, size, ranks, repeats, compress, engine, timeout)
    budget_usd = _number("--budget", budget, "USD, such as 2.50") if budget else None
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    addresses = hosts_of(loaded, hosts)
    if chosen.process:
        _refuse_for_a_process(conditions, kill=kill_writer or bool(kill_command))
        for mount in mounts:
            refuse_mount(mount)
        refuse_single_host(addresses, hosts)
    if not addresses:
        raise InputError("no hosts: give fleet.hosts in the configuration, or --hosts")
    killer = _killer.choose(kill_command, addresses) if kill_writer or kill_command else None
    patient = loaded.fleet.model_copy(update={"deadline_s": _DEADLINE_S})
    with ExitStack() as stack:
        sessions = [fleet.session(host, patient) for host in addresses]
        for session in sessions:
            stack.callback(session.close)
        targets = _targets(mounts, sessions[0], conditions)
        if baseline and not killer:
            targets.append(own_disk(baseline))
        prepared = protocol.prepare(targets, sessions, conditions, Path(results))
        _say_what_comes(prepared, budget_usd)
        with Progress() as progress:
            summary = kill.run(prepared, killer, progress) if killer else protocol.run(prepared, progress)
    if json_:
        valid = sum(row.valid for row in summary.rows)
        print_json({"run": summary.run_id, "folder": str(summary.folder), "rows": len(summary.rows), "valid": valid})
    else:
        out.print(f"kept in {summary.folder}; `fab compare` shows it", markup=False)


def _conditions(
    workload: Workload, size: str, ranks: int, repeats: str, compress: str, engine: str, timeout: int
) -> Conditions:
    from mounttool.bench.protocol import Conditions  # noqa: PLC0415 - as in `bench`

    if engine not in _ENGINES:
        raise InputError(f"--engine {engine}: expected one of {', '.join(_ENGINES)}")
    percent = int(_number("--compress", compress, "a percentage such as 30")) if compress else None
    if percent is not None and percent > 99:
        raise InputError(f"--compress {compress}: expected a percentage below 100")
    return Conditions(
        workload=workload,
        size_bytes=workload.rank_bytes(size),
        ranks=ranks,
        repeats=_repeats(repeats),
        seed=secrets.randbits(32),
        compress_percent=percent,
        with_fio=engine == "both",
        timeout_s=timeout,
    )


def _refuse_for_a_process(conditions: Conditions, *, kill: bool) -> None:
    name = conditions.workload.name
    senseless = {
        f"--size {format_bytes(conditions.size_bytes)}: expected at least 1 MiB": conditions.size_bytes
        < SMALLEST_BYTES,
        f"--ranks {conditions.ranks}: {name} moves one process at a time": conditions.ranks > 1,
        f"--compress: {name} has a process' memory, of random bytes": conditions.compress_percent is not None,
        f"--engine both: fio cannot do what {name} does": conditions.with_fio,
        f"--kill-writer: {name} ends its process on the writer; criu-full is a dump like it": kill,
    }
    if found := [told for told, asked in senseless.items() if asked]:
        raise InputError(found[0])


def _repeats(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition(":")
    if not fewest.isdecimal() or not (most or fewest).isdecimal():
        raise InputError(f"--repeats {text}: expected how many, such as 10, or 10:30")
    return int(fewest), int(most or fewest)


def _number(flag: str, text: str, expected: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise InputError(f"{flag} {text}: expected {expected}")
    return found


def _targets(mounts: Sequence[Backend], session: Session, conditions: Conditions) -> list[Target]:
    from mounttool.bench.target import Target  # noqa: PLC0415 - as in `bench`
    from mounttool.compat import probe  # noqa: PLC0415
    from mounttool.deliver.apply import facts  # noqa: PLC0415

    node = facts(session)
    plans = [mount.plan(node) for mount in mounts]
    for mount, plan in zip(mounts, plans, strict=True):
        if mount.read_only:
            raise InputError(f"{mount.name} is mounted read-only: expected mounts to write to (--name picks one)")
        if 0 < plan.largest_file_bytes < conditions.size_bytes:
            raise InputError(
                f"--size {format_bytes(conditions.size_bytes)}: a file on {mount.name} has at most "
                f"{format_bytes(plan.largest_file_bytes)}",
                hint="a larger write_part_size, or more --ranks of a smaller --size",
            )
    for mount, (look, _) in zip(mounts, probe.look(session, mounts, plans), strict=True):
        if look.failed:
            raise UnsupportedError(f"{look.host}: {mount.name}: {look.failed}", hint="mount it first: `fab mount`")
        _refuse_what_lacks(mount, look.found, conditions.workload)
    return [
        Target(
            name=plan.name,
            backend=plan.backend,
            path=plan.data_path,
            shared=mount.shared,
            plan_digest=plan.digest,
            caches=plan.caches,
            settings=plan.settings,
            tier=mount.price_tier,
            metadata_engine=mount.metadata_engine,
        )
        for mount, plan in zip(mounts, plans, strict=True)
    ]


def _refuse_what_lacks(mount: Backend, found: Mapping[Feature, Found], workload: Workload) -> None:
    lacks = {feature for feature, one in found.items() if one.lacks}
    missing = semantics.missing(workload.needs, lacks)
    if "delete" in lacks:
        raise UnsupportedError(
            f"{mount.name}: what was written there cannot be deleted again", hint="for Mountpoint: allow_delete = true"
        )
    if missing:
        raise UnsupportedError(
            f"{mount.name}: {workload.title} needs what it lacks: {', '.join(missing)}",
            hint="`fab compat` says more; --name picks other mounts",
        )


def _say_what_comes(prepared: Prepared, budget_usd: float | None) -> None:
    from mounttool.bench.estimate import estimate, hold_to  # noqa: PLC0415 - as in `bench`

    conditions = prepared.conditions
    readers = len(prepared.nodes) - 1 if conditions.workload.readers == "each" else 1
    gbps = prepared.first.where.nic_gbps
    found = estimate(prepared.targets, prepared.first.works, conditions.repeats, gbps=gbps, readers=max(1, readers))
    if budget_usd is not None:
        hold_to(budget_usd, found)
    network = f"{gbps:.3g} Gbit/s between nodes" if gbps else "the network between nodes is not known"
    workload, repeats = conditions.workload, " to ".join(dict.fromkeys(map(str, conditions.repeats)))
    ranks = f"ranks: {len(prepared.first.works)}, {_each(conditions.size_bytes)}{network}"
    err.print(f"{workload.title} (version {workload.version}): {workload.description}; {ranks}", markup=False)
    lasts = f"{format_seconds(found.at_least_s)} to {format_seconds(found.at_most_s)}"
    err.print(f"{len(prepared.targets)} targets, {repeats} repeats each: {lasts}, {_usd(found)}", markup=False)


def _each(size_bytes: int) -> str:
    return f"{format_bytes(size_bytes)} each, " if size_bytes else ""


def _usd(found: Estimate) -> str:
    if found.usd is None:
        return f"for a sum that nobody knows: {', '.join(found.unpriced)} has no price"
    return f"at most {found.usd:.2f} USD for requests and bytes (prices of {found.price_date}), beside what nodes cost"
