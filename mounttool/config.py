"""mounttool.toml: the fleet and its mounts, typed; unknown keys are refused.

A relative path (of a key, an ssh_config, a ``file:`` secret, a certificate) is relative to the file's own folder.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from mounttool import backends
from mounttool.backends._fields import LocalSecretReference, OneLine
from mounttool.backends.base import Backend
from mounttool.errors import ConfigError, InputError
from mounttool.inventory import Inventory

DEFAULT_FILE = "mounttool.toml"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
Model = TypeVar("Model", bound=pydantic.BaseModel)
_PATHS = {"ca", "hosts_file", "key", "ssh_config", "known_hosts", "metadata_ca"}


class Fleet(pydantic.BaseModel):
    """The nodes and the way to them. Times are in seconds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    hosts: tuple[OneLine, ...] = pydantic.Field(
        (), description="addresses, or names that ssh_config knows; USER@HOST:PORT overrides", examples=[["10.0.1.11"]]
    )
    inventory: Inventory = pydantic.Field(
        default_factory=lambda: Inventory.model_validate({}),
        description="more hosts, found where they are listed",
        examples=[{"ec2": {"Role": "worker"}}],
    )
    user: OneLine | None = pydantic.Field(None, description="who logs in", examples=["ec2-user"])
    port: pydantic.PositiveInt | None = pydantic.Field(None, description="the SSH port", examples=[22])
    key: OneLine | None = pydantic.Field(None, description="a private key; the agent's keys are tried too")
    jump: OneLine | None = pydantic.Field(None, description="a jump host: USER@HOST:PORT")
    ssh_config: OneLine | None = pydantic.Field(None, description="instead of ~/.ssh/config")
    known_hosts: OneLine | None = pydantic.Field(None, description="instead of ~/.ssh/known_hosts")
    host_keys: Literal["strict", "accept-new"] = pydantic.Field(
        "strict", description="strict refuses a host whose key is not known; accept-new takes it without asking"
    )
    sudo: bool = pydantic.Field(False, description="become root by sudo")  # noqa: FBT003 - a default value
    sudo_password: LocalSecretReference | None = pydantic.Field(
        None, description="only where sudo asks for one", examples=["env:SUDO_PASSWORD"]
    )
    parallelism: Annotated[int, pydantic.Field(ge=1, le=1000)] = pydantic.Field(
        32, description="how many nodes are worked on at once"
    )
    connect_timeout_s: Annotated[float, pydantic.Field(gt=0, le=600)] = pydantic.Field(
        15, description="from the first packet to a root shell: TCP, banner, key exchange, login, sudo"
    )
    connect_attempts: Annotated[int, pydantic.Field(ge=1, le=100)] = pydantic.Field(
        3, description="how often to try while a node refuses the connection, as one that reboots; after 1, 2, 4, ... s"
    )
    keep_connections_s: Annotated[int, pydantic.Field(ge=0, le=86400)] = pydantic.Field(
        60,
        description="how long a connection stays open for the next command, where all nodes are worked on at once; "
        "0: not at all",
    )
    deadline_s: Annotated[float, pydantic.Field(gt=0, le=86400)] = pydantic.Field(
        600, description="for all that is done on one node"
    )


@dataclass(frozen=True, slots=True)
class Config:
    """One file: a fleet and its mounts, in the file's order."""

    file: str
    fleet: Fleet
    mounts: tuple[Backend, ...]

    def select(self, *, backend: str | None = None, name: str | None = None) -> tuple[Backend, ...]:
        """Return the mounts of one kind or of one name.

        Raises:
            InputError: there is none.

        """
        if backend is not None and backend not in backends.names():
            raise InputError(f"--backend {backend}: expected one of {', '.join(backends.names())}")
        found = tuple(mount for mount in self.mounts if backend in (None, mount.kind) and name in (None, mount.name))
        if not found:
            wanted = " and ".join(text for text in (backend and f"backend {backend}", name and f"name {name}") if text)
            declared = ", ".join(f"{mount.name} ({mount.kind})" for mount in self.mounts) or "none"
            raise InputError(f"{self.file}: no mount with {wanted or 'any name'}: declared are {declared}")
        return found


def load(file: str | Path = DEFAULT_FILE) -> Config:
    """Return the configuration in ``file``.

    Raises:
        ConfigError: a value or key is not as expected; the message names file, key, value and expectation.
        InputError: the file cannot be read, or is not TOML.

    """
    shown = str(file)
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        hint = "`fab config.example --backend juicefs` prints one to start from" if shown == DEFAULT_FILE else ""
        raise InputError(f"{shown}: {error.strerror or error}", hint=hint) from None
    except UnicodeDecodeError:
        raise InputError(f"{shown}: expected UTF-8 text") from None
    return parse(text, shown)


