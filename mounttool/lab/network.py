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
from mounttool.lab.settings import MAX_NODES, STORAGE, node_names
from mounttool.lab.shell import call

if TYPE_CHECKING:
    from mounttool.lab.settings import Settings


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


def connect_host(settings: Settings) -> None:
    """Make the switch and the host's cable to it, unless they are there and whole."""
    switch, link = settings.switch, settings.link
    if (
        _exists(switch)
        and Path("/sys/class/net", link).exists()
        and settings.address("host") in call("ip", "-4", "addr")
    ):
        return
    disconnect(settings)
    call("ip", "netns", "add", switch)
    call("ip", "-n", switch, "link", "add", "bridge", "address", mac(settings.address("host"), 6), "type", "bridge")
    call("ip", "-n", switch, "link", "set", "lo", "up")
    call("ip", "-n", switch, "link", "set", "bridge", "up")
    _cable(settings, link, "host")
    call("ip", "addr", "add", f"{settings.address('host')}/{settings.subnet.prefixlen}", "dev", link)
    call("ip", "link", "set", link, "up")


def connect(settings: Settings, node: str) -> None:
    """Make a node's network namespace with its ``eth0``, anew, as if it had just been plugged in."""
    netns = settings.netns(node)
    if _exists(netns):
        call("ip", "netns", "del", netns)
    call("ip", "netns", "add", netns)
    call("ip", "-n", netns, "link", "set", "lo", "up")
    _cable(settings, "eth0", node, netns)
    address = f"{settings.address(node)}/{settings.subnet.prefixlen}"
    call("ip", "-n", netns, "addr", "add", address, "dev", "eth0")
    call("ip", "-n", netns, "link", "set", "eth0", "up")


def disconnect(settings: Settings) -> None:
    """Remove the switch, and with it every cable, and the namespaces of the nodes."""
    _unplug(settings.link)
    for netns in [settings.netns(node) for node in (STORAGE, *node_names(MAX_NODES))] + [settings.switch]:
        if _exists(netns):
            call("ip", "netns", "del", netns)


def mac(address: str, kind: int = 2) -> str:
    """Derive a hardware address: a random one would leave stale ARP entries behind for 14 s when a node comes again."""
    return f"0{kind}:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def _cable(settings: Settings, interface: str, end: str, netns: str = "") -> None:
    """Lay a cable from an interface here (or in ``netns``) to a port of the bridge, whose name is ``end``."""
    switch = settings.switch
    _unplug(end, switch)
    port = ("peer", "name", end, "netns", switch)
    call(
        "ip",
        *(("-n", netns) if netns else ()),
        "link",
        "add",
        interface,
        "address",
        mac(settings.address(end)),
        "type",
        "veth",
        *port,
    )
    call("ip", "-n", switch, "link", "set", end, "master", "bridge", "up")


def _unplug(interface: str, netns: str = "") -> None:
    """Remove a cable by its end. A namespace's own go with it too, but only a while after it."""
    place = ("-n", netns) if netns else ()
    if any(
        link["ifname"] == interface for link in json.loads(call("ip", *place, "-json", "link", "show", "type", "veth"))
    ):
        call("ip", *place, "link", "del", interface)


def _exists(netns: str) -> bool:
    return Path("/run/netns", netns).exists()
