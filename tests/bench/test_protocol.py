from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conditions import SIZE, Listener, conditions
from local_session import LocalSession

from mounttool.bench import protocol, workload
from mounttool.bench.protocol import Conditions, Prepared, RunSummary, prepare
from mounttool.bench.target import Target, baseline
from mounttool.bench.workload import Metadata
from mounttool.errors import HostError, InputError, UnsupportedError
from mounttool.results import ENGINE, SEALED, Row, load
from mounttool.session import Completed, Conversation

Stubs = Callable[[str, str], Path]


def measure(
    targets: list[Target], nodes: list[LocalSession], results: Path, asked: Conditions | None = None,
    listener: Listener | None = None,
) -> RunSummary:  # fmt: skip
    prepared = prepare(targets, nodes, asked or conditions(), results)
    return protocol.run(prepared, listener or Listener())


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("mounttool-bench-*")]


def on_tmpfs(path: Path) -> bool:
    said = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout
    return said == "tmpfs\n"


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSummary, Listener, Path]:
    """A real run over two places on this machine's disk."""
    folder = tmp_path_factory.mktemp("disks")
    (folder / "second disk").mkdir()
    targets = [baseline(str(folder)), Target("second/disk", "ebs", str(folder / "second disk"), shared=False)]
    listener = Listener()
    nodes = [LocalSession("node1"), LocalSession("node2")]
    summary = measure(targets, nodes, folder / "results", conditions(ranks=2), listener)
    return summary, listener, folder


def test_every_target_is_measured_in_every_block_after_one_warm_up(disks: tuple[RunSummary, Listener, Path]) -> None:
    found = {(row.block, row.warmup, row.target, row.phase, row.rank) for row in disks[0].rows}

    assert found == {
        (block, block == 0, target, phase, rank)
        for block in (0, 1)
        for target in ("local disk", "second/disk")
        for phase in ("write", "restore")
        for rank in (0, 1)
    }


def test_a_disk_is_proven_by_what_was_fetched_from_it(disks: tuple[RunSummary, Listener, Path]) -> None:
    for row in disks[0].rows:
        assert (row.bytes, row.checksum_ok, row.error) == (SIZE, True, "")
        assert row.valid is (row.phase == "write" or not on_tmpfs(disks[2])), row.invalid_reason
        assert row.wall_s > 0


def test_the_nodes_take_turns_and_every_repeat_has_data_of_its_own(disks: tuple[RunSummary, Listener, Path]) -> None:
    rows = disks[0].rows

    assert {(row.block, row.node) for row in rows} == {(0, "node1"), (1, "node2")}
    assert len({row.seed for row in rows}) == len({(row.block, row.target) for row in rows}) == 4


def test_rows_and_provenance_are_kept(disks: tuple[RunSummary, Listener, Path]) -> None:
    summary, listener, _ = disks

    assert len(load([summary.folder])) == len(summary.rows)
    assert sorted(path.name for path in summary.folder.iterdir()) == [SEALED, "run.json"]
    described = json.loads((summary.folder / "run.json").read_text(encoding="utf-8"))
    assert (described["seed"], described["size_bytes"], described["ranks"]) == (3, SIZE, 2)
    assert described["workload"]["name"] == "criu-full"
    assert [node["host"] for node in described["nodes"]] == ["node1", "node2"]
    assert len(listener.said) == 4
    assert [done for done, _, _ in listener.steps] == [0, 1, 2, 3]


def test_nothing_is_left_behind(disks: tuple[RunSummary, Listener, Path]) -> None:
    assert leftovers(disks[2]) == []


def test_operations_on_metadata_have_a_row_each(tmp_path: Path) -> None:
    few = workload.load("meta").model_copy(update={"metadata": Metadata(files=20, size="4KiB")})
    asked = conditions("meta", workload=few)
    summary = measure([baseline(str(tmp_path))], [LocalSession("node1")], tmp_path / "results", asked)

    assert [row.phase for row in summary.rows if row.block == 1] == ["create", "list", "rename", "delete"]
    assert {(row.files, row.valid, row.error) for row in summary.rows} == {(20, True, "")}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["criu-incr:50", "gang"])
