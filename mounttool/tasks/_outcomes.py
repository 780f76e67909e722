"""Plans carried out on a fleet, and what came of it: for people grouped by outcome, for programs host by host."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from mounttool.backends.base import Backend
from mounttool.config import Fleet
from mounttool.deliver import fleet
from mounttool.deliver.apply import Chosen, apply
from mounttool.deliver.fleet import HostResult, StoppedError
from mounttool.deliver.names import fold
from mounttool.deliver.outcome import MountOutcome, Status
from mounttool.errors import HostError, MounttoolError
from mounttool.render import Intent
from mounttool.session import Session
from mounttool.tasks._command import fail
from mounttool.terminal import Board, err, escape, out, print_error, print_json, print_table
from mounttool.terminal import status as styled

Outcomes = HostResult[list[MountOutcome]]
#: What is said of a step that takes away.
_REMOVED = {"changed": "removed", "would": "would remove"}
_COUNTED: tuple[Status, ...] = ("ok", "changed", "would", "failed", "skipped")
#: How many names or ranges of hosts a line shows; --json has all.
MOST_NAMES = 8


def work(
    settings: Fleet, hosts: Sequence[str], mounts: Sequence[Backend], choose: Chosen, intent: Intent, *, quiet: bool
) -> list[Outcomes]:
    """Carry out ``intent`` on every host, with a live display unless ``quiet``."""
    with Board(hosts, quiet=quiet) as board:

        def one(session: Session) -> list[MountOutcome]:
            host = session.host
            board.say(host, "connecting")
            outcomes = apply(session, mounts, choose, intent, functools.partial(_step, board, host))
            board.say(host, ", ".join(f"{outcome.name} {outcome.status}" for outcome in outcomes) or "nothing to do")
            return outcomes

        try:
            return fleet.each(hosts, settings, one, meanwhile=_read_libraries)
        except StoppedError as stopped:
            stopped.tell(board.rows)
            raise


def _read_libraries() -> None:
    """Import what the first node's answer and the table at the end need, while nodes are being connected to."""
    for name in ("jinja2", "rich.table", "rich.markup"):
        importlib.import_module(name)


def _step(board: Board, host: str, mount: str, title: str) -> None:
    board.say(host, f"{mount}: {title}")


def report(results: Sequence[Outcomes], intent: Intent, *, json_: bool) -> None:
    """Print what came of each host, and end the command with status 1 when one failed."""
    if json_:
        print_json([document(result) for result in results])
    else:
        rows = _rows(results)
        if rows:
            print_table(("host", "mount", "result", *_COUNTED), rows)
        _details(results, intent)
    end(results, ok=all(map(is_well, results)), quiet=json_)


def document(result: Outcomes) -> dict[str, object]:
    """Return what came of one host as plain data for JSON."""
    mounts = [outcome.document() for outcome in result.value or []]
    return {"host": result.host, "error": str(result.error or ""), "mounts": mounts}


def _rows(results: Sequence[Outcomes]) -> list[tuple[str, ...]]:
    """One row for all hosts with the same outcome of a mount: a fleet of hundreds differs in few."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for result in results:
        for outcome in result.value or []:
            counts = (str(outcome.count(kind) or "") for kind in _COUNTED)
            groups.setdefault((outcome.name, styled(outcome.status), *counts), []).append(result.host)
    return [(named(hosts), *row) for row, hosts in groups.items()]


def named(hosts: Sequence[str]) -> str:
    """Return hosts for a line or a cell: folded, not too many, with their number when they are more than a few."""
    number = f" ({len(hosts)})" if len(hosts) > MOST_NAMES else ""
    return escape(fold(hosts, MOST_NAMES) + number)


def is_well(result: HostResult[Any]) -> bool:
    """Whether every mount went well on this host."""
    return result.error is None and all(outcome.status != "failed" for outcome in result.value or [])


def _details(results: Sequence[Outcomes], intent: Intent) -> None:
    """What changed, what is to be known, and each failure with its step, command, last lines and way out.

    Hosts with the same line share it: a fleet of hundreds differs in few.
    """
    lines: dict[str, list[str]] = {}
    failures: dict[tuple[str, str, str], list[tuple[str, MountOutcome]]] = {}
    for result in results:
        for outcome in result.value or []:
            for text in _lines(outcome, intent):
                lines.setdefault(text, []).append(result.host)
            if outcome.status == "failed":
                step = outcome.failure
                alike = (outcome.name, step.title if step else "", step.hint if step else "")
                failures.setdefault(alike, []).append((result.host, outcome))
    for text, hosts in lines.items():
        out.print(f"{named(hosts)}: {text}")
    for group in failures.values():
        _failure(named([host for host, _ in group]), group[0][1])


def _lines(outcome: MountOutcome, intent: Intent) -> Iterator[str]:
    for step in outcome.steps:
        if step.status in {"changed", "would"}:
            note = f" ({step.note})" if step.note else ""
            word = _REMOVED.get(step.status, "") if intent.action == "remove" else step.status
            yield f"{outcome.name}: {styled(step.status, word)} {escape(step.title + note)}"
    for text in outcome.warnings:
        yield f"{outcome.name}: [yellow]warning:[/] {escape(text)}"


def _failure(hosts: str, outcome: MountOutcome) -> None:
    """One failure; where several hosts failed alike, the first one's lines stand for all."""
    step = outcome.failure
    if step is None:
        err.print(f"{hosts}: {outcome.name}: [bold red]cut off[/] before its last step; run it again")
        return
    err.print(f"{hosts}: {outcome.name}: [bold red]failed[/] at step {step.number}: {escape(step.title)}")
    if step.command:
        err.print(f"  command: {step.command}", markup=False)
    for line in step.log:
        err.print(f"  | {line}", markup=False)
    if step.hint:
        err.print(f"  try: {step.hint}", markup=False)


def grouped(results: Sequence[HostResult[Any]]) -> list[tuple[str, Any]]:
    """Hosts with the same value, together."""
    groups: list[tuple[list[str], Any]] = []
    for result in results:
        if result.value is None:
            continue
        for hosts, value in groups:
            if value == result.value:
                hosts.append(result.host)
                break
        else:
            groups.append(([result.host], result.value))
    return [(named(hosts), value) for hosts, value in groups]


def end(results: Sequence[HostResult[Any]], *, ok: bool = True, quiet: bool = False) -> None:
    """Print the errors, those that hosts share once, and end the command with status 1 when there is one."""
    errors = [result.error for result in results if result.error]
    if not quiet:
        for error in _shared(errors):
            print_error(error)
    if errors or not ok:
        fail()


def _shared(errors: Sequence[MounttoolError]) -> list[MounttoolError]:
    alike: dict[tuple[str, str, str], list[str]] = {}
    for error in errors:
        if isinstance(error, HostError):
            alike.setdefault((error.phase, error.reason, error.hint), []).append(error.host)
    others = [error for error in errors if not isinstance(error, HostError)]
    return [
        *others,
        *(HostError(fold(hosts, MOST_NAMES), phase, why, hint=hint) for (phase, why, hint), hosts in alike.items()),
    ]
