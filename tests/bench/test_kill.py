from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conditions import Listener, conditions
from local_session import LocalSession

from mounttool.bench import kill, protocol
from mounttool.bench.protocol import RunSummary
from mounttool.bench.target import Target, baseline
from mounttool.errors import HostError, InputError
from mounttool.results import load
from mounttool.session import Completed

Stubs = Callable[[str, str], Path]


class Mortal(LocalSession):
    """A node whose power can be cut."""

    dead = False

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        if self.dead:
            raise HostError(self.host, "run", "no answer")
        return super().run(script, timeout_s=timeout_s, on_line=on_line)


class Killer:
    """Cuts the power; ``lose`` is called with what the node then takes away with it."""

    def __init__(
        self, nodes: list[Mortal], lose: Callable[[], None], *, deadly: bool = True, back: bool = True
    ) -> None:
        self.nodes = {node.host: node for node in nodes}
        self.lose = lose
        self.deadly = deadly
        self.back = back
        self.killed: list[str] = []

    def kill(self, host: str) -> None:
        self.killed.append(host)
        self.nodes[host].dead = self.deadly
        self.lose()

    def revive(self, host: str) -> None:
        self.nodes[host].dead = not self.back


@pytest.fixture
def nodes(tmp_path: Path, stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> list[Mortal]:
    (tmp_path / "mnt").mkdir()
    mounted = stubs("stat", f'case "$*" in *%m*) echo {tmp_path}/mnt ;; *) exec {shutil.which("stat")} "$@" ;; esac')
    for name in ("WINDOW_S", "BACK_S"):
        monkeypatch.setattr(kill, name, 0.2)
    return [Mortal("node1", mounted), Mortal("node2", mounted)]


def killed(tmp_path: Path, nodes: list[Mortal], killer: Killer, listener: Listener) -> RunSummary:
    targets = [Target("jfs", "juicefs", str(tmp_path / "mnt"), shared=True), baseline(str(tmp_path))]
    prepared = protocol.prepare(targets, nodes, conditions(repeats=(2, 2)), tmp_path / "results")
    return kill.run(prepared, killer, listener)


def test_what_a_storage_has_when_its_writer_is_gone_survives(tmp_path: Path, nodes: list[Mortal]) -> None:
    killer, listener = Killer(nodes, lambda: None), Listener()
    summary = killed(tmp_path, nodes, killer, listener)

    assert [(row.target, row.phase, row.node, row.valid, row.checksum_ok) for row in summary.rows] == [
        ("jfs", "kill", "node2", True, True),
        ("jfs", "kill", "node1", True, True),
    ]
    assert killer.killed == ["node2", "node1"]
    assert listener.said[-1] == "kill 2: jfs: the acknowledged checkpoint was restored"
    assert not list((tmp_path / "mnt").iterdir())
    assert len(load([summary.folder])) == 2


@pytest.mark.parametrize("harm", ["gone", "other bytes"])
def test_what_was_acknowledged_and_is_not_there_is_lost(
    tmp_path: Path, nodes: list[Mortal], harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill, "PATIENCE_S", 0.5)

    def lose() -> None:
        for file in (tmp_path / "mnt").rglob("pages-1.img"):
            file.unlink() if harm == "gone" else file.write_bytes(b"zeros")

    listener = Listener()
    summary = killed(tmp_path, nodes, Killer(nodes, lose), listener)

    assert [(row.valid, row.checksum_ok) for row in summary.rows] == [(True, False)] * 2
    assert listener.said[-1] == "kill 2: jfs: the acknowledged checkpoint is LOST"


def test_a_writer_that_still_answers_was_not_killed(tmp_path: Path, nodes: list[Mortal]) -> None:
    summary = killed(tmp_path, nodes, Killer(nodes, lambda: None, deadly=False), Listener())

    assert {(row.valid, row.invalid_reason) for row in summary.rows} == {(False, "the writer was not gone")}


def test_a_node_that_does_not_come_back_ends_the_run_with_what_is_known(tmp_path: Path, nodes: list[Mortal]) -> None:
    listener = Listener()
    summary = killed(tmp_path, nodes, Killer(nodes, lambda: None, back=False), listener)

    assert [(row.valid, row.checksum_ok) for row in summary.rows] == [(True, True)]
    assert any(text.startswith("node2 does not come back") for text in listener.said)
    assert listener.said[-1] == "too few nodes are left to go on"
    assert not list((tmp_path / "mnt").iterdir())


@pytest.mark.parametrize("name", ["gang", "meta"])
def test_only_what_one_node_writes_can_lose_its_writer(tmp_path: Path, nodes: list[Mortal], name: str) -> None:
    targets = [Target("jfs", "juicefs", str(tmp_path / "mnt"), shared=True)]
    prepared = protocol.prepare(targets, nodes, conditions(name), tmp_path / "results")

    with pytest.raises(InputError, match="a workload that one node writes"):
        kill.run(prepared, Killer(nodes, lambda: None), Listener())
