"""What `live` and `bench --workload criu-live` ask of a mount and of the hosts, before anything is connected to."""

from __future__ import annotations

from collections.abc import Sequence

from mounttool import semantics
from mounttool.backends.base import Backend
from mounttool.errors import InputError
from mounttool.tasks._command import Choice

#: A process that holds less tells nothing of the storage.
SMALLEST_BYTES = 2**20


def refuse_mount(mount: Backend) -> None:
    """Return quietly when a process can be moved from node to node through the mount.

    Raises:
        InputError: it is read-only or a node's own, or lacks what a dump needs.

    """
    if mount.read_only or not mount.shared:
        how = "mounted read-only" if mount.read_only else "a node's own, which no other node can read"
        raise InputError(f"{mount.name} is {how}: expected a mount that all nodes write to", hint="--name picks others")
    if missing := semantics.missing("transparent", mount.lacks()):
        raise InputError(f"{mount.name}: {mount.kind} lacks what a dump needs: {', '.join(missing)}")


def refuse_single_host(hosts: Sequence[str], choice: Choice) -> None:
    """Return quietly when there is a host for the process to go to.

    Raises:
        InputError: there is none.

    """
    if len(hosts) < 2:
        said = "--hosts" if choice.hosts is not None else "fleet.hosts"
        raise InputError(
            f"{said} has {', '.join(hosts) or 'none'}: expected two hosts, for a process to go to the other"
        )
