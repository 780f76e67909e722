"""What every command shares: its errors become one line and an exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import fabric
from invoke.context import Context
from invoke.exceptions import Exit

from mounttool.config import Config
from mounttool.errors import InputError, MounttoolError
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
        def guarded(context: Context, *arguments: Any, **keywords: Any) -> None:
            with _one_line_for_an_error():
                if context.config.run.dry:
                    _take_over_dry_run(body, keywords)
                body(context, *arguments, **keywords)

        return fabric.task(help=_flags(body, own_help))(guarded)

    return decorate


@contextlib.contextmanager
def _one_line_for_an_error() -> Iterator[None]:
    try:
        yield
    except MounttoolError as error:
        print_error(error)
        raise Exit(code=error.exit_code) from None
    except KeyboardInterrupt:
        raise Exit("interrupted", code=130) from None
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=141) from None
    except Exit:
        raise
    except Exception as error:
        if "MOUNTTOOL_TRACEBACK" in os.environ:
            raise
        said = f"{type(error).__name__}: {error}"
        print_error(
            MounttoolError(f"a defect in mounttool: {said}", hint="MOUNTTOOL_TRACEBACK=1 shows where; report it")
        )
        raise Exit(code=1) from None


def _take_over_dry_run(body: Callable[..., None], keywords: dict[str, Any]) -> None:
    """``fab --dry COMMAND`` means what ``fab COMMAND --dry-run`` does; it must not change anything unawares."""
    if "dry_run" not in _parameters(body):
        raise InputError(f"--dry: expected a command with --dry-run, not {body.__name__}")
    keywords["dry_run"] = True


def _parameters(body: Callable[..., None]) -> tuple[str, ...]:
    return body.__code__.co_varnames[: body.__code__.co_argcount]


def _flags(body: Callable[..., None], own: Mapping[str, str]) -> dict[str, str]:
    described = {**HELP, **{name.replace("_", "-"): text for name, text in own.items()}}
    parameters = [name.strip("_").replace("_", "-") for name in _parameters(body)]
    return {name: described[name] for name in parameters if name in described}


def fail() -> None:
    """End the command with status 1 after it has printed what failed."""
    raise Exit(code=1)


def hosts_of(config: Config, hosts: str | None) -> list[str]:
    """Return the hosts to work on: those of the flag, or the fleet's."""
    if hosts is None:
        return list(config.fleet.hosts)
    return [host.strip() for host in hosts.split(",") if host.strip()]
