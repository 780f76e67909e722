"""A plan: the states that a node shall be in, as frozen data.

Steps say what shall be so, never how; `mounttool.render` alone turns them into shell. Checks say what must be
observable afterwards; `mounttool.verify` alone looks. A plan can be printed, compared, hashed and kept as a file.
Paths are absolute paths on the node, modes are four octal digits, times are seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mounttool.secrets import Secret


@dataclass(frozen=True, slots=True)
class Step:
    """Base of every state. ``kind`` is its name in scripts and results."""

    label: ClassVar[str]

    @property
    def kind(self) -> str:
        """The class's name in lower case."""
        return type(self).__name__.lower()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that it refers to, in order."""
        return ()

    @property
    def title(self) -> str:
        """One line for people: the label with the step's fields filled in."""
        fields = {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}
        words = {name: " ".join(field) if isinstance(field, tuple) else field for name, field in fields.items()}
        return self.label.format_map(words)


@dataclass(frozen=True, slots=True)
class Package(Step):
    """Distribution packages that shall be installed. Their removal is left to the administrator.

    ``provides`` is a command whose presence is proof enough, so that a node whose image brought it another way is
    left alone; empty: ask the package database.
    """

    label: ClassVar[str] = "package {names}"

    provides: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release(Step):
    """A program out of a pinned release archive (.tar.gz), or as a bare file, verified by SHA-256 before use.

    ``url`` may be http, https or ``file:///path`` on the node. ``member`` is the archive's member; empty: the download
    is the program itself.
    """

    label: ClassVar[str] = "program {path}"

    path: str
    url: str
    sha256: str
    member: str = ""
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory(Step):
    """A directory with owner and mode.

    ``inside`` names the mount that must be there first, so that it is never made on the disk below by accident; such a
    directory is data and stays when the mount is taken away.
    """

    label: ClassVar[str] = "directory {path}"

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    inside: str = ""


@dataclass(frozen=True, slots=True)
class MountPoint(Step):
    """The bare directory under a mount, immutable where the file system can, so that nothing fills the root disk.

    Another file system there than ``fstype`` from ``source`` (as for `Mounted`) is refused, unless ``unit`` itself put
    it there. With ``owner`` the directory is that user's instead of immutable: a user without root mounts only then.
    """

    label: ClassVar[str] = "mount point {path}"

    path: str
    fstype: str
    source: str
    unit: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class KernelModule(Step):
    """The running kernel has a file system, built in or as a module that can be loaded; ``advice`` is for when not."""

    label: ClassVar[str] = "kernel module {name}"

    name: str
    fstype: str
    advice: str


@dataclass(frozen=True, slots=True)
class File(Step):
    """A file with exactly this content. ``restarts`` names units that must be restarted when it changes."""

    label: ClassVar[str] = "file {path}"

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program(Step):
    """A script of mounttool's own that units of several mounts call; it goes with the last of them.

    ``restarts`` names units that run it all the time.
    """

    label: ClassVar[str] = "program {path}"

    path: str
    content: str
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment(Step):
    """A root-only (0600) environment file for units: the one place on a node where a secret may lie.

    Values given as `Secret` are revealed only when the script is rendered for delivery, or read by the node itself.
    """

    label: ClassVar[str] = "environment {path}"

    path: str
    values: Mapping[str, str | Secret]
    restarts: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Those among its values."""
        return _secrets(self.values)


@dataclass(frozen=True, slots=True)
class Unit(Step):
    """A systemd unit with exactly this content, enabled, started, and running with this very content.

    ``mount_point`` names the mount that it provides: while files are open there it is neither restarted nor stopped.
    ``wait_s`` bounds how long a start may take.
    """

    label: ClassVar[str] = "unit {name}"

    name: str
    content: str
    mount_point: str = ""
    wait_s: int = 90


@dataclass(frozen=True, slots=True)
class Live(Step):
    """The mount of ``unit`` answers: what systemd calls active may be dead. ``probe`` is `Mounted.arguments`."""

    label: ClassVar[str] = "{mount_point} answers"

    mount_point: str
    unit: str
    probe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropIn(Step):
    """A drop-in for a unit that somebody else owns. It takes effect when that unit is next started."""

    label: ClassVar[str] = "drop-in {unit}.d/{name}.conf"

    unit: str
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Symlink(Step):
    """A symbolic link. What stands in its way is somebody's data: refused, or kept aside when adopting is asked for."""

    label: ClassVar[str] = "link {path} -> {target}"

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Reachable(Step):
    """A TCP endpoint answers the node within 5 seconds; when it does not, the message says which."""

    label: ClassVar[str] = "{what} answers at {host}:{port}"

    what: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Ensure(Step):
    """A state that only one backend knows: POSIX sh that tests it, and POSIX sh that brings it about.

    Both run with ``environment`` set; values given as secrets reach the node on the script's standard input only.
    ``hint`` is what to try when the action fails; ``library`` are functions that both may call.
    """

    label: ClassVar[str] = "{what}"

    what: str
    test: str
    action: str
    environment: Mapping[str, str | Secret] = field(default_factory=dict)
    hint: str = ""
    library: str = ""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Those in its environment."""
        return _secrets(self.environment)


@dataclass(frozen=True, slots=True)
class Check:
    """Base of what must be observable on the node after the plan was applied."""

    @property
    def kind(self) -> str:
        """The class's name in lower case."""
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True)
class Mounted(Check):
    """Exactly one mount is at ``mount_point``, of this type and source, as /proc/self/mountinfo spells them.

    An empty ``fstype`` or ``source`` is any; a ``source`` that begins with ``*`` names only the end. ``root_inode`` is
    what the root of the file system must have (JuiceFS: 1); 0: any. ``read_only`` mounts are expected to be so.
    """

    mount_point: str
    fstype: str
    source: str
    root_inode: int = 0
    read_only: bool = False

    def is_from(self, fstype: str, source: str) -> bool:
        """Whether an entry of the mount table is this mount."""
        end = self.source.removeprefix("*")
        of_source = source.endswith(end) if end != self.source else source == end
        return self.fstype in {"", fstype} and (not self.source or of_source)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the node's helper takes to know this mount."""
        return (self.mount_point, self.fstype, self.source, str(self.root_inode), str(int(self.read_only)))


