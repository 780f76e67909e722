"""Which nodes a fleet has: what the file declares, and those of them that a command is for.

A host of the file costs nothing to know. Names of ssh_config and a file of hosts are read here; instances are asked of
AWS by `mounttool.aws.inventory`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from mounttool.backends._fields import OneLine
from mounttool.errors import InputError


def _tags(tags: object) -> object:
    """One value is a list of one."""
    if not isinstance(tags, Mapping) or not tags:
        raise ValueError('tags, such as { Role = "worker" }')
    listed = {key: (value,) if isinstance(value, str) else value for key, value in tags.items()}
    if wrong := [key for key, value in listed.items() if not isinstance(value, list | tuple) or not value]:
        raise ValueError(f"a text or a list of texts for the tag {wrong[0]}")
    return listed


Tags = Annotated[Mapping[OneLine, tuple[OneLine, ...]], pydantic.BeforeValidator(_tags)]


class Inventory(pydantic.BaseModel):
    """Where a fleet's nodes are found, beside ``fleet.hosts``; what several keys find is added up."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    ssh_hosts: tuple[OneLine, ...] = pydantic.Field(
        (), description="patterns of names that ssh_config has a `Host` line for", examples=[["gpu-*"]]
    )
    hosts_file: OneLine | None = pydantic.Field(
        None, description="a file with a host on each line; # begins a comment", examples=["hosts.txt"]
    )
    ec2: Tags | None = pydantic.Field(
        None,
        description="running instances with all these tags; a value may have * and ?, or be a list of alternatives",
        examples=[{"Role": "worker"}],
    )
    autoscaling_group: OneLine | None = pydantic.Field(
        None, description="the running instances of this Auto Scaling group", examples=["workers"]
    )
    batch_compute_environment: OneLine | None = pydantic.Field(
        None, description="the running instances of this AWS Batch compute environment", examples=["spot"]
    )
    region: OneLine | None = pydantic.Field(
        None, description="where AWS is asked; by default the environment's or the profile's", examples=["us-east-1"]
    )
    address: Literal["private", "public"] = pydantic.Field("private", description="which of an instance's addresses")

    @property
    def asks_aws(self) -> bool:
        """Whether any of it is known to AWS only."""
        return bool(self.ec2 or self.autoscaling_group or self.batch_compute_environment)


@dataclass(frozen=True, slots=True)
class Host:
    """One node. ``address`` is where SSH goes; ``source`` says which key found it.

    ``instance`` and ``name`` are the instance's id and its Name tag; empty for a host that AWS was not asked for.
    """

    address: str
    source: str
    instance: str = ""
    name: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All that people call it: patterns are compared with each."""
        plain = re.sub(r":\d+$", "", self.address.rpartition("@")[2])
        return tuple(dict.fromkeys(name for name in (self.address, plain, self.instance, self.name) if name))


def static(hosts: Sequence[str], inventory: Inventory, ssh_config: str | None) -> Iterator[Host]:
    """Yield what is known without asking anybody: the hosts of the file, of ssh_config and of a file of hosts.

    Raises:
        InputError: as for `of_ssh_config` and `of_file`.

    """
    yield from (Host(host, "hosts") for host in hosts)
    if inventory.ssh_hosts:
        yield from of_ssh_config(inventory.ssh_hosts, ssh_config)
    if inventory.hosts_file:
        yield from of_file(inventory.hosts_file)


def of_ssh_config(patterns: Sequence[str], file: str | None) -> list[Host]:
    """Return the names of ssh_config that a pattern matches; ``file`` is instead of the user's own.

    Raises:
        InputError: the file cannot be read, or a pattern matches no name of it.

    """
    shown = file or "~/.ssh/config"
    path = Path(shown).expanduser()
    lines = ssh_config(path, f"fleet.inventory.ssh_hosts: {shown}")
    hosts = (name for keyword, names in lines if keyword == "host" for name in names)
    names = [name for name in dict.fromkeys(hosts) if not set(name) & set("*?!")]
    found: dict[str, Host] = {}
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise InputError(f"fleet.inventory.ssh_hosts: {pattern}: {shown} has no such Host")
        found.update((name, Host(name, f"ssh_hosts {pattern}")) for name in matching if name not in found)
    return list(found.values())


def ssh_config(path: Path, shown: str, depth: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of an ssh_config and of those files that it includes: keyword, in lower case, and arguments.

    ``shown`` names the file in messages; see ssh_config(5).

    Raises:
        InputError: a file cannot be read.

    """
    for line in _lines(path, shown):
        keyword, *values = re.split(r"[ \t=]+", line, maxsplit=1)
        words = re.findall(r'"([^"]*)"|(\S+)', values[0] if values else "")
        arguments = [quoted or plain for quoted, plain in words]
        yield keyword.lower(), arguments
        if keyword.lower() == "include" and depth < 16:
            for pattern in arguments:
                # Taken relative to the root: glob takes no absolute pattern, and these are where ssh itself looks.
                folder = Path("/etc/ssh") if path.is_relative_to("/etc/ssh") else Path("~/.ssh").expanduser()
                place = folder / Path(pattern).expanduser()
                for included in sorted(Path("/").glob(str(place.absolute().relative_to("/")))):
                    yield from ssh_config(included, f"{shown}: {included}", depth + 1)


def of_file(file: str) -> list[Host]:
    """Return the hosts that ``file`` lists.

    Raises:
        InputError: it cannot be read, or one of its lines is not a host; the message names file and line.

    """
    found = []
    for number, line in enumerate(_lines(Path(file).expanduser(), f"fleet.inventory.hosts_file: {file}"), 1):
        host = re.sub(r"(^|\s)#.*", "", line).strip()
        if not host:
            continue
        if len(host.split()) > 1 or host.startswith("-"):
            raise InputError(f"{file}:{number}: {host!r}: expected one host on a line, such as ops@10.0.1.11:22")
        found.append(Host(host, f"hosts_file {Path(file).name}"))
    return found


def _lines(path: Path, shown: str) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{shown}: expected UTF-8 text") from None


def choose(hosts: Sequence[Host], limit: str | None, exclude: str | None) -> list[Host]:
    """Return each host once, of those that ``limit`` names and ``exclude`` does not: patterns with commas between.

    Raises:
        InputError: a pattern fits no host, which is more often a slip than meant; or none is left.

    """
    first: dict[str, Host] = {}
    for host in hosts:
        first.setdefault(host.address, host)
    unique = list(first.values())
    wanted = unique if limit is None else _matching(unique, "--limit", limit)
    spared = [] if exclude is None else _matching(unique, "--exclude", exclude)
    left = [host for host in wanted if host not in spared]
    if unique and not left:
        raise InputError(f"no host is left of {len(unique)}: --exclude {exclude} takes out all others")
    return left


def _matching(hosts: Sequence[Host], flag: str, text: str) -> list[Host]:
    found: set[Host] = set()
    for pattern in (part.strip() for part in text.split(",")):
        fitting = {host for host in hosts if any(fnmatch.fnmatchcase(name, pattern) for name in host.names)}
        if not fitting:
            some = ", ".join(host.address for host in hosts[:4]) + (", ..." if len(hosts) > 4 else "")
            raise InputError(f"{flag} {pattern}: no host is called so; there are {len(hosts)}: {some or 'none'}")
        found |= fitting
    return [host for host in hosts if host in found]
