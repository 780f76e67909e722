from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from local_session import LocalSession

from mounttool.bench.protocol import RunSummary, run
from mounttool.bench.target import Target, baseline
from mounttool.errors import HostError, InputError, UnsupportedError
from mounttool.results import load
from mounttool.session import Completed

SIZE = 4 * 2**20
VERSION = '[ "$1" != --version ] || { echo fio-3.39; exit; }\n'


def measure(
    targets: list[Target], nodes: list[LocalSession], results: Path, said: list[str] | None = None
) -> RunSummary:
    progress = [].append if said is None else said.append
    return run(
        targets, nodes, size_bytes=SIZE, ranks=2, repeats=1, results=results, progress=progress, timeout_s=60, seed=3
    )


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("mounttool-bench-*")]


def on_tmpfs(path: Path) -> bool:
    return (
        subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout == "tmpfs\n"
    )


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory, needs_fio: None) -> tuple[RunSummary, list[str], Path]:
    """A real run over two places on this machine's disk."""
    assert needs_fio is None
    folder = tmp_path_factory.mktemp("disks")
    (folder / "second disk").mkdir()
    targets = [baseline(str(folder)), Target("second/disk", "ebs", str(folder / "second disk"), shared=False)]
    said: list[str] = []
    return measure(targets, [LocalSession("node1"), LocalSession("node2")], folder / "results", said), said, folder


def test_every_target_is_measured_in_every_block_after_one_warm_up(disks: tuple[RunSummary, list[str], Path]) -> None:
    found = {(row.block, row.warmup, row.target, row.phase, row.rank) for row in disks[0].rows}

    assert found == {
        (block, block == 0, target, phase, rank)
        for block in (0, 1)
        for target in ("local disk", "second/disk")
        for phase in ("write", "restore")
        for rank in (0, 1)
    }


def test_a_disk_is_proven_by_what_was_fetched_from_it(disks: tuple[RunSummary, list[str], Path]) -> None:
    for row in disks[0].rows:
        assert (row.bytes, row.checksum_ok, row.error) == (SIZE, True, "")
        assert row.valid is (row.phase == "write" or not on_tmpfs(disks[2])), row.invalid_reason
        # The process as a whole cannot have taken less time than its ranks.
        assert 0 < row.bytes / row.wall_s <= row.bw_ack * 1.5


def test_the_nodes_take_turns(disks: tuple[RunSummary, list[str], Path]) -> None:
    assert {(row.block, row.node) for row in disks[0].rows} == {(0, "node1"), (1, "node2")}


def test_raw_output_rows_and_provenance_are_kept(disks: tuple[RunSummary, list[str], Path]) -> None:
    summary, said, _ = disks

    assert len(load([summary.folder])) == len(summary.rows)
    assert sorted(path.name for path in summary.folder.glob("001-*")) == [
        "001-local_disk-restore.json",
        "001-local_disk-write.json",
        "001-second_disk-restore.json",
        "001-second_disk-write.json",
    ]
    described = json.loads((summary.folder / "run.json").read_text(encoding="utf-8"))
    assert (described["seed"], described["size_bytes"], described["ranks"]) == (3, SIZE, 2)
    assert set(described["nodes"]) == {"node1", "node2"}
    assert len(said) == 4


def test_nothing_is_left_behind(disks: tuple[RunSummary, list[str], Path]) -> None:
    assert leftovers(disks[2]) == []


@pytest.fixture
def shared(tmp_path: Path) -> Target:
    (tmp_path / "mnt").mkdir()
    return Target("jfs", "juicefs", str(tmp_path / "mnt"), shared=True, plan_digest="0123456789ab")


@pytest.fixture
def mounted(tmp_path: Path, stubs: Callable[[str, str], Path]) -> Path:
    """A PATH on which the shared target's folder passes for a mount point."""
    return stubs("stat", f'case "$*" in *%m*) echo {tmp_path}/mnt ;; *) exec {shutil.which("stat")} "$@" ;; esac')


@pytest.mark.usefixtures("needs_fio")
def test_a_shared_mount_that_no_network_was_seen_to_carry_is_not_proven(
    tmp_path: Path, shared: Target, mounted: Path
) -> None:
    nodes = [LocalSession("node1", mounted), LocalSession("node2", mounted)]
    summary = measure([shared], nodes, tmp_path / "results")

    assert {(row.block, row.phase, row.node, row.valid, row.invalid_reason) for row in summary.rows} == {
        (0, "write", "node1", True, ""),
        (0, "restore", "node2", False, "not seen to come from the storage"),
        (1, "write", "node2", True, ""),
        (1, "restore", "node1", False, "not seen to come from the storage"),
    }


