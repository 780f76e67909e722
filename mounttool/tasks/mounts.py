"""plan, provision, mount, unmount, status: what changes nodes, and what says how they are."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import rich.markup
from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.config import Fleet
from mounttool.deliver import fleet, probe
from mounttool.deliver.apply import Chosen, apply, facts
from mounttool.deliver.fleet import HostResult
from mounttool.deliver.outcome import MountOutcome
from mounttool.node import Node
from mounttool.plan import Plan
from mounttool.render import Intent
from mounttool.session import Session
from mounttool.tasks._command import ALL, Choice, command, fail, hosts_of
from mounttool.terminal import Board, err, out, print_error, print_json, print_table
from mounttool.terminal import status as styled

Outcomes = HostResult[list[MountOutcome]]
#: What is said of a step that takes away.
_REMOVED = {"changed": "removed", "would": "would remove"}


@command()
def plan(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    json_: bool = False,
) -> None:
    """Print the states that each mount needs on each node; reads the nodes' facts and changes nothing.

    Example: fab plan --name checkpoints
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    results = fleet.each(
        hosts_of(loaded, hosts), loaded.fleet, lambda session: [mount.plan(facts(session)) for mount in mounts]
    )
    if json_:
        print_json(
            [
                {
                    "host": result.host,
                    "error": str(result.error or ""),
                    "plans": [p.document() for p in result.value or []],
                }
                for result in results
            ]
        )
    else:
        for host, plans in _grouped(results):
            for each in plans:
                out.print(f"[bold]{each.name}[/] ({each.backend}, plan {each.digest}) on {host}")
                for number, step in enumerate(each.steps, 1):
                    out.print(f"  {number:2}. {step.title}", markup=False)
                for text in each.warnings:
                    out.print(f"  [yellow]warning:[/] {rich.markup.escape(text)}")
    _end(results)


@command(dry_run="say what is missing, change nothing")
def provision(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    dry_run: bool = False,
    json_: bool = False,
) -> None:
    """Do what is done once for a whole fleet, from its first node: make the database, format the volume.

    It may be run again: what exists stays as it is, and a volume with other settings is refused.

    Example: fab provision --backend juicefs
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    chosen = hosts_of(loaded, hosts)[:1]
    intent = Intent(dry_run=dry_run)
    report(work(loaded.fleet, chosen, mounts, _provision, intent, quiet=json_), intent, json_=json_)


@command(adopt="copy a directory that is in a link's way, verify the copy and keep the old one aside")
def mount(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    dry_run: bool = False,
    adopt: bool = False,
    json_: bool = False,
) -> None:
    """Install, mount and link what mounttool.toml declares; a second run changes nothing.

    Examples: fab mount --backend juicefs
              fab -H 10.0.1.11,10.0.1.12 mount --name checkpoints --dry-run
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    intent = Intent(dry_run=dry_run, adopt=adopt)
    report(work(loaded.fleet, hosts_of(loaded, hosts), mounts, _plan, intent, quiet=json_), intent, json_=json_)


@command()
def unmount(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    dry_run: bool = False,
    json_: bool = False,
) -> None:
    """Take away what mount made: units, environment files, links, drop-ins. The volume and all data stay.

    Refused while files are open on the mount; the message names the processes.

    Example: fab unmount --name checkpoints
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    intent = Intent(action="remove", dry_run=dry_run)
    # In the opposite order of mounting, so that what was stacked on what comes apart again.
    results = work(loaded.fleet, hosts_of(loaded, hosts), mounts[::-1], _plan, intent, quiet=json_)
    report(results, intent, json_=json_)


@command()
def status(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    json_: bool = False,
) -> None:
    """Show how each mount is on each node: ok, absent, dead, hung, wrong-source, stacked or read-only.

    Example: fab status
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    results = fleet.each(
        hosts_of(loaded, hosts), loaded.fleet, lambda session: probe.look(session, [m.mounted() for m in mounts])
    )
    rows = [
        {
            "host": r.host,
            "mount": m.name,
            "mount_point": m.mount_point,
            "unit": m.unit,
            "verdict": v.word,
            "detail": v.detail,
        }
        for r in results
        for m, v in zip(mounts, r.value or (), strict=False)
    ]
    if json_:
        print_json({"mounts": rows, "errors": {r.host: str(r.error) for r in results if r.error}})
    elif rows:
        shown = [(r["host"], r["mount"], r["mount_point"], r["unit"], styled(r["verdict"]), r["detail"]) for r in rows]
        print_table(("host", "mount", "mount point", "unit", "verdict", ""), shown)
    _end(results, ok=all(row["verdict"] == "ok" for row in rows))


def _plan(mount: Backend, node: Node) -> Plan:
    return mount.plan(node)


