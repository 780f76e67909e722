"""What people see: tables, plain lines where there is no terminal, one line for an error."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import rich.box
import rich.console
import rich.live
import rich.markup
import rich.table

from mounttool.errors import MounttoolError

#: How a status is shown; never by its colour alone.
STYLES = {"ok": "green", "changed": "yellow", "would": "cyan", "failed": "bold red", "skipped": "dim"}


def _console(*, stderr: bool) -> rich.console.Console:
    """Rich itself honours NO_COLOR, TERM=dumb and COLUMNS; a pipe has no width that a table should be squeezed into."""
    console = rich.console.Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200
    return console


out = _console(stderr=False)
err = _console(stderr=True)


def print_json(document: object) -> None:
    """Print a document for programs, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def print_error(error: MounttoolError) -> None:
    """Print one line; the hint follows on its own."""
    err.print(f"[bold red]error:[/] {rich.markup.escape(error.message)}")
    if error.hint:
        err.print(f"  try: {rich.markup.escape(error.hint)}")


def status(text: str, shown: str = "") -> str:
    """Return a status, or the word shown for it, with the status' style."""
    word = rich.markup.escape(shown or text)
    return f"[{STYLES[text]}]{word}[/]" if text in STYLES else word


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table; cells may hold rich's markup."""
    table = rich.table.Table(
        *columns, title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False
    )
    for row in rows:
        table.add_row(*row)
    out.print(table)


class Board:
    """A live line for each host on a terminal; elsewhere a plain line for each thing that happens."""

    def __init__(self, hosts: Sequence[str], *, quiet: bool = False) -> None:
        self._rows = dict.fromkeys(hosts, "waiting")
        self._lock = threading.Lock()
        self._quiet = quiet
        self._live: rich.live.Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and err.is_terminal:
            self._live = rich.live.Live(self._table(), console=err, transient=True, refresh_per_second=8)
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
            self._rows[host] = text
            if self._live:
                self._live.update(self._table())
            elif not self._quiet:
                err.print(f"{host}: {text}", markup=False)

    def _table(self) -> rich.table.Table:
        table = rich.table.Table(box=None, pad_edge=False, show_header=False)
        # A screen shows some thirty lines; those that are being worked on say more than those that wait.
        busy = [(host, text) for host, text in self._rows.items() if text != "waiting"]
        waiting = len(self._rows) - len(busy)
        for host, text in busy[-30:]:
            table.add_row(f"[bold]{rich.markup.escape(host)}[/]", rich.markup.escape(text))
        if waiting:
            table.add_row("", f"[dim]{waiting} waiting[/]")
        return table
