"""Runs the tests that ship, by pytest, and returns what they found.

All nodes are looked at at once, each through its own checks one after the other; pytest then collects the answers. So
a fleet takes as long as its slowest node.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import os
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import pytest

from mounttool.errors import InputError
from mounttool.verify.subject import Case, Subject, cases

_TESTS = Path(__file__).parent / "test_mounts.py"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``detail`` is empty when it passed."""

    host: str
    mount: str
    check: str
    result: Literal["ok", "failed", "skipped"]
    detail: str = ""


def verify(subjects: Sequence[Subject], *, parallelism: int, junit: Path | None = None) -> list[Finding]:
    """Return a finding for each check of each subject; ``junit`` gets them as JUnit XML too.

    Raises:
        InputError: the JUnit file cannot be written.

    """
    observer = _Observer(cases(subjects), parallelism)
    arguments = ["-q", "-c", os.devnull, "--rootdir", str(_TESTS.parent), "-p", "no:cacheprovider", "--strict-markers"]
    # Whatever else is installed, and whatever the user's own pytest is told, stays out of this.
    arguments += ["--disable-plugin-autoload", "-o", "addopts="]
    if junit:
        arguments += [
            "--junitxml",
            str(_writable(junit)),
            "-o",
            "junit_family=xunit2",
            "-o",
            "junit_suite_name=mounttool",
        ]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*arguments, str(_TESTS)], plugins=[observer])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise RuntimeError(f"pytest ended with {status!r}: {said.getvalue()[-500:]}")
    return observer.findings


def _writable(path: Path) -> Path:
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise InputError(f"--junit {path}: {error.strerror}") from None
    return path.absolute()


class _Observer:
    """A pytest plugin: gives each test the cases of its kind, and keeps one line of each result."""

    def __init__(self, found: Sequence[Case], parallelism: int) -> None:
        self._cases = found
        self._pool = concurrent.futures.ThreadPoolExecutor(parallelism)
        self._answers: dict[str, concurrent.futures.Future[None]] = {}
        self.findings: list[Finding] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "check(kind): runs once for each check of this kind")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        marker = metafunc.definition.get_closest_marker("check")
        if marker is None:
            return
        wanted = [case for case in self._cases if case.check.kind == marker.args[0]]
        names = [f"{case.subject.session.host}-{case.plan.name}-{case.title}" for case in wanted]
        metafunc.parametrize("case", wanted, ids=names)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin with every node: its tests in their order, apart from the other nodes'."""
        of_node: dict[str, list[tuple[pytest.Function, Case]]] = defaultdict(list)
        for item in session.items:
            if isinstance(item, pytest.Function) and (case := _case(item)):
                of_node[case.subject.session.host].append((item, case))
                self._answers[item.nodeid] = concurrent.futures.Future()
        for tests in of_node.values():
            self._pool.submit(self._look, tests)

    def _look(self, tests: Sequence[tuple[pytest.Function, Case]]) -> None:
        for item, case in tests:
            # pytest skips these itself.
            if "usable" in item.fixturenames and not case.usable:
                continue
            known = {"host": case.subject.host, "check": case.check, "case": case}
            try:
                item.obj(**{name: known[name] for name in signature(item.obj).parameters})
            except BaseException as error:  # noqa: BLE001 - pytest's own outcomes are no Exceptions
                self._answers[item.nodeid].set_exception(error)
            else:
                self._answers[item.nodeid].set_result(None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Take the answer instead of asking once more."""
        self._answers[pyfuncitem.nodeid].result()
        return True

    def pytest_unconfigure(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        case = _case(item)
        if case and (report.when == "call" or not report.passed):
            self.findings.append(_finding(case, report, call))
        return report


def _case(item: pytest.Item) -> Case | None:
    """What the test looks at; pytest has an empty one for a kind of check that no plan has."""
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    case = params.get("case")
    return case if isinstance(case, Case) else None


def _finding(case: Case, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Finding:
    where = (case.subject.session.host, case.plan.name, case.title)
    if report.passed:
        return Finding(*where, "ok")
    said = str(call.excinfo.value).strip().splitlines() if call.excinfo else []
    detail = said[0].removeprefix("Skipped: ").removeprefix("AssertionError: ") if said else "failed"
    return Finding(*where, "skipped" if report.skipped else "failed", detail)