@dataclass(frozen=True, slots=True)
class Running(Check):
    """The unit is enabled and active."""

    unit: str


@dataclass(frozen=True, slots=True)
class Ordered(Check):
    """systemd starts ``consumer`` after ``gate`` and not without it."""

    gate: str
    consumer: str


@dataclass(frozen=True, slots=True)
class Linked(Check):
    """``path`` is a symbolic link to ``target``, and the target is there."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Owned(Check):
    """The directory has this owner, group and mode."""

    path: str
    owner: str
    group: str
    mode: str


@dataclass(frozen=True, slots=True)
class Writable(Check):
    """``user`` can write, fsync, read back and remove a canary in ``path``."""

    path: str
    user: str


@dataclass(frozen=True, slots=True)
class Readable(Check):
    """``user`` can list ``path``: all that can be asked of a mount that is read-only."""

    path: str
    user: str


@dataclass(frozen=True, slots=True)
class Observed(Check):
    """``command``, POSIX sh that only looks, prints ``expected``. ``what`` names it in tables."""

    what: str
    command: str
    expected: str


@dataclass(frozen=True, slots=True)
class FreeSpace(Check):
    """The file system at ``path`` has at least this much space for ordinary users."""

    path: str
    at_least_bytes: int


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache between an application and the storage, which a cold read must empty: ``page`` or a ``directory``."""

    kind: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one mount needs on one node.

    ``data_path`` is where its user writes: the link when there is one. No file there may be larger than
    ``largest_file_bytes``; 0: no limit. ``settings`` are the options in effect, kept
    beside measurements. ``hints`` tell by a regular expression what a failed step's last lines mean to the user.
    ``secrets`` lists every secret of the plan, for those who must look for leaks.
    """

    name: str
    backend: str
    mount_point: str
    data_path: str
    steps: tuple[Step, ...]
    checks: tuple[Check, ...] = ()
    caches: tuple[Cache, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    largest_file_bytes: int = 0

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that a step refers to, in order, once."""
        return tuple(dict.fromkeys(secret for step in self.steps for secret in step.secrets))

    @property
    def digest(self) -> str:
        """Twelve hex digits that change when any step or check does. Secrets count by their reference only."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:12]

    def document(self) -> dict[str, object]:
        """Return the plan as plain data for JSON; secrets appear as their references."""
        return {
            "name": self.name,
            "backend": self.backend,
            "mount_point": self.mount_point,
            "data_path": self.data_path,
            "steps": [{"kind": step.kind, **_plain(step)} for step in self.steps],
            "checks": [{"kind": check.kind, **_plain(check)} for check in self.checks],
            "caches": [_plain(cache) for cache in self.caches],
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
            "largest_file_bytes": self.largest_file_bytes,
        }


def _secrets(values: Mapping[str, str | Secret]) -> tuple[Secret, ...]:
    return tuple(value for value in values.values() if isinstance(value, Secret))


def _plain(item: Step | Check | Cache) -> dict[str, object]:
    return {part.name: _value(getattr(item, part.name)) for part in dataclasses.fields(item)}


def _value(value: object) -> object:
    if isinstance(value, Secret):
        return {"secret": value.reference}
    if isinstance(value, Mapping):
        return {str(key): _value(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_value(part) for part in value]
    return value
