"""How the tests that ship are run: every node at once, one answer each."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from mounttool.deliver.probe import Verdict
from mounttool.errors import HostError
from mounttool.plan import FreeSpace, Plan, Running
from mounttool.session import Completed
from mounttool.verify.run import verify
from mounttool.verify.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACTIVE = "ActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"


class Node:
    """A session whose node answers every question alike, in its own time."""

    def __init__(self, host: str, answer: str = ACTIVE, before: Callable[[], object] = bool) -> None:
        self.host = host
        self._answer = answer
        self._before = before

    def run(self, _script: str, **_options: object) -> Completed:
        self._before()
        return Completed(0, self._answer, "")

    def close(self) -> None:
        pass


def subject(node: Node, word: str = "ok") -> Subject:
    checks = (Running("data.service"), FreeSpace("/mnt/data", 1))
    plan = Plan(
        name="data", backend="local", mount_point="/mnt/data", data_path="/mnt/data", steps=(), checks=checks, caches=()
    )
    return Subject(node, (plan,), (Verdict(word, ""),), ())


def results(*subjects: Subject, parallelism: int = 8) -> dict[tuple[str, str], tuple[str, str]]:
    found = verify(subjects, parallelism=parallelism)
    return {(one.host, one.check.split()[0]): (one.result, one.detail) for one in found}


def test_nodes_are_looked_at_at_once() -> None:
    # Each answers only when the other is being asked, too.
    together = threading.Barrier(2, timeout=20)
    found = results(subject(Node("a", before=together.wait)), subject(Node("b", before=together.wait)))
    assert {found[host, "running"] for host in "ab"} == {("ok", "")}


def test_no_more_nodes_are_looked_at_at_once_than_were_allowed() -> None:
    alone = threading.Semaphore(1)

    def one_at_a_time() -> None:
        assert alone.acquire(blocking=False)
        alone.release()

    nodes = [subject(Node(str(number), before=one_at_a_time)) for number in range(5)]
    assert {results(*nodes, parallelism=1)[str(number), "running"] for number in range(5)} == {("ok", "")}


def test_a_node_that_fails_or_breaks_costs_only_its_own_checks() -> None:
    def broken() -> None:
        raise HostError("broken", "run", "the connection broke")

    found = results(
        subject(Node("well")), subject(Node("dead", "ActiveState=failed\n")), subject(Node("broken", before=broken))
    )
    assert found["well", "running"] == ("ok", "")
    assert found["dead", "running"] == ("failed", "ActiveState=failed")
    assert found["broken", "running"] == ("failed", "broken: run: the connection broke")


def test_paths_on_a_mount_that_does_not_answer_are_not_touched() -> None:
    found = results(subject(Node("a"), "hung"))
    assert found["a", "freespace"] == ("skipped", "not looked at: the mount is hung")


def test_an_interruption_is_no_defect() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results(subject(Node("a", before=stop)))


def test_junit_has_every_check(tmp_path: Path) -> None:
    verify([subject(Node("a")), subject(Node("b"))], parallelism=2, junit=tmp_path / "verify.xml")
    cases = ET.parse(tmp_path / "verify.xml").getroot().iter("testcase")  # noqa: S314 - our own file
    assert len([case for case in cases if "running" in str(case.get("name"))]) == 2
