"""Where a lab lives and what it calls its things: everything that two labs on one machine must not share."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE = "storage"
"""The node that runs the storage services."""

MAX_NODES = 64
"""Every node knows this many others by name from its first boot on, so that growing a lab edits no running node."""

MAX_KERNEL_NODES = 8

STORAGE_TLS = "storage-tls"
"""The storage node's second address, where TLS is at NFS' own port, as EFS has it."""

DEFAULT_NAME = "mtlab"


@dataclass(frozen=True, slots=True)
class Settings:
    """One lab's name, folders and network.

    ``name`` prefixes every interface, network namespace and control group, of which Linux allows 15 characters.
    """

    name: str
    state: Path
    cache: Path
    subnet: ipaddress.IPv4Network

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read ``MOUNTTOOL_LAB_NAME``, ``_DIR``, ``_CACHE`` and ``_SUBNET``. Raises ``LabError`` for a bad one."""
        name = env.get("MOUNTTOOL_LAB_NAME", DEFAULT_NAME)
        if not re.fullmatch(r"[a-z][a-z0-9]{0,6}", name):
            raise LabError(f"MOUNTTOOL_LAB_NAME = {name!r}: expected 1 to 7 lower-case letters and digits")
        state = "/var/lib/mounttool-lab" if name == DEFAULT_NAME else f"/var/lib/mounttool-lab-{name}"
        return cls(
            name=name,
            state=Path(env.get("MOUNTTOOL_LAB_DIR", state)).absolute(),
            cache=Path(env.get("MOUNTTOOL_LAB_CACHE", "/var/cache/mounttool-lab")).absolute(),
            subnet=_subnet(env.get("MOUNTTOOL_LAB_SUBNET", "10.213.77.0/24")),
        )

    @property
    def link(self) -> str:
        """The host's interface into the lab."""
        return f"{self.name}0"

    @property
    def switch(self) -> str:
        """The network namespace that holds the lab's bridge."""
        return self.netns("net")

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F`` and for Fabric: how to log in to every node."""
        return self.state / "ssh_config"

    @property
    def secrets(self) -> Path:
        """One file per password or key."""
        return self.state / "secrets"

    def netns(self, node: str) -> str:
        """Name a node's network namespace; the host's end of its cable is called the same."""
        return f"{self.name}-{node}"

    def directory(self, node: str) -> Path:
        """Everything that one node keeps on the host."""
        return self.state / "nodes" / node

    def address(self, node: str) -> str:
        """.1 is the host, .2 and .3 the storage, .11 the first node, .101 the first kernel node."""
        fixed = {"host": 1, STORAGE: 2, STORAGE_TLS: 3}
        if node in fixed:
            return str(self.subnet[fixed[node]])
        first = 100 if is_kernel_node(node) else 10
        return str(self.subnet[first + int(node.removeprefix("kernel").removeprefix("node"))])


def node_names(count: int) -> tuple[str, ...]:
    """``node1`` to ``node<count>``."""
    return tuple(f"node{number}" for number in range(1, count + 1))


def kernel_node_names(count: int) -> tuple[str, ...]:
    """``kernel1`` to ``kernel<count>``: the nodes with a kernel of their own."""
    return tuple(f"kernel{number}" for number in range(1, count + 1))


def is_kernel_node(node: str) -> bool:
    """Whether a name is one of `kernel_node_names`."""
    return node.startswith("kernel")


def _subnet(text: str) -> ipaddress.IPv4Network:
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError:
        subnet = None
    if subnet is None or subnet.num_addresses < 128:
        raise LabError(f"MOUNTTOOL_LAB_SUBNET = {text!r}: expected an IPv4 network of 128 addresses or more")
    return subnet
