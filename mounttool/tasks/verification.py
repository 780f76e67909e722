"""verify: proof that the mounts are there, and are of use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.config import Fleet
from mounttool.deliver import fleet, probe
from mounttool.deliver.apply import facts
from mounttool.session import Session
from mounttool.tasks._command import ALL, Choice, command, fail, hosts_of
from mounttool.terminal import escape, print_error, print_json, print_table
from mounttool.terminal import status as styled

if TYPE_CHECKING:
    from mounttool.verify.run import Finding
    from mounttool.verify.subject import Subject


@command(junit="write the results as JUnit XML into this file too")
def verify(
    c: Context,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    hosts: Choice = ALL,
    junit: str | None = None,
    json_: bool = False,
) -> None:
    """Look at each node: exactly one mount, unit, link, owner, order, a canary's round trip, space, no secret to see.

    Changes nothing but a canary, which it removes. A mount that hangs is named and not waited for.

    Example: fab verify --junit verify.xml
    """
    # pytest and testinfra take their time to import: only those who verify wait for them.
    from mounttool.verify import run  # noqa: PLC0415

    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    with ExitStack() as stack:

        def subject(session: Session) -> Subject:
            stack.callback(session.close)
            return _subject(session, mounts, loaded.fleet)

        results = fleet.each(hosts_of(loaded, hosts), loaded.fleet, subject, keep_open=True)
        subjects = [result.value for result in results if result.value]
        findings = run.verify(subjects, parallelism=loaded.fleet.parallelism, junit=Path(junit) if junit else None)
    errors = [result.error for result in results if result.error]
    if json_:
        print_json({"findings": [dataclasses.asdict(found) for found in findings], "errors": [str(e) for e in errors]})
    else:
        _print(findings)
        for error in errors:
            print_error(error)
    if errors or any(found.result == "failed" for found in findings):
        fail()


def _subject(session: Session, mounts: Sequence[Backend], settings: Fleet) -> Subject:
    from mounttool.verify.subject import Subject  # noqa: PLC0415 - as above

    node = facts(session)
    plans = tuple(mount.plan(node) for mount in mounts)
    secrets = {secret for plan in plans for secret in plan.secrets}
    secrets |= {settings.sudo_password} if settings.sudo_password else set()
    verdicts = tuple(probe.look(session, [mount.mounted() for mount in mounts]))
    return Subject(session, plans, verdicts, tuple(secrets))


def _print(findings: Sequence[Finding]) -> None:
    print_table(
        ("host", "mount", "check", "result", ""),
        [
            (escape(f.host), f.mount, escape(f.check), styled(f.result), escape(f.detail))
            for f in sorted(findings, key=_place)
        ],
    )


def _place(finding: Finding) -> tuple[str, str]:
    return finding.host, finding.mount
