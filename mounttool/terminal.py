"""What people see: tables, plain lines where there is no terminal, one line for an error.

Rich is imported when something of it is to be shown: a command has reached its nodes by then.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mounttool.errors import MounttoolError

if TYPE_CHECKING:
    import rich.console
    import rich.live
    import rich.progress
    import rich.table

#: How a status is shown; never by its colour alone.
STYLES = {"ok": "green", "changed": "yellow", "would": "cyan", "failed": "bold red", "skipped": "dim"}


class Output:
    """Standard output or error."""

    def __init__(self, *, stderr: bool) -> None:
        self._stderr = stderr

    @functools.cached_property
    def console(self) -> rich.console.Console:
        """Rich itself honours NO_COLOR, TERM=dumb and COLUMNS; a pipe has no width that a table is squeezed into."""
        from rich.console import Console  # noqa: PLC0415

        console = Console(stderr=self._stderr, soft_wrap=True, highlight=False, emoji=False)
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = 200
        return console

    @property
    def is_terminal(self) -> bool:
        """Whether somebody may be watching."""
        return (sys.stderr if self._stderr else sys.stdout).isatty() and self.console.is_terminal

    def print(self, shown: object, *, markup: bool = True) -> None:
        """Print text, or something else that rich can show."""
        if markup or self.is_terminal:
            self.console.print(shown, markup=markup)
        else:
            (sys.stderr if self._stderr else sys.stdout).write(f"{shown}\n")


out = Output(stderr=False)
err = Output(stderr=True)


def escape(text: str) -> str:
    """Return text in which nothing is rich's markup."""
    from rich.markup import escape as escaped  # noqa: PLC0415

    return escaped(text)


def print_json(document: object) -> None:
    """Print a document for programs, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def print_error(error: MounttoolError) -> None:
    """Print one line; the hint follows on its own."""
    err.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.hint:
        err.print(f"  try: {escape(error.hint)}")


def status(text: str, shown: str = "") -> str:
    """Return a status, or the word shown for it, with the status' style."""
    word = escape(shown or text)
    return f"[{STYLES[text]}]{word}[/]" if text in STYLES else word


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table; cells may hold rich's markup."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table)


class Board:
    """A live line for each host on a terminal; elsewhere a plain line for each thing that happens."""

    def __init__(self, hosts: Sequence[str], *, quiet: bool = False) -> None:
        #: What each host is at.
        self.rows = dict.fromkeys(hosts, "waiting")
        self._lock = threading.Lock()
        self._quiet = quiet
        self._live: rich.live.Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and err.is_terminal:
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(self._table(), console=err.console, transient=True, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, host: str, text: str) -> None:
        """Show what ``host`` is at."""
        with self._lock:
            self.rows[host] = text
            if self._live:
                self._live.update(self._table())
            elif not self._quiet:
                err.print(f"{host}: {text}", markup=False)

    def _table(self) -> rich.table.Table:
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, show_header=False)
        # A screen shows some thirty lines; those that are being worked on say more than those that wait.
        busy = [(host, text) for host, text in self.rows.items() if text != "waiting"]
        waiting = len(self.rows) - len(busy)
        for host, text in busy[-30:]:
            table.add_row(f"[bold]{escape(host)}[/]", escape(text))
        if waiting:
            table.add_row("", f"[dim]{waiting} waiting[/]")
        return table


class Progress:
    """A bar with the time that is left below what is said, on a terminal; elsewhere only what is said, line by line."""

    def __init__(self) -> None:
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> Self:
        if err.is_terminal:
            from rich import progress  # noqa: PLC0415

            columns = ("{task.description}", progress.BarColumn(), "{task.completed}/{task.total}")
            self._bar = progress.Progress(
                *columns, progress.TimeRemainingColumn(elapsed_when_finished=True), console=err.console, transient=True
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Show something that happened."""
        err.print(text, markup=False)

    def went(self, done: int, at_most: int, doing: str) -> None:
        """Show how much of the work is done, and what comes now."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(doing, total=at_most)
        self._bar.update(self._task, completed=done, total=at_most, description=escape(doing))
