"""The lab's commands."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mounttool.errors import LabError
from mounttool.lab import configuration, groups, image, kernels, keys, mirror, network, nodes, record, ssh
from mounttool.lab.preflight import preflight
from mounttool.lab.record import Lab
from mounttool.lab.settings import (
    MAX_KERNEL_NODES,
    MAX_NODES,
    STORAGE,
    Settings,
    is_kernel_node,
    kernel_node_names,
    node_names,
)
from mounttool.lab.shell import locked, remove, wait
from mounttool.lab.storage import SERVICES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

State = Literal["running", "stopped"]

BOOT_TIMEOUT_S = 90
REBOOT_TIMEOUT_S = 180
"""A node that cannot unmount waits out systemd's own 90 s first."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node, ``storage`` among them."""

    name: str
    address: str
    state: State


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A storage service. ``endpoint`` is as nodes reach it; ``unit`` is its systemd unit on ``storage``."""

    name: str
    endpoint: str
    unit: str
    state: State


@dataclass(frozen=True, slots=True)
class LabStatus:
    """What the lab has, and whether it runs; both are empty when there is no lab."""

    nodes: tuple[NodeStatus, ...]
    services: tuple[ServiceStatus, ...]


def silent(line: str) -> None:
    """Say nothing."""


def up(
    nodes: int = 2, *, kernel_nodes: int = 0, directory: Path | None = None, say: Callable[[str], None] = silent
) -> Lab:
    """Bring the lab up, or what of it is not; a lab with more nodes keeps them.

    ``kernel_nodes`` are more nodes, with a kernel of their own that has an NFS client. Writes ``mounttool.toml``, and
    ``mounttool.kernel.toml`` for those, into ``directory``, the current one by default. ``say`` gets a line per step.
    Raises ``LabError``; what was begun by then is finished by the next ``up``, or removed by ``down``.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise LabError(f"{nodes} nodes: expected 1 to {MAX_NODES}")
    if not 0 <= kernel_nodes <= MAX_KERNEL_NODES:
        raise LabError(f"{kernel_nodes} kernel nodes: expected 0 to {MAX_KERNEL_NODES}")
    preflight(kernel_nodes=kernel_nodes > 0)
    settings = Settings.from_env()
    with locked(settings.state), _umask(0o022):
        known = record.recall(settings) or Lab(settings, ())
        names = max(known.nodes, node_names(nodes), key=len)
        kernels_named = max(known.kernel_nodes, kernel_node_names(kernel_nodes), key=len)
        lab = dataclasses.replace(known, nodes=names, kernel_nodes=kernels_named)
        network.refuse_taken_subnet(lab.settings)
        base = image.ensure(settings, say)
        release = mirror.ensure(settings, say)
        record.save(lab)
        keys.ensure(lab.settings)
        # Late: only a new lab needs the library that makes them.
        from mounttool.lab import certificates  # noqa: PLC0415

        certificates.ensure(lab.settings)
        disk = kernels.ensure_disk(settings, base, say) if lab.kernel_nodes else None
        _boot(lab, base, disk, say)
        folder = (directory or Path.cwd()).absolute()
        config = configuration.write(folder, configuration.render(lab.settings, lab.nodes, release), say)
        written = [*lab.configs, config]
        if lab.kernel_nodes:
            content = configuration.render_kernel(lab.settings, lab.kernel_nodes)
            written.append(configuration.write(folder, content, say, name="mounttool.kernel.toml"))
        lab = dataclasses.replace(lab, configs=tuple(dict.fromkeys(written)))
        record.save(lab)
    say(f"the lab is up: {', '.join(lab.machines)}; {config} describes it")
    return lab


