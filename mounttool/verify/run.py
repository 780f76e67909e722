"""Runs the tests that ship, by pytest, and returns what they found."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
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


def verify(subjects: Sequence[Subject], *, junit: Path | None = None) -> list[Finding]:
    """Return a finding for each check of each subject; ``junit`` gets them as JUnit XML too.

    Raises:
        InputError: the JUnit file cannot be written.

    """
    observer = _Observer(cases(subjects))
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

    def __init__(self, found: Sequence[Case]) -> None:
        self._cases = found
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

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        case = params.get("case")
        if isinstance(case, Case) and (report.when == "call" or not report.passed):
            self.findings.append(_finding(case, report, call))
        return report


def _finding(case: Case, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Finding:
    where = (case.subject.session.host, case.plan.name, case.title)
    if report.passed:
        return Finding(*where, "ok")
    said = str(call.excinfo.value).strip().splitlines() if call.excinfo else []
    detail = said[0].removeprefix("Skipped: ").removeprefix("AssertionError: ") if said else "failed"
    return Finding(*where, "skipped" if report.skipped else "failed", detail)
