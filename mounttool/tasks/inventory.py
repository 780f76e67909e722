"""inventory: which hosts the other commands would work on."""

from __future__ import annotations

import dataclasses

from invoke.context import Context

from mounttool import config as configs
from mounttool.errors import InputError
from mounttool.tasks._command import ALL, Choice, command, nodes_of
from mounttool.terminal import escape, print_json, print_table


@command()
def inventory(c: Context, config: str = configs.DEFAULT_FILE, hosts: Choice = ALL, json_: bool = False) -> None:
    """List the hosts that the other commands would work on, and where each was found; no host is connected to.

    Example: fab inventory --limit 'gpu-*'
    """
    found = nodes_of(configs.load(config).fleet, hosts)
    if json_:
        print_json([dataclasses.asdict(host) for host in found])
        return
    if not found:
        raise InputError(f"{config}: no hosts", hint="give fleet.hosts or [fleet.inventory]; see docs/inventory.md")
    shown = [(host.address, host.instance, host.name, host.source) for host in found]
    print_table(("host", "instance", "name", "found by"), [[escape(cell) for cell in row] for row in shown])