def _provision(mount: Backend, node: Node) -> Plan | None:
    return mount.provision(node)


def work(
    settings: Fleet, hosts: Sequence[str], mounts: Sequence[Backend], choose: Chosen, intent: Intent, *, quiet: bool
) -> list[Outcomes]:
    """Carry out ``intent`` on every host, with a live display unless ``quiet``."""
    with Board(hosts, quiet=quiet) as board:

        def one(session: Session) -> list[MountOutcome]:
            board.say(session.host, "connecting")
            observe = functools.partial(_step, board, session.host)
            outcomes = apply(session, mounts, choose, intent, observe)
            board.say(
                session.host, ", ".join(f"{outcome.name} {outcome.status}" for outcome in outcomes) or "nothing to do"
            )
            return outcomes

        return fleet.each(hosts, settings, one)


def _step(board: Board, host: str, mount: str, title: str) -> None:
    board.say(host, f"{mount}: {title}")


def report(results: Sequence[Outcomes], intent: Intent, *, json_: bool) -> None:
    """Print what came of each host, and end the command with status 1 when one failed."""
    if json_:
        print_json(
            [
                {
                    "host": r.host,
                    "error": str(r.error or ""),
                    "mounts": [outcome.document() for outcome in r.value or []],
                }
                for r in results
            ]
        )
        _end(results, ok=_well(results), quiet=True)
        return
    rows = [
        (
            rich.markup.escape(r.host), outcome.name, styled(outcome.status),
            *(str(outcome.count(kind) or "") for kind in ("ok", "changed", "would", "failed", "skipped")),
        )
        for r in results
        for outcome in r.value or []
    ]  # fmt: skip
    if rows:
        print_table(("host", "mount", "result", "ok", "changed", "would", "failed", "skipped"), rows)
    _details(results, intent)
    _end(results, ok=_well(results))


def _well(results: Sequence[Outcomes]) -> bool:
    return all(outcome.status != "failed" for result in results for outcome in result.value or [])


def _details(results: Sequence[Outcomes], intent: Intent) -> None:
    """What changed, what is to be known, and each failure with its step, command, last lines and way out.

    Hosts with the same line share it: a fleet of hundreds differs in few.
    """
    lines: dict[str, list[str]] = {}
    failures: dict[tuple[str, str, str], list[tuple[str, MountOutcome]]] = {}
    for result in results:
        for outcome in result.value or []:
            for text in _lines(outcome, intent):
                lines.setdefault(text, []).append(result.host)
            if outcome.status == "failed":
                step = outcome.failure
                alike = (outcome.name, step.title if step else "", step.hint if step else "")
                failures.setdefault(alike, []).append((result.host, outcome))
    for text, hosts in lines.items():
        out.print(f"{', '.join(hosts)}: {text}")
    for group in failures.values():
        _failure(", ".join(host for host, _ in group), group[0][1])


def _lines(outcome: MountOutcome, intent: Intent) -> Iterator[str]:
    for step in outcome.steps:
        if step.status in {"changed", "would"}:
            note = f" ({step.note})" if step.note else ""
            word = _REMOVED.get(step.status, "") if intent.action == "remove" else step.status
            yield f"{outcome.name}: {styled(step.status, word)} {rich.markup.escape(step.title + note)}"
    for text in outcome.warnings:
        yield f"{outcome.name}: [yellow]warning:[/] {rich.markup.escape(text)}"


def _failure(hosts: str, outcome: MountOutcome) -> None:
    """One failure; where several hosts failed alike, the first one's lines stand for all."""
    step = outcome.failure
    if step is None:
        err.print(f"{hosts}: {outcome.name}: [bold red]cut off[/] before its last step; run it again")
        return
    err.print(f"{hosts}: {outcome.name}: [bold red]failed[/] at step {step.number}: {rich.markup.escape(step.title)}")
    if step.command:
        err.print(f"  command: {step.command}", markup=False)
    for line in step.log:
        err.print(f"  | {line}", markup=False)
    if step.hint:
        err.print(f"  try: {step.hint}", markup=False)


def _grouped(results: Sequence[HostResult[Any]]) -> list[tuple[str, Any]]:
    """Hosts with the same value, together: a fleet of hundreds differs in few."""
    groups: list[tuple[list[str], Any]] = []
    for result in results:
        if result.value is None:
            continue
        for hosts, value in groups:
            if value == result.value:
                hosts.append(result.host)
                break
        else:
            groups.append(([result.host], result.value))
    return [(", ".join(hosts), value) for hosts, value in groups]


def _end(results: Sequence[HostResult[Any]], *, ok: bool = True, quiet: bool = False) -> None:
    failed = [result.error for result in results if result.error]
    for error in failed:
        if not quiet:
            print_error(error)
    if failed or not ok:
        fail()
