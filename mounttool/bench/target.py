"""What is measured, and under which conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mounttool.errors import UnsupportedError
from mounttool.plan import Cache
from mounttool.results import BASELINE


@dataclass(frozen=True, slots=True)
class Target:
    """A place to measure: a mount, or a node's own disk.

    ``path`` is an absolute directory on every node; ``shared`` says that what one node writes there the others can
    read. ``plan_digest`` and ``settings`` identify how it is mounted; ``caches`` are what a cold read must empty.

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
    return Target(name="local disk", backend=BASELINE, path=path, shared=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """The conditions of one repeat, the same for all targets of a block.

    Each of ``ranks`` writes ``size_bytes``. ``nodes`` take part in the run. ``timeout_s`` bounds every single command
    on a node. ``raw`` is the local folder for what fio printed.
    """

    run_id: str
    block: int
    size_bytes: int
    ranks: int
    nodes: int
    seed: int
    timeout_s: float
    raw: Path

    @property
    def total_bytes(self) -> int:
        """What all ranks write together."""
        return self.size_bytes * self.ranks
