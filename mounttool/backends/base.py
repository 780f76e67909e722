"""What all storage has in common on a node: a mount point, a unit, a place inside, a link, and who waits for it.

A backend opens no connection and runs nothing: it is what the user declared, plus pure functions of it.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import pydantic

from mounttool import semantics, systemd
from mounttool.backends._fields import AbsolutePath, Mode, MountPath, RelativePath, UnitName, UserName
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import (
    Cache,
    Check,
    Directory,
    DropIn,
    FreeSpace,
    Linked,
    Live,
    Mounted,
    MountPoint,
    Ordered,
    Owned,
    Plan,
    Program,
    Readable,
    Running,
    Step,
    Symlink,
    Unit,
    Writable,
)
from mounttool.render import HELPER

#: Where the program that units call lies on a node.
HELPER_PATH = "/usr/local/lib/mounttool/node"
#: Environment files with secrets, and certificates.
CONFIG_DIRECTORY = "/etc/mounttool"


class Backend(pydantic.BaseModel, abc.ABC):
    """One declared mount. Paths are on the node.

    The fields are the keys of its table in the configuration; their descriptions are the documentation.
    """

    # What validates is built when it is first used: of the classes with no mount in the file, never.
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    #: The name in the configuration, of the template and of the units.
    kind: ClassVar[str]
    #: The type as the kernel reports it; empty: it depends.
    fstype: ClassVar[str]
    #: What systemd runs: a native ``mount`` for what the kernel mounts, a ``service`` for a daemon.
    unit_type: ClassVar[Literal["mount", "service"]] = "service"
    #: Whether what one node writes another can read.
    shared: ClassVar[bool] = True
    #: What the root of the file system must have as inode number; 0 when it says nothing.
    root_inode: ClassVar[int] = 0

    #: What the example configuration calls such a mount.
    example_name: ClassVar[str] = "checkpoints"
    #: Keys that it sets though they may be left out.
    example_keys: ClassVar[frozenset[str]] = frozenset({"link", "directory", "mode"})

    name: str
    mount_point: MountPath = pydantic.Field(description="where it is mounted", examples=["/mnt/storage"])
    link: AbsolutePath | None = pydantic.Field(
        None, description="a symbolic link into the mount: the path that programs use", examples=["/mmc-checkpoint"]
    )
    directory: RelativePath | None = pydantic.Field(
        None,
        description="the directory inside that the link points to; without it, the root",
        examples=["mmc-checkpoint"],
    )
    owner: UserName = pydantic.Field(
        "root", description="the directory's owner; the root's, when owner, group or mode are given without a directory"
    )
    group: UserName = pydantic.Field("root", description="its group")
    mode: Mode = pydantic.Field("0755", description="its mode", examples=["0777"])
    user: UserName = pydantic.Field("root", description="who writes there: `verify` tries it as this user")
    role: Literal["checkpoint", "scratch", "data"] = pydantic.Field(
        "checkpoint",
        description="checkpoint: what is acknowledged must be safe; scratch: may be lost with the node; data: inputs",
    )
    consumers: tuple[UnitName, ...] = pydantic.Field(
        (), description="units that must not start before the mount is there", examples=[["docker.service"]]
    )
    minimum_free: pydantic.NonNegativeInt = pydantic.Field(
        64 * 2**20, description="free bytes below which `verify` fails"
    )

    @pydantic.model_validator(mode="after")
    def _can_be_written_as_a_setting(self) -> Backend:
        # Where= of a mount unit has no quoting.
        if self.unit_type == "mount" and self.mount_point.endswith((" ", "\\")):
            raise ValueError("mount_point: a path that ends in neither a space nor a backslash")
        return self

    @pydantic.model_validator(mode="after")
    def _link_is_outside(self) -> Backend:
        if self.link and (self.link + "/").startswith(self.mount_point + "/"):
            raise ValueError(f"link: a path outside of the mount point {self.mount_point}")
        if self.link and (self.mount_point + "/").startswith(self.link + "/"):
            raise ValueError(f"link: a path that the mount point {self.mount_point} does not lie in")
        return self

    @abc.abstractmethod
    def source(self) -> str:
        """Return what the kernel will report as the mount's source."""

    @abc.abstractmethod
    def client(self, node: Node) -> Iterator[Step]:
        """Yield what must be there before the mount: packages, programs, credentials, endpoints that answer."""

    @abc.abstractmethod
    def variables(self, node: Node) -> Mapping[str, object]:
        """Return the variables of this backend's unit template, beside the common ones."""

    def provision(self, node: Node) -> Plan | None:  # noqa: ARG002 - the contract
        """Return what is done once for the whole fleet; None when there is nothing to do."""
        return None

    def hints(self) -> Mapping[str, str]:
        """Return what a line in the log of a failed step means to the user, by regular expression."""
        return {}

    def caches(self) -> tuple[Cache, ...]:
        """Return the caches that a cold read must empty."""
        return (Cache("page"),)

    def settings(self) -> Mapping[str, str]:
        """Return the options in effect, kept beside measurements."""
        return {}

    def warnings(self) -> tuple[str, ...]:
        """Return what a user should know of the declared options."""
        return ()

    def tuning(self, node: Node) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002 - the contract
        """Return the commands, as lists of words, that a native mount needs each time after it was mounted."""
        return ()

    def inside(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        """Yield what must be so on the mount itself, before its directory is made."""
        yield from ()

    def observed(self) -> Iterator[Check]:
        """Yield what `verify` must look at beside the common checks."""
        yield from ()

    def lacks(self) -> frozenset[semantics.Feature]:
        """Return what file systems usually can and this one cannot; `fab compat` measures it."""
        return frozenset()

    def conflict(self, other: Backend) -> str:  # noqa: ARG002 - the contract
        """Return why this mount cannot be on a node together with ``other``; empty when it can."""
        return ""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written there."""
        return False

    @property
    def mount_owner(self) -> str:
        """The user without root who mounts; empty: root."""
        return ""

    @property
    def largest_file_bytes(self) -> int:
        """The size that a file cannot exceed; 0: none that matters."""
        return 0

    @property
    def price_tier(self) -> str:
        """What moving bytes costs there, as `mounttool/bench/prices.toml` names it; empty: nobody knows."""
        return ""

    @property
    def metadata_engine(self) -> str:
        """What keeps the names and blocks of files, where that is a service of its own."""
        return ""

    @property
    def unit(self) -> str:
        """The name of the mount's unit; what people type after ``systemctl status``."""
        escaped = systemd.escape_path(self.mount_point)
        # systemd demands this name of a mount unit.
        return f"{escaped}.mount" if self.unit_type == "mount" else f"{self.kind}-{escaped}.service"

    @property
    def keeper(self) -> str:
        """The unit that starts a native mount again when it failed."""
        return f"mounttool-keep-{systemd.escape_path(self.mount_point)}.service"

    @property
    def tuner(self) -> str:
        """The unit that runs `tuning` whenever a native mount was mounted."""
        return f"mounttool-tune-{systemd.escape_path(self.mount_point)}.service"

    @property
    def gate(self) -> str:
        """The unit that consumers wait for: started when the mount is there, and not restarted with its daemon.

        Requiring the daemon's own unit would restart docker, and kill its containers, whenever the daemon crashes.
        """
        return f"mounttool-{systemd.escape_path(self.mount_point)}.service"

    @property
    def data_path(self) -> str:
        """The directory on the mount that its user writes to."""
        return f"{self.mount_point}/{self.directory}" if self.directory else self.mount_point

    def mounted(self) -> Mounted:
        """Return what the kernel's mount table must say."""
        return Mounted(self.mount_point, self.fstype, self.source(), self.root_inode, self.read_only)

    def plan(self, node: Node) -> Plan:
        """Return all that this mount needs on ``node``.

        Raises:
            UnsupportedError: the node cannot have this mount.

        """
        if not node.has_systemd:
            raise UnsupportedError("systemd does not run on this node", hint="mounts persist as systemd units")
        return Plan(
            name=self.name,
            backend=self.kind,
            mount_point=self.mount_point,
            data_path=self.link or self.data_path,
            steps=tuple(self._steps(node)),
            checks=tuple(self._checks(node)),
            caches=self.caches(),
            settings=self.settings(),
            warnings=(*self.warnings(), *self._missing()),
            hints=self.hints(),
            largest_file_bytes=self.largest_file_bytes,
        )

    def _missing(self) -> Iterator[str]:
        for use in semantics.ROLES[self.role]:
            if missing := semantics.missing(use, self.lacks()):
                yield f"role {self.role} is for {use}, which needs what {self.kind} lacks: {', '.join(missing)}"

    def _steps(self, node: Node) -> Iterator[Step]:
        yield from self.client(node)
        yield Program(HELPER_PATH, HELPER, restarts=(self.keeper,) if self.unit_type == "mount" else ())
        yield MountPoint(self.mount_point, self.fstype, self.source(), self.unit, self.mount_owner)
        yield Unit(self.unit, self._fill(f"{self.kind}.{self.unit_type}", node), mount_point=self.mount_point)
        if self.unit_type == "mount":
            yield Live(self.mount_point, self.unit, self.mounted().arguments)
            yield Unit(self.keeper, self._fill("keeper.service", node))
            if commands := self.tuning(node):
                yield Unit(self.tuner, self._fill("tune.service", node, commands=commands))
        yield from self.inside(node)
        if self._owns:
            yield Directory(self.data_path, self.owner, self.group, self.mode, inside=self.mount_point)
        if self.link:
            yield Symlink(self.link, self.data_path)
        if self.consumers:
            yield Unit(self.gate, self._fill("gate.service", node), wait_s=150)
        for consumer in self.consumers:
            yield DropIn(consumer, f"mounttool-{self.name}", self._fill("consumer.conf", node))

    @property
    def _owns(self) -> bool:
        return bool(self.directory or {"owner", "group", "mode"} & self.model_fields_set)

    def _fill(self, template: str, node: Node, **more: object) -> str:
        return systemd.fill(
            template,
            helper=HELPER_PATH,
            name=self.name,
            mount_point=self.mount_point,
            unit=self.unit,
            gate=self.gate,
            consumers=self.consumers,
            probe=self.mounted().arguments,
            **self.variables(node),
            **more,
        )

    def _checks(self, node: Node) -> Iterator[Check]:
        yield self.mounted()
        yield Running(self.unit)
        if self.unit_type == "mount":
            yield Running(self.keeper)
            if self.tuning(node):
                yield Running(self.tuner)
        if self._owns:
            yield Owned(self.data_path, self.owner, self.group, self.mode)
        if self.link:
            yield Linked(self.link, self.data_path)
        for consumer in self.consumers:
            yield Ordered(self.gate, consumer)
        yield from self.observed()
        # A canary that cannot be removed would stay.
        if self.read_only or "delete" in self.lacks():
            yield Readable(self.link or self.data_path, self.user)
        else:
            yield Writable(self.link or self.data_path, self.user)
        if not self.read_only:
            yield FreeSpace(self.mount_point, self.minimum_free)
