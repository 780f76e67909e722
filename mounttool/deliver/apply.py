"""One node: ask what it is, plan, run the script, read what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mounttool import node as nodes
from mounttool import render
from mounttool.backends.base import Backend
from mounttool.deliver.outcome import MountOutcome, Observer, Reader
from mounttool.errors import HostError
from mounttool.node import Node
from mounttool.plan import Plan
from mounttool.render import Intent
from mounttool.session import Session

#: Which plan of a mount is meant: its own, or what is done once for the fleet.
Chosen = Callable[[Backend, Node], Plan | None]


def facts(session: Session) -> Node:
    """Return the facts of the session's node.

    Raises:
        HostError: it does not answer, or its user is not root there.
        UnsupportedError: it is no machine that mounttool knows.

    """
    node = nodes.parse(session.run(nodes.PROBE).stdout)
    if not node.is_root:
        raise HostError(session.host, "sudo", "the user is not root", hint="log in as root, or set fleet.sudo = true")
    return node


def apply(
    session: Session,
    mounts: Sequence[Backend],
    choose: Chosen,
    intent: Intent,
    observe: Observer | None = None,
) -> list[MountOutcome]:
    """Bring the session's node to what ``choose`` returns for each mount, and return how that went.

    Raises:
        HostError: the node does not answer, or its script could not run.
        UnsupportedError: the node cannot have one of the mounts.
        SecretError: a secret cannot be read.

    """
    node = facts(session)
    plans = [plan for mount in mounts if (plan := choose(mount, node)) is not None]
    if not plans:
        return []
    reader = Reader(plans, observe)
    completed = session.run(render.script(plans, intent), on_line=reader.line)
    if reader.fatal or not reader.outcomes:
        said = reader.fatal or " ".join(completed.stderr.split()[-30:]) or "the script said nothing"
        raise HostError(session.host, "run", said)
    return reader.outcomes
