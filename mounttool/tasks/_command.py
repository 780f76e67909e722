"""What every command shares: its errors become one line and an exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import fabric
from invoke.exceptions import Exit

from mounttool.config import Config
from mounttool.errors import MounttoolError
from mounttool.terminal import print_error

#: Flags that many commands take, with their help.
HELP = {
    "config": "the configuration file",
    "backend": "only the mounts of this kind",
    "name": "only the mount of this name",
    "hosts": "only these hosts, comma-separated (also: -H before the command)",
    "json": "print JSON instead of a table",
    "dry-run": "say what would change, touch nothing",
}


def command(**own_help: str) -> Callable[[Callable[..., None]], Any]:
    """Make a task: ``own_help`` describes its own flags, `HELP` the shared ones it has."""

    def decorate(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def guarded(*arguments: Any, **keywords: Any) -> None:
            try:
                body(*arguments, **keywords)
            except MounttoolError as error:
                print_error(error)
                raise Exit(code=error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit("interrupted", code=130) from None

        return fabric.task(help=_flags(body, own_help))(guarded)

    return decorate


def _flags(body: Callable[..., None], own: Mapping[str, str]) -> dict[str, str]:
    described = {**HELP, **{name.replace("_", "-"): text for name, text in own.items()}}
    parameters = [name.strip("_").replace("_", "-") for name in body.__code__.co_varnames[: body.__code__.co_argcount]]
    return {name: described[name] for name in parameters if name in described}


def fail() -> None:
    """End the command with status 1 after it has printed what failed."""
    raise Exit(code=1)


def hosts_of(config: Config, hosts: str | None) -> list[str]:
    """Return the hosts to work on: those of the flag, or the fleet's."""
    if hosts is None:
        return list(config.fleet.hosts)
    return [host.strip() for host in hosts.split(",") if host.strip()]
