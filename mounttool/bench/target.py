"""What is measured, and under which conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mounttool.bench.workload import Work, Workload
from mounttool.errors import UnsupportedError
from mounttool.plan import Cache
from mounttool.results import BASELINE

#: What is done to small files, in order.
METADATA = ("create", "list", "rename", "delete")


@dataclass(frozen=True, slots=True)
class Target:
    """A place to measure: a mount, or a node's own disk.

    ``path`` is an absolute directory on every node; ``shared`` says that what one node writes there the others can
    read. ``plan_digest`` and ``settings`` identify how it is mounted; ``caches`` are what a cold read must empty.
    ``tier`` is what it is priced as in ``prices.toml``; empty: nobody knows. ``counter`` is a file on the nodes that
    counts what came from the storage, where the network's counters do not; empty on real nodes.

    Raises:
        UnsupportedError: a path cannot be used, or a cache is none that can be emptied safely.

    """

    name: str
    backend: str
    path: str
    shared: bool
    plan_digest: str = ""
    caches: tuple[Cache, ...] = (Cache("page"),)
    settings: Mapping[str, str] = field(default_factory=dict)
    tier: str = ""
    metadata_engine: str = ""
    counter: str = ""

    def __post_init__(self) -> None:
        # fio splits a directory's name at colons, and expands variables in it.
        if not self.path.startswith("/") or re.search(r"[:$\n]|/\.\.(/|$)", self.path):
            raise UnsupportedError(f"{self.name}: path = {self.path!r}: expected an absolute path without : $ or ..")
        for cache in self.caches:
            if cache.kind == "directory" and not self._may_empty(cache.path):
                raise UnsupportedError(
                    f"{self.name}: cache = {cache.path!r}: expected an absolute path, not / and not in {self.path}"
                )
            if cache.kind not in {"page", "directory"}:
                raise UnsupportedError(f"{self.name}: cache kind {cache.kind!r}: expected page or directory")

    def _may_empty(self, cache: str) -> bool:
        folder, measured = PurePosixPath(cache), PurePosixPath(self.path)
        apart = not folder.is_relative_to(measured) and not measured.is_relative_to(folder)
        return folder.is_absolute() and ".." not in folder.parts and apart


def baseline(path: str) -> Target:
    """Return the node's own disk at ``path``: what every mount is compared to."""
    return Target(name="local disk", backend=BASELINE, path=path, shared=False, tier="local")


@dataclass(frozen=True, slots=True)
class Where:
    """The nodes of a run, as far as all of them are alike; what differs among them, or is not known, is ``unknown``."""

    version: str
    kernel: str
    instance_type: str
    vcpus: int
    az: str
    nic_gbps: float | None
    criu: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """The conditions of one repeat, the same for all targets of a block.

    ``works`` are the ranks', the largest of which has ``size_bytes``; ``phases`` are those that each of them goes
    through. ``block`` is the round over all targets, 0 the warm-up. ``nodes`` take part in the run. ``timeout_s``
    bounds every single order to a node. ``raw`` is the local folder for what engines printed.
    """

    run_id: str
    block: int
    workload: Workload
    works: tuple[Work, ...]
    size_bytes: int
    nodes: int
    timeout_s: float
    raw: Path
    where: Where

    @property
    def phases(self) -> tuple[str, ...]:
        """What each rank's rows are of."""
        return METADATA if self.workload.metadata else ("write", "restore")

    @property
    def room_bytes(self) -> int:
        """What all ranks keep on the storage at once."""
        return sum(work.read_bytes for work in self.works)
