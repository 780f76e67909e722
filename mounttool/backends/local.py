"""A directory of the node's own disk, mounted like any other storage: the floor of every comparison."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import pydantic

from mounttool.backends._fields import AbsolutePath
from mounttool.backends.base import Backend
from mounttool.node import Node
from mounttool.plan import Check, Ensure, Observed, Step


class Local(Backend):
    """A bind mount, so that what is asked of every mount can be asked of it: status, verify, consumers, bench."""

    kind: ClassVar[str] = "local"
    fstype: ClassVar[str] = ""  # whatever the directory lies on
    unit_type: ClassVar[Literal["mount", "service"]] = "mount"
    shared: ClassVar[bool] = False
    example_name: ClassVar[str] = "scratch"
    example_keys: ClassVar[frozenset[str]] = frozenset()

    role: Literal["scratch", "data"] = pydantic.Field(
        "scratch", description="scratch or data: no other node sees what lies there, so checkpoints are not for it"
    )
    path: AbsolutePath = pydantic.Field(description="the directory; made when it is missing", examples=["/var/scratch"])

    @pydantic.model_validator(mode="after")
    def _path_is_elsewhere(self) -> Local:
        # What= of a mount unit has no quoting.
        if self.path.endswith((" ", "\\")):
            raise ValueError("path: a path that ends in neither a space nor a backslash")
        if (self.path + "/").startswith(self.mount_point + "/") or (self.mount_point + "/").startswith(self.path + "/"):
            raise ValueError(f"path: a directory apart from the mount point {self.mount_point}")
        return self

    @property
    def price_tier(self) -> str:
        """The node's own."""
        return "local"

    def source(self) -> str:
        """Any: the kernel names the disk."""
        return ""

    def client(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        """Yield the directory. One that is there keeps its owner and mode."""
        path = shlex.quote(self.path)
        yield Ensure(f"directory {self.path} is there", f"test -d {path}", f"run mkdir -p {path}")

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """The directory."""
        return {"what": self.path}

    def observed(self) -> Iterator[Check]:
        """The mount table does not say which directory it is."""
        both = f"stat -c %d:%i -- {shlex.quote(self.path)} {shlex.quote(self.mount_point)} | uniq | wc -l"
        yield Observed(f"{self.mount_point} is {self.path}", both, "1")
