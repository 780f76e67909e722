"""config.example and config.check."""

from __future__ import annotations

import sys

from invoke.context import Context

from mounttool import config as configs
from mounttool import example as examples
from mounttool.tasks._command import command
from mounttool.terminal import out, print_json


@command(backend="the kind of mount to show")
def example(c: Context, backend: str = "juicefs") -> None:
    """Print a commented configuration to start from.

    Example: fab config.example --backend juicefs > mounttool.toml
    """
    sys.stdout.write(examples.text(backend))


@command()
def check(c: Context, config: str = configs.DEFAULT_FILE, json_: bool = False) -> None:
    """Say whether the configuration can be used; the first thing that is wrong is named.

    Example: fab config.check --config fleet.toml
    """
    loaded = configs.load(config)
    if json_:
        mounts = [
            {"name": m.name, "backend": m.kind, "mount_point": m.mount_point, "link": m.link} for m in loaded.mounts
        ]
        print_json({"file": loaded.file, "hosts": list(loaded.fleet.hosts), "mounts": mounts})
        return
    more = " and those of its inventory" if loaded.fleet.inventory.model_fields_set else ""
    out.print(f"{loaded.file}: ok: {len(loaded.fleet.hosts)} hosts{more}, {len(loaded.mounts)} mounts", markup=False)
    for mount in loaded.mounts:
        link = f", linked from {mount.link}" if mount.link else ""
        out.print(f"  {mount.name}: {mount.kind} at {mount.mount_point}{link}", markup=False)