def test_links_and_gangs_are_written_and_read_back_equal(name: str, tmp_path: Path) -> None:
    nodes = [LocalSession("node1"), LocalSession("node2")]
    summary = measure([baseline(str(tmp_path))], nodes, tmp_path / "results", conditions(name, ranks=2))

    assert {row.phase for row in summary.rows} == {"write", "restore"}
    assert all(row.checksum_ok and not row.error for row in summary.rows)
    assert {row.ranks for row in summary.rows} == {4 if name == "gang" else 2}
    assert leftovers(tmp_path) == []


@pytest.fixture
def shared(tmp_path: Path) -> Target:
    (tmp_path / "mnt").mkdir()
    return Target("jfs", "juicefs", str(tmp_path / "mnt"), shared=True, plan_digest="0123456789ab")


@pytest.fixture
def mounted(tmp_path: Path, stubs: Stubs) -> Path:
    """A PATH on which the shared target's folder passes for a mount point."""
    return stubs("stat", f'case "$*" in *%m*) echo {tmp_path}/mnt ;; *) exec {shutil.which("stat")} "$@" ;; esac')


def test_a_shared_mount_that_no_network_was_seen_to_carry_is_not_proven(
    tmp_path: Path, shared: Target, mounted: Path
) -> None:
    # What this machine's own network carries meanwhile says nothing.
    (tmp_path / "received").write_text("0", encoding="utf-8")
    counted = dataclasses.replace(shared, counter=str(tmp_path / "received"))
    nodes = [LocalSession("node1", mounted), LocalSession("node2", mounted)]
    listener = Listener()
    summary = measure([counted], nodes, tmp_path / "results", listener=listener)

    last = [row for row in summary.rows if row.block == 1]
    assert [(row.phase, row.node, row.valid, row.invalid_reason) for row in last] == [
        ("write", "node2", True, ""),
        ("restore", "node1", False, "not seen to come from the storage"),
    ]
    assert all(row.t_lag_s is not None and row.t_lag_s >= 0 for row in last if row.phase == "write")
    assert "restore not valid: not seen to come from the storage" in listener.said[-1]


def test_with_one_node_nothing_of_a_shared_mount_counts(tmp_path: Path, shared: Target, mounted: Path) -> None:
    summary = measure([shared], [LocalSession("node1", mounted)], tmp_path / "results")

    assert not any(row.valid for row in summary.rows)


def test_a_target_on_the_root_disk_is_refused_before_anything_is_written(
    tmp_path: Path, shared: Target, stubs: Stubs
) -> None:
    bare = stubs("stat", f'case "$*" in *%m*) echo / ;; *) exec {shutil.which("stat")} "$@" ;; esac')

    with pytest.raises(UnsupportedError, match="lies on the root disk"):
        measure([shared], [LocalSession("node1", bare)], tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_too_little_space_is_refused_before_anything_is_written(tmp_path: Path, shared: Target, stubs: Stubs) -> None:
    full = stubs("stat", f'case "$*" in *%m*) echo {tmp_path}/mnt ;; *) echo 256 4096 ;; esac')

    with pytest.raises(UnsupportedError, match=r"has 1 MiB free, 2\.1 MiB are needed"):
        measure([shared], [LocalSession("node1", full)], tmp_path / "results")


def test_a_target_that_fails_costs_itself_only(tmp_path: Path, stubs: Stubs) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    failing = stubs(
        "mkdir",
        f'case "$*" in *{tmp_path}/bad/*) echo "mkdir: Read-only file system" >&2; exit 1 ;; esac\n'
        'exec /bin/mkdir "$@"',
    )
    targets = [baseline(str(tmp_path / "good")), Target("bad", "ebs", str(tmp_path / "bad"), shared=False)]
    summary = measure(targets, [LocalSession("node1", failing)], tmp_path / "results")

    errors = {row.target: row.error for row in summary.rows}
    assert errors == {"local disk": "", "bad": "node1: make directory: mkdir: Read-only file system"}
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_a_finding_about_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], check=True)
    try:
        monkeypatch.setattr("mounttool.bench.measure.check", lambda *_: None)
        summary = measure([baseline(str(mount))], [LocalSession("node1")], tmp_path / "results")
    finally:
        subprocess.run(["umount", mount], check=True)

    last = [row for row in summary.rows if row.block == 1]
    assert [(row.phase, row.valid, row.invalid_reason) for row in last] == [
        ("write", False, "failed"),
        ("restore", False, "failed"),
    ]
    assert "No space left on device" in last[0].error
    assert last[1].error == "its write failed"


