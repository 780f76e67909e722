"""Real nodes and real storage on one machine, to try everything and to test it.

::

    from mounttool import lab

    lab.up(nodes=2)                     # node1, node2 and storage, and a mounttool.toml that describes them
    lab.up(nodes=2, kernel_nodes=1)     # and kernel1, with a mounttool.kernel.toml
    lab.run("node1", "findmnt")         # as root
    lab.reboot("node1")
    lab.powercut("node1")
    lab.reclaim("node1")                # gone for good, until
    lab.boot("node1")
    lab.run("storage", "systemctl stop redis")
    lab.status()
    lab.down()

A node is a systemd-nspawn container: systemd, sshd, an address and a disk of its own, the host's kernel. What follows
from that: the host must have whatever file system is to be mounted (FUSE: JuiceFS, Mountpoint), memory and page cache
are shared, and a power cut loses no page cache.

A kernel node is a user-mode Linux: the same, with a kernel, memory and page cache of its own, an NFS client in that
kernel, and a blank second disk. It boots in some 10 s, where a container node takes less than one.
"""

from __future__ import annotations

from mounttool.lab.control import (
    LabStatus,
    NodeStatus,
    ServiceStatus,
    boot,
    down,
    load,
    powercut,
    reboot,
    reclaim,
    run,
    status,
    up,
)
from mounttool.lab.preflight import preflight
from mounttool.lab.record import Lab
from mounttool.lab.storage import SERVICES, Service

__all__ = [
    "SERVICES",
    "Lab",
    "LabStatus",
    "NodeStatus",
    "Service",
    "ServiceStatus",
    "boot",
    "down",
    "load",
    "powercut",
    "preflight",
    "reboot",
    "reclaim",
    "run",
    "status",
    "up",
]
