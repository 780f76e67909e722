"""compat: what the mounts support."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from invoke.context import Context

from mounttool import config as configs
from mounttool import semantics
from mounttool.backends.base import Backend
from mounttool.compat import probe, shared, verdict
from mounttool.compat.probe import Look, Place
from mounttool.compat.verdict import Verdict
from mounttool.deliver import fleet
from mounttool.deliver.apply import facts
from mounttool.errors import MounttoolError, UnsupportedError
from mounttool.session import Session
from mounttool.tasks._command import ALL, Choice, command, fail, hosts_of
from mounttool.terminal import err, escape, print_error, print_json, print_table
from mounttool.terminal import status as styled

_STYLED = {"yes": "ok", "no": "failed", "wrong": "failed", "not looked at": "skipped"}


@dataclass(frozen=True)
class _Summary:
    """What came of one mount."""

    mount: Backend
    looks: tuple[Look, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def errors(self) -> list[MounttoolError]:
        """What could not be looked at, and what the mount's role needs and is not there."""
        name, promised = self.mount.name, semantics.ROLES[self.mount.role]
        failed: list[MounttoolError] = []
        for look in self.looks:
            if look.failed:
                how = "cut short" if look.found else "not looked at"
                failed.append(UnsupportedError(f"{look.host}: {name}: {how}: {look.failed}"))
            # Where nothing can be deleted, what stays is told beside the table.
            if look.left and "delete" in look.found and not look.found["delete"].lacks:
                failed.append(UnsupportedError(f"{look.host}: {name}: left behind: {look.left}"))
        failed += [
            UnsupportedError(f"{name}: its role {self.mount.role} is for {found.use}, but it {found.text()}")
            for found in self.verdicts
            if found.use in promised and found.lacks
        ]
        return failed


@command()
def compat(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    json_: bool = False,
) -> None:
    """Try on each node what a mount supports: rename, links, locks, holes, O_DIRECT ..., and say what it is fit for.

    Everything is tried in a new directory inside the mount, which is removed. Needs python3 on the nodes.

    Example: fab compat --name checkpoints
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    with ExitStack() as stack:

        def looks(session: Session) -> list[tuple[Look, Place]]:
            stack.callback(session.close)
            node = facts(session)
            return probe.look(session, mounts, [mount.plan(node) for mount in mounts])

        results = fleet.each(hosts_of(loaded, hosts), loaded.fleet, looks, keep_open=True)
        found = [result.value for result in results if result.value]
        summaries = [
            _summary(mount, shared.close_to_open(list(same), parallelism=loaded.fleet.parallelism))
            for mount, same in zip(mounts, zip(*found, strict=True), strict=bool(found))
        ]
    errors = [result.error for result in results if result.error]
    errors += [error for summary in summaries for error in summary.errors]
    if json_:
        print_json({"mounts": [_document(summary) for summary in summaries], "errors": [str(e) for e in errors]})
    else:
        for summary in summaries:
            _print(summary)
        for error in errors:
            print_error(error)
    if errors:
        fail()


def _summary(mount: Backend, looks: Sequence[Look]) -> _Summary:
    return _Summary(mount, tuple(looks), tuple(verdict.verdicts(looks)))


def _print(summary: _Summary) -> None:
    mount = summary.mount
    seen = [look for look in summary.looks if look.found]
    if seen:
        print_table(
            ("feature", "result", "nodes", ""),
            [
                (row.feature, styled(_STYLED[row.found.result], row.found.result), _nodes(row, seen), _why(row))
                for row in verdict.rows(seen)
            ],
            title=escape(f"{mount.name} ({mount.kind}), {mount.link or mount.data_path}"),
        )
        print_table(
            ("use", "verdict"),
            [(found.use, styled("ok" if found.ok else "failed", found.text())) for found in summary.verdicts],
        )
    for look in summary.looks:
        if look.left:
            err.print(f"{look.host}: {mount.name}: [yellow]left behind:[/] {escape(look.left)}")


def _nodes(row: verdict.Row, seen: Sequence[Look]) -> str:
    alike = len(row.hosts) == len(seen)
    return escape("all" if alike and len(seen) > 1 else verdict.shown(row.hosts))


def _why(row: verdict.Row) -> str:
    return escape(": ".join(part for part in (row.found.error, row.found.detail) if part))


def _document(summary: _Summary) -> dict[str, object]:
    mount = summary.mount
    return {
        "name": mount.name,
        "backend": mount.kind,
        "role": mount.role,
        "path": mount.link or mount.data_path,
        "declared_lacks": sorted(mount.lacks(), key=semantics.FEATURES.index),
        "nodes": [
            {
                "host": look.host,
                "mount": look.word,
                "failed": look.failed,
                "left": look.left,
                "features": {feature: dataclasses.asdict(found) for feature, found in look.found.items()},
            }
            for look in summary.looks
        ],
        "uses": {
            found.use: {
                "ok": found.ok,
                "verdict": found.text(),
                "lacks": [row.feature for row in found.lacks],
                "not_looked_at": list(found.unknown),
                "promised": found.use in semantics.ROLES[mount.role],
            }
            for found in summary.verdicts
        },
    }
