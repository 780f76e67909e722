"""What a lab remembers of itself between commands: one file in its state folder."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from mounttool.errors import LabError
from mounttool.lab.settings import STORAGE, Settings


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that was brought up. ``nodes`` are without ``storage``; ``configs`` are the TOML files that it wrote.

    ``kernel_nodes`` have a kernel of their own.
    """

    settings: Settings
    nodes: tuple[str, ...]
    configs: tuple[Path, ...] = ()
    kernel_nodes: tuple[str, ...] = ()

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F`` and for Fabric."""
        return self.settings.ssh_config

    @property
    def secrets(self) -> Path:
        """The folder with one file per password or key, named as in ``keys.SECRETS``."""
        return self.settings.secrets

    @property
    def authority(self) -> Path:
        """The certificate of the lab's own authority; nodes have it, but do not trust it until told to."""
        return self.settings.state / "tls" / "ca.crt"

    @property
    def machines(self) -> tuple[str, ...]:
        """All nodes, with ``storage`` first."""
        return (STORAGE, *self.nodes, *self.kernel_nodes)


def save(lab: Lab) -> None:
    """Write the record; a killed writer leaves the old one."""
    target = _file(lab.settings)
    content = {
        "name": lab.settings.name,
        "subnet": str(lab.settings.subnet),
        "nodes": lab.nodes,
        "kernel_nodes": lab.kernel_nodes,
        "configs": [str(config) for config in lab.configs],
    }
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    fresh.rename(target)


def recall(settings: Settings) -> Lab | None:
    """Read the record; None when there is none. Raises ``LabError`` when the folder is another lab's.

    A lab keeps the subnet that it was made with, whatever the environment says by now.
    """
    try:
        content = json.loads(_file(settings).read_text())
    except FileNotFoundError:
        return None
    if content["name"] != settings.name:
        raise LabError(f"{settings.state} is the lab {content['name']!r}'s, not {settings.name!r}'s")
    settings = dataclasses.replace(settings, subnet=ipaddress.IPv4Network(content["subnet"]))
    configs = tuple(Path(config) for config in content["configs"])
    return Lab(settings, tuple(content["nodes"]), configs, tuple(content.get("kernel_nodes", ())))


def _file(settings: Settings) -> Path:
    return settings.state / "lab.json"
