"""Amazon S3 Files: a bucket as an NFS 4.2 file system, by amazon-efs-utils 3, which forces TLS and IAM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import pydantic

from mounttool.backends import _efs_utils
from mounttool.backends._fields import Host, MountOptions, mount_options
from mounttool.backends.base import HELPER_PATH, Backend
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Check, Step


class S3Files(Backend):
    """A file system of S3 Files."""

    kind: ClassVar[str] = "s3files"
    fstype: ClassVar[str] = "nfs4"
    unit_type: ClassVar[Literal["mount", "service"]] = "mount"

    file_system: _efs_utils.FileSystemId = pydantic.Field(
        description="the file system's id", examples=["fs-0123456789abcdef0"]
    )
    access_point: _efs_utils.AccessPoint | None = pydantic.Field(None, examples=["fsap-0123456789abcdef0"])
    region: _efs_utils.Region | None = pydantic.Field(
        None, description="the instance's own when it is left out", examples=["us-east-1"]
    )
    mount_target: Host | None = pydantic.Field(
        None, description="a mount target's address, instead of the DNS name", examples=["10.0.1.20"]
    )
    path: _efs_utils.ExportPath = pydantic.Field("/", description="the directory that is mounted")
    options: MountOptions = pydantic.Field(
        default_factory=dict, description="mount options beside the helper's own, see nfs(5)"
    )
    installer: _efs_utils.Installer = pydantic.Field(
        _efs_utils.Installer(), description="where efs-utils comes from on RHEL, Rocky and Ubuntu"
    )

    def source(self) -> str:
        """The near end of the helper's proxy."""
        return f"127.0.0.1:{self.path}"

    def client(self, node: Node) -> Iterator[Step]:
        """Yield the helper and the kernel's client."""
        if (node.distribution, node.version) == ("amzn", "2"):
            raise UnsupportedError(
                "Amazon Linux 2 has no amazon-efs-utils 3, which S3 Files needs", hint="use Amazon Linux 2023"
            )
        yield from _efs_utils.install(node, "mount.s3files", self.installer)
        yield _efs_utils.kernel_module()

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """What is mounted, and how."""
        return {"what": f"{self.file_system}:{self.path}", "options": mount_options(self.helper_options())}

    def helper_options(self) -> Mapping[str, str | bool | int | float]:
        """Every option that the helper is given; TLS and IAM are not a choice."""
        named = {"accesspoint": self.access_point, "region": self.region, "mounttargetip": self.mount_target}
        given: dict[str, str | bool | int | float] = {key: value for key, value in named.items() if value}
        return {**_efs_utils.nfs_defaults("4.2"), "tls": True, "iam": True, **given, **self.options}

    def tuning(self, node: Node) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002 - the contract
        """How far the kernel reads ahead."""
        return ((HELPER_PATH, "readahead", self.mount_point, str(_efs_utils.READ_AHEAD_KIB)),)

    def observed(self) -> Iterator[Check]:
        """The read-ahead."""
        yield _efs_utils.read_ahead(self.mount_point)

    def settings(self) -> Mapping[str, str]:
        """The mount's options."""
        return {"options": mount_options(self.helper_options())}

    def hints(self) -> Mapping[str, str]:
        """What a line in the log of a failed mount means."""
        return _efs_utils.HINTS
