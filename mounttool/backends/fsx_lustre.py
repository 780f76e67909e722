"""FSx for Lustre: a kernel client whose module must fit the running kernel, and whose tuning a reboot forgets.

Sources: https://docs.aws.amazon.com/fsx/latest/LustreGuide/ (install-lustre-client, mounting-fs-auto-mount-onreboot,
performance-tips), lfs-setstripe(1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pydantic

from mounttool.backends import _lustre_client
from mounttool.backends._efs_utils import FileSystemId, Region
from mounttool.backends._fields import Host, MountOptions, mount_options
from mounttool.backends.base import Backend
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Check, Ensure, File, Observed, Reachable, Step

PORT = 988
LCTL = "/usr/sbin/lctl"
_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "lustre.sh").read_text(encoding="utf-8")
_GIB = 2**30

HINTS = {
    r"No such file or directory|Is the MGS specification correct|No such device or address": (
        "check mount_name (DescribeFileSystems: LustreConfiguration.MountName) and dns_name"
    ),
    r"Can't parse NID|resolve|Name or service not known": "check the file system id and the region, or dns_name",
    r"Input/output error|Is the MGS running": (
        "no answer from the file system: open TCP 988 and 1018 to 1023 between it and this node, in both directions"
    ),
    r"modprobe: FATAL|module .* not found|No such device": (
        "the Lustre module does not fit the running kernel: install the one for it, or boot the kernel it is for"
    ),
}


class FsxLustre(Backend):
    """``dns_name`` is made of the id and the region unless it is given."""

    kind: ClassVar[str] = "fsx_lustre"
    fstype: ClassVar[str] = "lustre"
    unit_type: ClassVar[Literal["mount", "service"]] = "mount"
    example_keys: ClassVar[frozenset[str]] = frozenset({"link", "directory", "mode", "region"})

    file_system: FileSystemId = pydantic.Field(description="the file system's id", examples=["fs-0123456789abcdef0"])
    mount_name: Annotated[str, pydantic.StringConstraints(pattern="^[a-z0-9]{1,8}$")] = pydantic.Field(
        description="as DescribeFileSystems shows it; SCRATCH_1 file systems have fsx", examples=["abcdefgh"]
    )
    region: Region | None = pydantic.Field(None, examples=["us-east-1"])
    dns_name: Host | None = pydantic.Field(
        None, description="instead of region: the file system's own DNS name or address"
    )
    efa: bool = pydantic.Field(False, description="over EFA: mounted after AWS' unit that configures it")  # noqa: FBT003 - a default value
    tuning_level: Literal["aws", "none"] = pydantic.Field(
        "aws", description="aws: what the performance tips say for this node's memory and processors"
    )
    stripes: Annotated[str, pydantic.StringConstraints(pattern=r"^[-A-Za-z0-9 ]+$")] | None = pydantic.Field(
        None,
        description="the layout of new files in the directory, as options of `lfs setstripe`",
        examples=["-E 100M -c 1 -E 10G -c 8 -E -1 -c 32"],
    )
    options: MountOptions = pydantic.Field(
        {"relatime": True, "flock": True, "_netdev": True}, description="mount options, see mount.lustre(8)"
    )

    @pydantic.model_validator(mode="after")
    def _has_an_address(self) -> FsxLustre:
        if not (self.region or self.dns_name):
            raise ValueError("region: a value, or dns_name")
        if self.stripes and not self.directory:
            raise ValueError("stripes: only with directory: a layout is set on a directory before files are in it")
        return self

    @property
    def server(self) -> str:
        """The file system's name or address."""
        suffix = "amazonaws.com.cn" if re.match("cn-", self.region or "") else "amazonaws.com"
        return self.dns_name or f"{self.file_system}.fsx.{self.region}.{suffix}"

    @property
    def price_tier(self) -> str:
        """Paid by what is provisioned."""
        return "fsx-lustre"

    def source(self) -> str:
        """Its end: the kernel shows the address that the name had, and the network that was chosen."""
        return f"*:/{self.mount_name}"

    def client(self, node: Node) -> Iterator[Step]:
        """Yield the client for the node's kernel, the module's parameters, and that the file system answers."""
        if self.tuning_level != "none" and not node.cpus:
            raise UnsupportedError(
                f"mount {self.name}: AWS' tuning depends on the instance type, and none was declared",
                hint='add ,cpus=NUMBER,memory=SIZE to --node, or set tuning_level = "none"',
            )
        if parameters := self._module_parameters(node):
            yield File("/etc/modprobe.d/mounttool-lustre.conf", parameters)
        yield from _lustre_client.install(node)
        if self.efa:
            yield Ensure(
                "EFA is configured for Lustre",
                "lustre_efa_is_ready",
                "lustre_efa_explain",
                library=_FUNCTIONS,
            )
        yield Reachable("FSx for Lustre", self.server, PORT)

    def _module_parameters(self, node: Node) -> str:
        if self.tuning_level == "none" or node.cpus <= 64:
            return ""
        return (
            "# Written by mounttool: for more than 64 processors; in effect when the modules are next loaded.\n"
            "options ptlrpc ptlrpcd_per_cpt_max=32\noptions ksocklnd credits=2560\n"
        )

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """What is mounted, and how."""
        return {
            "what": f"{self.server}@tcp:/{self.mount_name}",
            "options": mount_options(self.options),
            "efa": self.efa,
        }

    def tuning(self, node: Node) -> tuple[tuple[str, ...], ...]:
        """AWS' performance tips: `lctl set_param` is lost with the mount."""
        if self.tuning_level == "none":
            return ()
        parameters: list[str] = []
        if node.memory_bytes > 64 * _GIB:
            parameters += ["ldlm.namespaces.*.lru_max_age=600000", f"ldlm.namespaces.*.lru_size={100 * node.cpus}"]
        if node.cpus > 64:
            parameters += [
                "osc.*OST*.max_rpcs_in_flight=32",
                "mdc.*.max_rpcs_in_flight=64",
                "mdc.*.max_mod_rpcs_in_flight=50",
            ]
        return tuple((LCTL, "set_param", parameter) for parameter in parameters)

    def inside(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        """Yield the layout: files keep the one that their directory had when they were made."""
        if self.stripes:
            environment = {"WHERE": self.mount_point, "FOLDER": self.data_path, "STRIPES": self.stripes}
            yield Ensure(
                f"layout {self.stripes} on {self.data_path}",
                "lustre_is_striped",
                "lustre_stripe",
                environment,
                hint="see lfs-setstripe(1) for the options in `stripes`",
                library=_FUNCTIONS,
            )

    def observed(self) -> Iterator[Check]:
        """The client says that every target is there."""
        down = f"lfs check all {shlex.quote(self.mount_point)} 2>&1 | grep -cvE ' active\\.?$'"
        yield Observed(f"inactive targets of {self.mount_point}", down, "0")

    def settings(self) -> Mapping[str, str]:
        """Options, layout, and whether it is tuned."""
        return {
            "options": mount_options(self.options),
            "stripes": self.stripes or "",
            "tuning": self.tuning_level,
            "efa": str(self.efa).lower(),
        }

    def hints(self) -> Mapping[str, str]:
        """What a line in the log means."""
        return HINTS
