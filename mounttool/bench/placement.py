"""Who writes and who restores: ranks on nodes, so that no rank is restored where it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.bench.engine import Share
from mounttool.bench.target import Target, Trial
from mounttool.session import Session


@dataclass(frozen=True, slots=True)
class Placement:
    """The shares that write, all at once, and then the rounds of shares that restore.

    ``on_one_node``: a shared mount can only be restored where it was written.
    """

    writing: tuple[Share, ...]
    rounds: tuple[tuple[Share, ...], ...]
    on_one_node: bool

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every node that takes part, once."""
        shares = (*self.writing, *(share for shares in self.rounds for share in shares))
        return tuple({share.session.host: share.session for share in shares}.values())


def place(target: Target, nodes: Sequence[Session], trial: Trial) -> Placement:
    """Return who does what in the trial's block; from block to block the nodes take turns."""
    directory = f"{target.path.rstrip('/')}/mounttool-bench-{trial.run_id}-{trial.block}"
    turn = trial.block % len(nodes)
    turned = [*nodes[turn:], *nodes[:turn]]
    writers = turned if trial.workload.writers == "all" else turned[:1]
    each = len(trial.works) // len(writers)
    parts = [trial.works[number * each : (number + 1) * each] for number in range(len(writers))]
    writing = tuple(Share(node, directory, part, target.counter) for node, part in zip(writers, parts, strict=True))
    if not target.shared or len(nodes) == 1:
        # A node's own disk is read where it was written.
        return Placement(writing, (writing,), on_one_node=target.shared)
    if trial.workload.writers == "all":
        neighbours = [*writers[1:], writers[0]]
        restoring = tuple(
            Share(node, directory, part, target.counter) for node, part in zip(neighbours, parts, strict=True)
        )
        return Placement(writing, (restoring,), on_one_node=False)
    others = turned[1:] if trial.workload.readers == "each" else turned[1:2]
    return Placement(
        writing, tuple((Share(node, directory, parts[0], target.counter),) for node in others), on_one_node=False
    )
