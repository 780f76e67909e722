"""What most tests of a run need: small conditions, and somebody who hears all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mounttool.bench import workload
from mounttool.bench.protocol import Conditions
from mounttool.bench.target import Target, Trial, Where

SIZE = 2 * 2**20
JFS = Target("jfs", "juicefs", "/mnt/jfs", shared=True, plan_digest="0123456789ab", tier="s3-standard")


def conditions(name: str = "criu-full", **changes: Any) -> Conditions:
    found = workload.load(name)
    size_bytes = found.rank_bytes("") if found.metadata else SIZE
    return Conditions(**{"workload": found, "size_bytes": size_bytes, "repeats": (1, 1), "seed": 3, **changes})


def trial(name: str = "criu-full", *, ranks: int = 2, block: int = 1, nodes: int = 2) -> Trial:
    found = workload.load(name)
    return Trial(
        run_id="r1",
        block=block,
        workload=found,
        works=found.work(size_bytes=SIZE, ranks=ranks, seed=7),
        size_bytes=SIZE,
        nodes=nodes,
        timeout_s=60,
        raw=Path("raw"),
        where=Where("1", "6.12.0", "m6i.large", 2, "us-east-1a", 0.78),
    )


class Listener:
    """Hears what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[int, int, str]] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def went(self, done: int, at_most: int, doing: str) -> None:
        self.steps.append((done, at_most, doing))
