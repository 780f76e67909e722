"""lab.up, lab.status, lab.ssh, lab.reboot, lab.powercut, lab.down: real nodes on this machine."""

from __future__ import annotations

import dataclasses
import sys

from invoke.context import Context
from invoke.exceptions import Exit

from mounttool import lab
from mounttool.quantities import format_seconds
from mounttool.tasks._command import command
from mounttool.terminal import err, out, print_json, print_table
from mounttool.terminal import status as styled


def _say(text: str) -> None:
    err.print(text, markup=False)


@command(
    nodes="how many nodes; more than there are adds some",
    kernel_nodes="how many nodes with a kernel of their own (user-mode Linux), which has an NFS client",
)
def up(c: Context, nodes: int = 2, kernel_nodes: int = 0, json_: bool = False) -> None:
    """Bring up real nodes with systemd and sshd, and Redis, MariaDB, PostgreSQL and S3 beside them.

    Writes a mounttool.toml for them into the current folder, unless there is one that is not the lab's; for kernel
    nodes a mounttool.kernel.toml.

    Examples: fab lab.up --nodes 2
              fab lab.up --nodes 2 --kernel-nodes 1
    """
    lab.preflight(kernel_nodes=kernel_nodes > 0)
    running = lab.up(nodes, kernel_nodes=kernel_nodes, say=_say)
    if json_:
        print_json(
            {
                "nodes": (*running.nodes, *running.kernel_nodes),
                "ssh_config": running.ssh_config,
                "configs": running.configs,
            }
        )


@command()
def status(c: Context, json_: bool = False) -> None:
    """Show the lab's nodes and services.

    Example: fab lab.status
    """
    found = lab.status()
    if json_:
        print_json(dataclasses.asdict(found))
        return
    if not found.nodes:
        out.print("the lab is down; `fab lab.up --nodes 2` brings it up")
        return
    rows = [(node.name, node.address, node.state) for node in found.nodes]
    rows += [(service.name, service.endpoint, service.state) for service in found.services]
    print_table(("name", "address", "state"), [(name, at, styled(state)) for name, at, state in rows])


@command(node="a node's name, such as node1 or storage", command="what to run there as root")
def ssh(c: Context, node: str, command: str) -> None:
    """Run a command on a node of the lab as root; its exit status becomes this command's.

    Example: fab lab.ssh --node node1 --command "systemctl status juicefs-mnt-jfs"
    """
    completed = lab.run(node, command, timeout_s=600)
    sys.stdout.write(completed.stdout)
    sys.stderr.write(completed.stderr)
    if completed.returncode:
        raise Exit(code=completed.returncode)


@command(node="a node's name")
def reboot(c: Context, node: str, json_: bool = False) -> None:
    """Reboot a node in order, and wait until it answers over SSH.

    Example: fab lab.reboot --node node1
    """
    _back(node, lab.reboot(node), json_=json_)


@command(node="a node's name")
def powercut(c: Context, node: str, json_: bool = False) -> None:
    """Cut a node's power, as a reclaimed instance loses it, and wait until it answers again.

    Example: fab lab.powercut --node node1
    """
    _back(node, lab.powercut(node), json_=json_)


def _back(node: str, seconds: float, *, json_: bool) -> None:
    if json_:
        print_json({"node": node, "seconds": seconds})
    else:
        out.print(f"{node}: answers again after {format_seconds(seconds)}")


@command(image="remove the cached node image too")
def down(c: Context, image: bool = False) -> None:
    """Take the lab down: nodes, services, networks and all their files.

    Example: fab lab.down
    """
    lab.down(image=image, say=_say)
