"""An EBS volume as scratch space: a file system made on a blank volume, mounted by its UUID, grown with the volume.

Device names change between boots and instance types, so the volume is found by its id (the serial number of its NVMe
device), and the file system by a UUID that the volume's id determines.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic

from mounttool.backends._fields import AbsolutePath, MountOptions, mount_options
from mounttool.backends.base import Backend
from mounttool.node import Node
from mounttool.plan import Check, Ensure, Observed, Package, Step

_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "ebs.sh").read_text(encoding="utf-8")
#: The tools of a file system: what makes it, and the package of it.
_TOOLS = {"xfs": "xfsprogs", "ext4": "e2fsprogs"}

HINTS = {
    r"no such volume": "attach the volume to this instance; the id is the one of DescribeVolumes, vol-...",
    r"wrong fs type|can't read superblock": "the volume's file system is damaged, or the kernel lacks it: see dmesg",
}


class Ebs(Backend):
    """``volume`` is found by its id, or given as ``device`` where it has none."""

    kind: ClassVar[str] = "ebs"
    fstype: ClassVar[str] = ""  # the one that is configured
    unit_type: ClassVar[Literal["mount", "service"]] = "mount"
    shared: ClassVar[bool] = False
    example_name: ClassVar[str] = "scratch"
    example_keys: ClassVar[frozenset[str]] = frozenset({"volume"})

    role: Literal["scratch", "data"] = pydantic.Field(
        "scratch", description="scratch or data: a volume is of one node, so checkpoints are not for it"
    )
    volume: Annotated[str, pydantic.StringConstraints(pattern="^vol-[0-9a-f]{8,17}$")] | None = pydantic.Field(
        None, description="the volume's id", examples=["vol-0123456789abcdef0"]
    )
    device: AbsolutePath | None = pydantic.Field(
        None, description="instead of the id: a device that is always called so", examples=["/dev/disk/by-id/my-disk"]
    )
    filesystem: Literal["xfs", "ext4"] = pydantic.Field("xfs", description="what is made on a blank volume")
    uuid: Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] | None = (
        pydantic.Field(None, description="of a file system that is on the volume already; by default its own is made")
    )
    options: MountOptions = pydantic.Field({"noatime": True}, description="options of `mount`")

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Ebs:
        if (self.volume is None) == (self.device is None):
            raise ValueError("volume: either volume or device")
        return self

    @property
    def identity(self) -> str:
        """The file system's UUID: declared, or made from the volume's id, equal on every node and in every run."""
        return self.uuid or str(uuid.uuid5(uuid.NAMESPACE_URL, f"mounttool:{self.volume or self.device}"))

    @property
    def price_tier(self) -> str:
        """Paid by what is provisioned."""
        return "ebs"

    def source(self) -> str:
        """Any: the kernel names a device that changes."""
        return ""

    def client(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        """Yield the tools, the device, and a file system on it unless there is any sign of one."""
        yield Package(f"mkfs.{self.filesystem}", (_TOOLS[self.filesystem],))
        where = self.volume or self.device or ""
        environment = {
            "VOLUME": self.volume or "",
            "DEVICE": self.device or "",
            "FILESYSTEM": self.filesystem,
            "IDENTITY": self.identity,
            "DECLARED": self.uuid or "",
            "WHERE": self.mount_point,
        }
        yield Ensure(f"volume {where} is attached", "ebs_is_attached", "ebs_wait", environment, library=_FUNCTIONS)
        yield Ensure(
            f"{self.filesystem} with UUID {self.identity} on {where}",
            "ebs_has_filesystem",
            "ebs_make_filesystem",
            environment,
            library=_FUNCTIONS,
        )

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """The device by its UUID."""
        return {
            "what": f"/dev/disk/by-uuid/{self.identity}",
            "filesystem": self.filesystem,
            "options": mount_options(self.options),
            "volume": self.volume or self.device,
        }

    def inside(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        """Yield the file system's size: a volume may have been made larger."""
        environment = {"FILESYSTEM": self.filesystem, "WHERE": self.mount_point}
        yield Ensure(
            f"{self.mount_point} fills its volume", "ebs_is_full_size", "ebs_grow", environment, library=_FUNCTIONS
        )

    def observed(self) -> Iterator[Check]:
        """The UUID of what is mounted: the mount table names only a device."""
        mounted = f"findmnt -n -o UUID --target {self.mount_point!r}"
        yield Observed(f"UUID of {self.mount_point}", mounted, self.identity)

    def settings(self) -> Mapping[str, str]:
        """The file system and its options."""
        return {"filesystem": self.filesystem, "options": mount_options(self.options)}

    def hints(self) -> Mapping[str, str]:
        """What a line in the log means."""
        return HINTS

    def conflict(self, other: Backend) -> str:
        """Two mounts of one volume would be one file system twice."""
        if isinstance(other, Ebs) and (other.volume, other.device) == (self.volume, self.device):
            return f"both mount {self.volume or self.device}"
        return ""