def parse(text: str, file: str = DEFAULT_FILE) -> Config:
    """Return the configuration in ``text``; ``file`` names it in messages and anchors relative paths.

    Raises:
        ConfigError: as for `load`.
        InputError: as for `load`.

    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: not valid TOML: {error}") from None
    for key in document.keys() - {"fleet", "mount"}:
        raise ConfigError(file, key, None, "only [fleet] and [mount.NAME] at the top")
    document = _anchor(document, Path(file).absolute().parent)
    fleet = _validate(Fleet, document.get("fleet", {}), file, "fleet")
    declared = document.get("mount", {})
    if not isinstance(declared, dict) or not all(isinstance(table, dict) for table in declared.values()):
        raise ConfigError(file, "mount", None, "tables such as [mount.checkpoints]")
    mounts = tuple(declare(name, table, file) for name, table in declared.items())
    _refuse_overlaps(mounts, file)
    return Config(file=file, fleet=fleet, mounts=_nested(mounts, file))


def declare(name: str, table: Mapping[str, Any], file: str) -> Backend:
    """Return the mount that a table of this name declares; ``file`` names where it stands in messages.

    Raises:
        ConfigError: as for `load`.

    """
    key = f"mount.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(file, key, None, "a name of lower-case letters, digits, - and _")
    kind = table.get("backend")
    if not isinstance(kind, str) or kind not in backends.names():
        raise ConfigError(file, f"{key}.backend", kind, f"one of {', '.join(backends.names())}")
    values = {part: value for part, value in table.items() if part != "backend"}
    if "name" in values:
        raise ConfigError(file, f"{key}.name", values["name"], "no such key: the table's name is the mount's name")
    return _validate(backends.load(kind), {"name": name, **values}, file, key)


def _validate(model: type[Model], values: object, file: str, key: str) -> Model:
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join([key, *(str(part) for part in first["loc"])])
        raise ConfigError(file, path, *_explain(first, model)) from None


def _explain(error: Any, model: type[pydantic.BaseModel]) -> tuple[object, str]:
    """The value to show, and what was expected instead."""
    if error["type"] == "extra_forbidden":
        known = _inner(model, error["loc"][:-1]).model_fields.keys() - {"name"}
        return None, f"no such key; known are {', '.join(sorted(known))}"
    if error["type"] == "missing":
        return None, "a value: this key is required"
    message = str(error.get("ctx", {}).get("error", error["msg"])).removeprefix("Input should be ")
    value = error["input"]
    # What was typed where a reference belongs may be the secret itself; a whole table says nothing.
    hide = isinstance(value, dict) or "secret" in message or "password" in message or "reference" in message
    return (None if hide else value), message


def _inner(model: type[pydantic.BaseModel], path: tuple[str | int, ...]) -> type[pydantic.BaseModel]:
    """The model of the table at ``path``, which may be a table inside the one of ``model``."""
    for key in path:
        annotation = model.model_fields[str(key)].annotation
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            model = annotation
    return model


def _refuse_overlaps(mounts: tuple[Backend, ...], file: str) -> None:
    taken: dict[str, str] = {}
    for mount in mounts:
        for part, path in (("mount_point", mount.mount_point), ("link", mount.link)):
            if path is None:
                continue
            key = f"mount.{mount.name}.{part}"
            if path in taken:
                raise ConfigError(file, key, path, f"a path of its own: {taken[path]} is the same")
            taken[path] = key
    for mount, other in itertools.permutations(mounts, 2):
        if reason := mount.conflict(other):
            raise ConfigError(
                file, f"mount.{mount.name}", None, f"something else beside [mount.{other.name}]: {reason}"
            )


def _nested(mounts: tuple[Backend, ...], file: str) -> tuple[Backend, ...]:
    """Let what is mounted inside another mount wait for that one, as any other consumer does."""
    waiting: dict[str, tuple[str, ...]] = {}
    for number, mount in enumerate(mounts):
        for position, other in enumerate(mounts):
            if not mount.mount_point.startswith(other.mount_point + "/"):
                continue
            if position > number:
                expected = f"[mount.{mount.name}] after [mount.{other.name}], in whose mount point it lies"
                raise ConfigError(file, f"mount.{mount.name}.mount_point", mount.mount_point, expected)
            waiting[other.name] = (*waiting.get(other.name, ()), mount.unit)
    return tuple(
        mount.model_copy(update={"consumers": (*mount.consumers, *waiting.get(mount.name, ()))}) for mount in mounts
    )


def _anchor(value: Any, folder: Path, key: str = "") -> Any:
    """Make relative local paths absolute; where nobody stands when mounttool is called is not part of the file."""
    if isinstance(value, dict):
        return {part: _anchor(inner, folder, part) for part, inner in value.items()}
    if isinstance(value, str):
        if key in _PATHS and value:
            return _local(folder, value)
        if value.startswith("file:") and not value.startswith("file:/") and len(value) > len("file:"):
            return f"file:{_local(folder, value.removeprefix('file:'))}"
    return value


def _local(folder: Path, path: str) -> str:
    try:
        return str(folder / Path(path).expanduser())
    except RuntimeError:  # ~nobody-of-that-name: reading it will say that it is not there
        return str(folder / path)
