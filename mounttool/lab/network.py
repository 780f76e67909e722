"""The lab's network: a switch, a cable per node, and one cable to the host.

The bridge has a network namespace of its own. On the host it would be subject to the host's packet filter, and Docker's
drops what is forwarded between bridge ports.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.errors import LabError
from mounttool.lab.settings import MAX_NODES, STORAGE, STORAGE_TLS, is_kernel_node, node_names
from mounttool.lab.shell import call

if TYPE_CHECKING:
    from mounttool.lab.settings import Settings


HOST = ""
"""In place of a namespace's name: the host's own."""


def refuse_taken_subnet(settings: Settings) -> None:
    """Raise ``LabError`` when the host routes some of the lab's addresses elsewhere."""
    for route in json.loads(call("ip", "-json", "-4", "route", "show", "table", "all")):
        if route["dst"] == "default" or route.get("dev") == settings.link:
            continue
        if ipaddress.IPv4Network(route["dst"]).overlaps(settings.subnet):
            raise LabError(
                f"{settings.subnet} is taken: this machine routes {route['dst']} to {route.get('dev', 'elsewhere')}",
                hint="MOUNTTOOL_LAB_SUBNET names another one",
            )


def connected(settings: Settings) -> bool:
    """Whether the switch and the host's cable to it are there and whole."""
    return (
        _exists(settings.switch)
        and _has_link(settings.link)
        and f" {settings.address('host')}/" in _ip(HOST, f"-4 addr show dev {settings.link}")
    )


def connect_host(settings: Settings) -> None:
    """Make the switch and the host's cable to it."""
    disconnect(settings)
    address = settings.address("host")
    _ip(HOST, f"netns add {settings.switch}")
    _ip(settings.switch, f"link add bridge address {mac(address, 6)} type bridge")
    _ip(settings.switch, "link set lo up")
    _ip(settings.switch, "link set bridge up")
    _cable(settings, HOST, settings.link, "host")
    _ip(HOST, f"addr add {address}/{settings.subnet.prefixlen} dev {settings.link}")
    _ip(HOST, f"link set {settings.link} up")


def connect(settings: Settings, node: str) -> None:
    """Make a node's network namespace with its ``eth0``, anew, as if it had just been plugged in.

    A kernel node has its network to itself anyway: it gets a port of the switch.
    """
    if is_kernel_node(node):
        if node not in _ports(settings, "tun"):
            _ip(settings.switch, f"tuntap add dev {node} mode tap")
            _ip(settings.switch, f"link set {node} master bridge up")
        return
    netns = settings.netns(node)
    if _exists(netns):
        _ip(HOST, f"netns del {netns}")
    _ip(HOST, f"netns add {netns}")
    _ip(netns, "link set lo up")
    _cable(settings, netns, "eth0", node)
    _ip(netns, f"addr add {settings.address(node)}/{settings.subnet.prefixlen} dev eth0")
    if node == STORAGE:
        _ip(netns, f"addr add {settings.address(STORAGE_TLS)}/{settings.subnet.prefixlen} dev eth0")
    _ip(netns, "link set eth0 up")


def disconnect(settings: Settings) -> None:
    """Remove the switch, and with it every cable, and the namespaces of the nodes."""
    if _has_link(settings.link):
        _ip(HOST, f"link del {settings.link}")
    for netns in [settings.netns(node) for node in (STORAGE, *node_names(MAX_NODES))] + [settings.switch]:
        if _exists(netns):
            _ip(HOST, f"netns del {netns}")


def mac(address: str, kind: int = 2) -> str:
    """Derive a hardware address: a random one would leave stale ARP entries behind for 14 s when a node comes again."""
    return f"0{kind}:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def _cable(settings: Settings, netns: str, interface: str, port: str) -> None:
    """Lay a cable from an interface in ``netns`` to a port of the bridge."""
    # The last cable in that port goes with its namespace, but only a while after it: it may go by itself just now.
    if port in _ports(settings):
        try:
            _ip(settings.switch, f"link del {port}")
        except LabError:
            if port in _ports(settings):
                raise
    address = mac(settings.address(port))
    _ip(netns, f"link add {interface} address {address} type veth peer name {port} netns {settings.switch}")
    _ip(settings.switch, f"link set {port} master bridge up")


def _ports(settings: Settings, kind: str = "veth") -> set[str]:
    return {link["ifname"] for link in json.loads(_ip(settings.switch, f"-json link show type {kind}"))}


def _ip(netns: str, command: str) -> str:
    """Run an ``ip`` command in a namespace, or on the host; none of its words has a space in it."""
    return call("ip", *(() if netns == HOST else ("-n", netns)), *command.split())


def _has_link(interface: str) -> bool:
    return Path("/sys/class/net", interface).exists()


def _exists(netns: str) -> bool:
    return Path("/run/netns", netns).exists()
