"""What all storage has in common on a node: a mount point, a unit, a place inside, a link, and who waits for it.

A backend opens no connection and runs nothing: it is what the user declared, plus pure functions of it.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import pydantic

from mounttool import systemd
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import (
    Cache,
    Check,
    Directory,
    DropIn,
    FreeSpace,
    Linked,
    Mounted,
    MountPoint,
    Ordered,
    Owned,
    Plan,
    Program,
    Running,
    Step,
    Symlink,
    Unit,
    Writable,
)
from mounttool.render import HELPER
from mounttool.secrets import Secret

#: Where the program that units call lies on a node.
HELPER_PATH = "/usr/local/lib/mounttool/node"
#: Environment files with secrets, and certificates.
CONFIG_DIRECTORY = "/etc/mounttool"


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("an absolute path")
    if any(ord(character) < 32 for character in path):
        raise ValueError("a path without control characters")
    parts = path.split("/")
    if {".", ".."} & set(parts) or path.strip("/") == "":
        raise ValueError("a path below / without . and ..")
    return "/" + "/".join(part for part in parts if part)


def _mount_point(path: str) -> str:
    # systemd's units have at most 255 characters, and ours are named after the path.
    if len(systemd.escape_path(path)) > 200:
        raise ValueError("a path of at most 200 characters as systemd escapes it")
    return path


def _relative(path: str) -> str:
    if path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        raise ValueError("a relative path without . and ..")
    if any(ord(character) < 32 for character in path):
        raise ValueError("a path without control characters")
    return path


def _secret(reference: object) -> Secret:
    if isinstance(reference, Secret):
        return reference
    if not isinstance(reference, str):
        raise ValueError("a reference: env:NAME or file:PATH")  # noqa: TRY004 - pydantic reports ValueError only
    try:
        return Secret(reference)
    except Exception as error:
        raise ValueError("a reference to the secret, never the secret itself: env:NAME or file:PATH") from error


def _one_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("text without control characters")
    return text


AbsolutePath = Annotated[str, pydantic.AfterValidator(_absolute)]
RelativePath = Annotated[str, pydantic.AfterValidator(_relative)]
SecretReference = Annotated[Secret, pydantic.BeforeValidator(_secret)]
OneLine = Annotated[str, pydantic.StringConstraints(min_length=1), pydantic.AfterValidator(_one_line)]
Mode = Annotated[str, pydantic.StringConstraints(pattern="^0?[0-7]{3}$")]
UserName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$")]
UnitName = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|target|socket)$")]


class Backend(pydantic.BaseModel, abc.ABC):
    """One declared mount. Paths are on the node.

    The fields are the keys of its table in the configuration; their descriptions are the documentation.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    #: The name in the configuration, of the template and of the units.
    kind: ClassVar[str]
    #: The type as the kernel reports it.
    fstype: ClassVar[str]
    #: What the root of the file system must have as inode number; 0 when it says nothing.
    root_inode: ClassVar[int] = 0

    #: What the example configuration calls such a mount.
    example_name: ClassVar[str] = "checkpoints"

    name: str
    mount_point: Annotated[AbsolutePath, pydantic.AfterValidator(_mount_point)] = pydantic.Field(
        description="where it is mounted", examples=["/mnt/jfs"]
    )
    link: AbsolutePath | None = pydantic.Field(
        None, description="a symbolic link into the mount: the path that programs use", examples=["/mmc-checkpoint"]
    )
    directory: RelativePath | None = pydantic.Field(
        None,
        description="the directory inside that the link points to; without it, the root",
        examples=["mmc-checkpoint"],
    )
    owner: UserName = pydantic.Field("root", description="owner, group and mode of that directory")
    group: UserName = "root"
    mode: Mode = pydantic.Field("0755", examples=["0777"])
    user: UserName = pydantic.Field("root", description="who writes there: `verify` tries it as this user")
    role: Literal["checkpoint", "scratch"] = pydantic.Field(
        "checkpoint", description="checkpoint: what is acknowledged must be safe; scratch: it may be lost with the node"
    )
    consumers: tuple[UnitName, ...] = pydantic.Field(
        (), description="units that must not start before the mount is there", examples=[["docker.service"]]
    )
    minimum_free: pydantic.NonNegativeInt = pydantic.Field(
        64 * 2**20, description="free bytes below which `verify` fails"
    )

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

    @property
    def unit(self) -> str:
        """The name of the mount's unit; what people type after ``systemctl status``."""
        return f"{self.kind}-{systemd.escape_path(self.mount_point)}.service"

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
        return Mounted(self.mount_point, self.fstype, self.source(), self.root_inode)

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
            checks=tuple(self._checks()),
            caches=self.caches(),
            settings=self.settings(),
            warnings=self.warnings(),
            hints=self.hints(),
        )

    def _steps(self, node: Node) -> Iterator[Step]:
        yield from self.client(node)
        yield Program(HELPER_PATH, HELPER)
        yield MountPoint(self.mount_point, self.fstype, self.source(), self.unit)
        yield Unit(self.unit, self._fill(f"{self.kind}.service", node), mount_point=self.mount_point)
        if self.directory:
            yield Directory(self.data_path, self.owner, self.group, self.mode, inside=self.mount_point)
        if self.link:
            yield Symlink(self.link, self.data_path)
        if self.consumers:
            yield Unit(self.gate, self._fill("gate.service", node), wait_s=150)
        for consumer in self.consumers:
            yield DropIn(consumer, f"mounttool-{self.name}", self._fill("consumer.conf", node))

    def _fill(self, template: str, node: Node) -> str:
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
        )

    def _checks(self) -> Iterator[Check]:
        yield self.mounted()
        yield Running(self.unit)
        if self.directory:
            yield Owned(self.data_path, self.owner, self.group, self.mode)
        if self.link:
            yield Linked(self.link, self.data_path)
        for consumer in self.consumers:
            yield Ordered(self.gate, consumer)
        yield Writable(self.link or self.data_path, self.user)
        yield FreeSpace(self.mount_point, self.minimum_free)
