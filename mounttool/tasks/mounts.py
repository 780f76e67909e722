"""plan, provision, mount, unmount, status: what changes nodes, and what says how they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.deliver import fleet, last_run, probe
from mounttool.deliver.apply import facts
from mounttool.deliver.fleet import HostResult, StoppedError
from mounttool.errors import InputError
from mounttool.node import Node
from mounttool.plan import Plan
from mounttool.render import Intent
from mounttool.tasks._command import ALL, Choice, command, hosts_of
from mounttool.tasks._outcomes import end, grouped, is_well, report, work
from mounttool.terminal import escape, out, print_json, print_table
from mounttool.terminal import status as styled


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
        for host, plans in grouped(results):
            for each in plans:
                out.print(f"[bold]{each.name}[/] ({each.backend}, plan {each.digest}) on {host}")
                for number, step in enumerate(each.steps, 1):
                    out.print(f"  {number:2}. {step.title}", markup=False)
                for text in each.warnings:
                    out.print(f"  [yellow]warning:[/] {escape(text)}")
    end(results)


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


@command(
    adopt="copy a directory that is in a link's way, verify the copy and keep the old one aside",
    retry_failed="only the hosts that failed or were not reached in the last run, and the same mounts",
)
def mount(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    dry_run: bool = False,
    adopt: bool = False,
    retry_failed: bool = False,
    json_: bool = False,
) -> None:
    """Install, mount and link what mounttool.toml declares; a second run changes nothing.

    Examples: fab mount --backend juicefs
              fab -H 10.0.1.11,10.0.1.12 mount --name checkpoints --dry-run
              fab mount --retry-failed
    """
    loaded = configs.load(config)
    if retry_failed:
        if backend or name or hosts != ALL:
            raise InputError("--retry-failed: expected no flag that chooses mounts or hosts: the last run has chosen")
        last = last_run.load(config)
        mounts = tuple(mount for wanted in last.mounts for mount in loaded.select(name=wanted))
        chosen = last.left
    else:
        mounts = loaded.select(backend=backend, name=name)
        chosen = hosts_of(loaded, hosts)
    intent = Intent(dry_run=dry_run, adopt=adopt)
    names = [mount.name for mount in mounts]
    try:
        results = work(loaded.fleet, chosen, mounts, _plan, intent, quiet=json_)
    except StoppedError as stopped:
        if not dry_run:
            last_run.save(config, names, {**_states(stopped.results), **dict.fromkeys(stopped.left, "unreached")})
        raise
    if not dry_run:
        last_run.save(config, names, _states(results))
    report(results, intent, json_=json_)


def _states(results: Sequence[HostResult[Any]]) -> dict[str, last_run.State]:
    return {result.host: "done" if is_well(result) else "failed" for result in results}


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
    end(results, ok=all(row["verdict"] == "ok" for row in rows))


def _plan(mount: Backend, node: Node) -> Plan:
    return mount.plan(node)


def _provision(mount: Backend, node: Node) -> Plan | None:
    return mount.provision(node)