class Interrupted(LocalSession):
    """Stands for a user who presses Ctrl-C while a later block is written."""

    talks = 0

    def converse(self, program: str) -> Conversation:
        self.talks += 1
        # A block is written, read and verified.
        if self.talks > 4:
            raise KeyboardInterrupt
        return super().converse(program)


def test_after_an_interruption_what_is_complete_is_kept_and_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure([baseline(str(tmp_path))], [Interrupted("node1")], tmp_path / "results")

    assert set(load([tmp_path / "results"])["block"]) == {0}
    assert leftovers(tmp_path) == []


def test_a_directory_that_cannot_be_removed_is_told(tmp_path: Path, stubs: Stubs) -> None:
    stubs("sleep", "exit 0")
    failing = stubs("rm", "echo 'rm: Transport endpoint is not connected' >&2; exit 1")
    listener = Listener()
    measure([baseline(str(tmp_path))], [LocalSession("node1", failing)], tmp_path / "results", listener=listener)

    assert "could not be removed: node1: clean up: rm: Transport endpoint is not connected" in listener.said[0]


def test_a_node_that_stops_answering_ends_the_run_and_keeps_its_rows(tmp_path: Path) -> None:
    class Dying(Interrupted):
        def converse(self, program: str) -> Conversation:
            try:
                return super().converse(program)
            except KeyboardInterrupt:
                raise HostError(self.host, "run", "connection lost") from None

        def run(
            self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
        ) -> Completed:
            if script == "true":
                raise HostError(self.host, "run", "connection lost")
            return super().run(script, timeout_s=timeout_s, on_line=on_line)

    with pytest.raises(HostError, match="connection lost"):
        measure([baseline(str(tmp_path))], [Dying("node1")], tmp_path / "results")
    assert set(load([tmp_path / "results"])["block"]) == {0}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("targets", "nodes", "changes"),
    [
        ([], 1, {}),
        ([baseline("/scratch")], 0, {}),
        ([baseline("/scratch"), baseline("/other")], 1, {}),
        ([baseline("/scratch")], 1, {"repeats": (3, 2)}),
        ([baseline("/scratch")], 1, {"ranks": 0}),
    ],
)
def test_nonsense_is_refused(targets: list[Target], nodes: int, changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected"):
        measure(targets, [LocalSession("node1")] * nodes, tmp_path, conditions(**changes))


@pytest.fixture
def planned(tmp_path: Path) -> Prepared:
    targets = [baseline(str(tmp_path)), Target("jfs", "juicefs", str(tmp_path), shared=False)]
    return prepare(targets, [LocalSession("node1")], conditions(repeats=(6, 9)), tmp_path)


def played(prepared: Prepared, rates: Callable[[str, int], float]) -> list[tuple[int, str]]:
    """The blocks of a run whose targets are as fast as ``rates`` says."""
    rows: list[Row] = []
    order = []
    for target, trial, _ in protocol._blocks(prepared, rows):
        order.append((trial.block, target.name))
        for phase in ("write", "restore"):
            blank = protocol.failed(target, trial, phase, "node1", "")[0]
            wall_s = 1 / rates(target.name, trial.block)
            rows.append(dataclasses.replace(blank, wall_s=wall_s, valid=True, engine=ENGINE))
    return order


def test_a_target_is_done_when_its_median_is_narrow_and_the_others_go_on(planned: Prepared) -> None:
    order = played(planned, lambda name, block: 100 if name == "local disk" else 100 + 80 * (block % 2))

    assert [block for block, name in order if name == "local disk"] == list(range(7))
    assert [block for block, name in order if name == "jfs"] == list(range(10))


def test_blocks_are_in_random_order_that_the_seed_repeats(planned: Prepared) -> None:
    first, second = (played(planned, lambda *_: 100) for _ in range(2))

    assert first == second
    assert {name for _, name in first[::2]} == {"local disk", "jfs"}