def load() -> Lab:
    """Return the lab. Raises ``LabError`` unless every node of it runs."""
    lab = _recall()
    if lab is None:
        raise LabError("the lab is not up", hint="`up` brings it up")
    stopped = [node for node in lab.machines if groups.current_boot(lab.settings, node) is None]
    if stopped or not lab.ssh_config.exists():
        raise LabError(f"the lab is not whole: {', '.join(stopped) or 'an `up` did not end'}", hint="`up` mends it")
    return lab


def status() -> LabStatus:
    """Look at every node, and ask every service."""
    lab = _recall()
    if lab is None:
        return LabStatus((), ())
    seen = tuple(
        NodeStatus(
            node, lab.settings.address(node), "running" if groups.current_boot(lab.settings, node) else "stopped"
        )
        for node in lab.machines
    )
    running = _running_services(lab.settings) if seen[0].state == "running" else set()
    return LabStatus(
        seen,
        tuple(
            ServiceStatus(
                service.name, service.endpoint, service.unit, "running" if service.name in running else "stopped"
            )
            for service in SERVICES
        ),
    )


def run(node: str, command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell command as root on a node or on ``storage``; its exit status is in the result, not an error.

    Raises ``LabError`` when the node cannot be reached, or does not answer in time.
    """
    return ssh.execute(_lab_of(node).settings, node, command, timeout_s=timeout_s)


def reboot(node: str) -> float:
    """Reboot a node in good order. Returns the seconds until it let us in again."""

    def act(settings: Settings, _boot: Path) -> None:
        verb = "reboot"
        if is_kernel_node(node):
            # It would start anew in the same process; switched off and on, the boot can be told from the last one.
            (settings.directory(node) / "again").touch()
            verb = "poweroff"
        # The connection may go before the answer comes.
        with contextlib.suppress(LabError):
            ssh.execute(settings, node, f"systemctl --no-block {verb}", timeout_s=20)

    return _until_back(node, act)


def powercut(node: str) -> float:
    """Kill all of a node at once, so that none of its processes flushes or says goodbye, and boot it again.

    A container node's disk keeps what was written, synced or not: the kernel is the host's, and its page cache lives
    on. A kernel node loses what was not synced.
    Returns the seconds until it let us in again.
    """

    def act(settings: Settings, boot: Path) -> None:
        (settings.directory(node) / "cut").touch()
        groups.kill(boot / "payload")

    return _until_back(node, act)


def reclaim(node: str) -> None:
    """Kill all of a node at once, as `powercut` does, and leave it off, as a reclaimed instance is."""
    settings = _lab_of(node).settings
    boot = groups.current_boot(settings, node)
    if boot is None:
        raise LabError(f"{node}: does not run", hint="`up` boots it")
    groups.kill(boot / "payload")
    ssh.hang_up(settings, node)
    if not wait(lambda: not groups.looping(settings, node), timeout_s=REBOOT_TIMEOUT_S):
        raise LabError(f"{node}: was killed and still runs", hint=f"see {settings.directory(node)}/log")


def boot(node: str) -> None:
    """Boot a node that is off, with the disk that it had, and wait until it lets us in."""
    lab = _lab_of(node)
    base = image.ensure(lab.settings, silent)
    disk = kernels.ensure_disk(lab.settings, base, silent) if is_kernel_node(node) else None
    with locked(lab.settings.state):
        nodes.start(lab.settings, node, base, disk)
    if not ssh.answers(lab.settings, node, timeout_s=BOOT_TIMEOUT_S):
        raise LabError(f"{node}: no SSH within {BOOT_TIMEOUT_S} s", hint=f"see {lab.settings.directory(node)}/log")


def down(*, image: bool = False, say: Callable[[str], None] = silent) -> None:
    """Remove the lab with all that it stored, whatever state it is in; with ``image``, the cached image too.

    Nodes are killed, not shut down. Raises ``LabError`` when something stays.
    """
    if os.geteuid() != 0:
        raise LabError("taking the lab down needs root")
    settings = Settings.from_env()
    with locked(settings.state):
        lab = record.recall(settings) or Lab(settings, ())
        for node in lab.machines:
            ssh.hang_up(lab.settings, node)
        groups.clear(lab.settings)
        network.disconnect(lab.settings)
        configuration.delete(lab.configs)
        remove(settings.state)
    if image:
        _remove_image(settings)
    say("the lab is down")


def _boot(lab: Lab, base: Path, disk: Path | None, say: Callable[[str], None]) -> None:
    """Start what does not run, all at once, and wait until all of it answers."""
    settings = lab.settings
    if not network.connected(settings):
        # Nodes that still run would have no cable.
        groups.clear(settings)
        network.connect_host(settings)
    with ThreadPoolExecutor(max_workers=16) as pool:
        started = list(pool.map(lambda node: nodes.start(settings, node, base, disk), lab.machines))
        fresh = [node for node, new in zip(lab.machines, started, strict=True) if new]
        if fresh:
            say(f"booting {', '.join(fresh)}")
        ssh.write_config(settings, (*lab.nodes, *lab.kernel_nodes))
        reached = list(pool.map(lambda node: ssh.answers(settings, node, timeout_s=BOOT_TIMEOUT_S), lab.machines))
    for node, answered in zip(lab.machines, reached, strict=True):
        if not answered:
            raise LabError(f"{node}: no SSH within {BOOT_TIMEOUT_S} s", hint=f"see {settings.directory(node)}/log")
    if fresh:
        say("every node lets us in; waiting for the storage services")
    wanted = {service.name for service in SERVICES}
    if not wait(lambda: _running_services(settings) == wanted, timeout_s=BOOT_TIMEOUT_S, every_s=0.3):
        missing = ", ".join(sorted(wanted - _running_services(settings)))
        raise LabError(f"storage: no answer from {missing}", hint="`systemctl --failed` on storage says more")


def _running_services(settings: Settings) -> set[str]:
    """Ask the storage node which services answer; one that cannot be asked runs none."""
    try:
        said = ssh.execute(settings, STORAGE, "sh /etc/lab/probe.sh", timeout_s=30).stdout
    except LabError:
        return set()
    return {line.split()[0] for line in said.splitlines() if line.endswith(" running")}


def _until_back(node: str, act: Callable[[Settings, Path], None]) -> float:
    """Make a node go down, and wait for its next boot."""
    settings = _lab_of(node).settings
    before = groups.current_boot(settings, node)
    if before is None:
        raise LabError(f"{node}: does not run", hint="`up` boots it")
    began = time.monotonic()
    act(settings, before)
    ssh.hang_up(settings, node)
    if not wait(lambda: groups.current_boot(settings, node) not in {None, before}, timeout_s=REBOOT_TIMEOUT_S):
        raise LabError(f"{node}: not booting after {REBOOT_TIMEOUT_S} s", hint=f"see {settings.directory(node)}/log")
    if not ssh.answers(settings, node, timeout_s=BOOT_TIMEOUT_S):
        raise LabError(f"{node}: no SSH within {BOOT_TIMEOUT_S} s", hint=f"see {settings.directory(node)}/log")
    return time.monotonic() - began


def _recall() -> Lab | None:
    """Find the lab. Raises ``LabError`` when there is one, and we may not read its keys."""
    lab = record.recall(Settings.from_env())
    if lab is not None and os.geteuid() != 0:
        raise LabError("the lab was brought up by root", hint="its keys are for root alone")
    return lab


def _lab_of(node: str) -> Lab:
    lab = _recall()
    if lab is None:
        raise LabError("the lab is not up", hint="`up` brings it up")
    if node not in lab.machines:
        raise LabError(f"{node!r}: no such node", hint=f"there are {', '.join(lab.machines)}")
    return lab


def _remove_image(settings: Settings) -> None:
    if settings.cache.exists():
        with locked(settings.cache):
            image.remove_all(settings)


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Nodes' users must be able to read what is laid down for them, whatever the caller's mask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
