"""What every command shares: its errors become one line and an exit code."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from mounttool import inventory
from mounttool.config import Config, Fleet
from mounttool.errors import InputError, MounttoolError
from mounttool.inventory import Host
from mounttool.terminal import print_error

#: Flags that many commands take, with their help.
HELP = {
    "config": "the configuration file",
    "backend": "only the mounts of this kind",
    "name": "only the mount of this name",
    "hosts": "only these hosts, comma-separated (also: -H before the command)",
    "limit": "only those of the fleet that match: patterns such as gpu-*, comma-separated",
    "exclude": "not those of the fleet that match: patterns, comma-separated",
    "json": "print JSON instead of a table",
    "dry-run": "say what would change, touch nothing",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which hosts a command is for: its flags ``--hosts``, ``--limit`` and ``--exclude``."""

    hosts: str | None = None
    limit: str | None = None
    exclude: str | None = None


#: The whole fleet.
ALL = Choice()


def command(**own_help: str) -> Callable[[Callable[..., None]], Any]:
    """Make a task: ``own_help`` describes its own flags, `HELP` the shared ones it has.

    A parameter ``hosts`` that is a `Choice` becomes three flags. A whole number is taken as text, and read here:
    invoke itself would end in a traceback when it is none.
    """

    def decorate(body: Callable[..., None]) -> Any:
        signature = _signature(body)

        @functools.wraps(body)
        def guarded(context: Context, *arguments: Any, **keywords: Any) -> None:
            with _one_line_for_an_error():
                if context.config.run.dry:
                    _take_over_dry_run(body, signature, keywords)
                if "limit" in signature.parameters:
                    chosen = {name: keywords.pop(name, signature.parameters[name].default) for name in _CHOICE}
                    keywords["hosts"] = Choice(**chosen)
                keywords |= {name: _whole(name, keywords[name]) for name in _wholes(body) if name in keywords}
                body(context, *arguments, **keywords)

        # What invoke reads the flags from.
        guarded.__signature__ = signature  # type: ignore[attr-defined]
        return task(help=_flags(signature, own_help))(guarded)

    return decorate


_CHOICE = ("hosts", "limit", "exclude")


def _signature(body: Callable[..., None]) -> inspect.Signature:
    """The parameters of the command line: those of ``body``, with a `Choice` taken apart."""
    signature = inspect.signature(body)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if isinstance(parameter.default, Choice):
            parameters += [parameter.replace(name=name, default=getattr(parameter.default, name)) for name in _CHOICE]
        elif parameter.name in _wholes(body):
            parameters.append(parameter.replace(default=str(parameter.default)))
        else:
            parameters.append(parameter)
    return signature.replace(parameters=parameters)


def _wholes(body: Callable[..., None]) -> list[str]:
    return [name for name, one in inspect.signature(body).parameters.items() if type(one.default) is int]


def _whole(name: str, text: str | int) -> int:
    if not str(text).isdecimal():
        raise InputError(f"--{name.replace('_', '-')} {text}: expected a whole number")
    return int(text)


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


def _take_over_dry_run(body: Callable[..., None], signature: inspect.Signature, keywords: dict[str, Any]) -> None:
    """``fab --dry COMMAND`` means what ``fab COMMAND --dry-run`` does; it must not change anything unawares."""
    if "dry_run" not in signature.parameters:
        raise InputError(f"--dry: expected a command with --dry-run, not {body.__name__}")
    keywords["dry_run"] = True


def _flags(signature: inspect.Signature, own: Mapping[str, str]) -> dict[str, str]:
    described = {**HELP, **{name.replace("_", "-"): text for name, text in own.items()}}
    parameters = [name.strip("_").replace("_", "-") for name in signature.parameters]
    return {name: described[name] for name in parameters if name in described}


def fail() -> None:
    """End the command with status 1 after it has printed what failed."""
    raise Exit(code=1)


def hosts_of(config: Config, choice: Choice) -> list[str]:
    """Return the hosts to work on: those of the flags, or the fleet's.

    Raises:
        InputError: a source of hosts is not there or has none, or a pattern fits none of them.
        AwsError: AWS refused to name the fleet's instances, or could not be reached.

    """
    return [host.address for host in nodes_of(config.fleet, choice)]


def nodes_of(fleet: Fleet, choice: Choice) -> list[Host]:
    """Return what is known of `hosts_of`; ``--hosts`` is instead of the whole inventory, which then is not asked."""
    if choice.hosts is not None:
        found = [Host(part.strip(), "--hosts") for part in choice.hosts.split(",") if part.strip()]
    else:
        found = list(inventory.static(fleet.hosts, fleet.inventory, fleet.ssh_config))
        if fleet.inventory.asks_aws:
            # Late: boto3 takes its time, and most fleets are not known to AWS only.
            from mounttool.aws import inventory as instances  # noqa: PLC0415

            found += instances.hosts(fleet.inventory)
    return inventory.choose(found, choice.limit, choice.exclude)