@pytest.mark.usefixtures("needs_fio")
def test_a_path_with_nothing_mounted_is_refused_before_anything_is_written(
    tmp_path: Path, shared: Target, stubs: Callable[[str, str], Path]
) -> None:
    bare = stubs("stat", f'case "$*" in *%m*) echo / ;; *) exec {shutil.which("stat")} "$@" ;; esac')

    with pytest.raises(UnsupportedError, match="lies on the root disk"):
        measure([shared], [LocalSession("node1", bare)], tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("needs_fio")
def test_too_little_space_is_refused_before_anything_is_written(
    tmp_path: Path, shared: Target, stubs: Callable[[str, str], Path]
) -> None:
    full = stubs("stat", f'case "$*" in *%m*) echo {tmp_path}/mnt ;; *) echo 1024 4096 ;; esac')

    with pytest.raises(UnsupportedError, match=r"has 4 MiB free, 8\.4 MiB are needed"):
        measure([shared], [LocalSession("node1", full)], tmp_path / "results")


def test_a_failing_fio_costs_its_own_target_only(tmp_path: Path, stubs: Callable[[str, str], Path]) -> None:
    failing = stubs(
        "fio",
        VERSION + 'echo "fio: pid=7, error=No space left on device" >&2; exit 2',
    )
    said: list[str] = []
    summary = measure([baseline(str(tmp_path))], [LocalSession("node1", failing)], tmp_path / "results", said)

    assert {row.error for row in summary.rows} == {"node1: fio: fio: pid=7, error=No space left on device"}
    assert not load([summary.folder])["valid"].any()
    assert said[-1].startswith("repeat 1/1: local disk: failed: node1: fio:")
    assert leftovers(tmp_path) == []


class Interrupted(LocalSession):
    """Stands for a user who presses Ctrl-C while fio runs on the node."""

    process: subprocess.Popen[str] | None = None

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        if "MOUNTTOOL_JOB" not in script:
            return super().run(script, timeout_s=timeout_s, on_line=on_line)
        self.process = subprocess.Popen(
            ["sh", "-c", script],
            env={**os.environ, "PATH": self._path},
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        directory = Path(script.partition("export DIR=")[2].split(maxsplit=1)[0])
        for _ in range(200):
            if (directory / "rank.0.bin").exists():
                raise KeyboardInterrupt
            time.sleep(0.05)
        raise AssertionError("fio never started")


def test_after_an_interruption_no_file_and_no_fio_is_left(tmp_path: Path, stubs: Callable[[str, str], Path]) -> None:
    endless = stubs("fio", VERSION + 'touch "$DIR/rank.0.bin"; sleep 60')
    session = Interrupted("node1", endless)

    with pytest.raises(KeyboardInterrupt):
        measure([baseline(str(tmp_path))], [session], tmp_path / "results")
    assert session.process is not None
    assert session.process.wait(timeout=10) != 0
    assert leftovers(tmp_path) == []


def test_a_directory_that_cannot_be_removed_is_told(tmp_path: Path, stubs: Callable[[str, str], Path]) -> None:
    stubs("rm", "echo 'rm: Transport endpoint is not connected' >&2; exit 1")
    failing = stubs("fio", VERSION + "exit 2")
    said: list[str] = []
    measure([baseline(str(tmp_path))], [LocalSession("node1", failing)], tmp_path / "results", said)

    assert "could not be removed: node1: clean up: rm: Transport endpoint is not connected" in said[0]


def test_a_node_that_stops_answering_ends_the_run_and_keeps_its_rows(
    tmp_path: Path, stubs: Callable[[str, str], Path]
) -> None:
    class Dying(LocalSession):
        def run(
            self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
        ) -> Completed:
            if sum("MOUNTTOOL_JOB" in one for one in self.scripts) == 1 and "MOUNTTOOL_JOB" in script:
                raise HostError(self.host, "run", "connection lost")
            return super().run(script, timeout_s=timeout_s, on_line=on_line)

    failing = stubs("fio", VERSION + "exit 2")
    with pytest.raises(HostError, match="connection lost"):
        measure([baseline(str(tmp_path))], [Dying("node1", failing)], tmp_path / "results")
    assert set(load([tmp_path / "results"])["block"]) == {0}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("targets", "nodes"),
    [([], 1), ([baseline("/scratch")], 0), ([baseline("/scratch"), baseline("/other")], 1)],
)
def test_nonsense_is_refused(targets: list[Target], nodes: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected"):
        measure(targets, [LocalSession("node1")] * nodes, tmp_path)
