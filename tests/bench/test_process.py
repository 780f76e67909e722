"""A real process as a workload: what its moves become in a run. CRIU itself is tried in the lab."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from answering_nodes import LOOK, Answering, nodes
from conditions import JFS, Listener, conditions, trial

from mounttool.bench import measure, process, protocol, workload
from mounttool.bench.protocol import Prepared
from mounttool.bench.target import Target, Trial, baseline
from mounttool.errors import InputError, UnsupportedError
from mounttool.results import Row, load

BEFORE, AFTER = "memory a\n1\n2\n", "memory a\n1\n2\n3\n4\nmemory a\n"
TRIAL = trial("criu-live", ranks=1, block=2)


def moved(target: Target, sessions: list[Answering], of: Trial = TRIAL) -> tuple[Row, ...]:
    return measure.measure(target, sessions, of, progress=print)


def one_node(**restored: Any) -> Answering:
    """A node that dumps a process onto its own disk and restores it."""
    writer, reader = nodes(BEFORE, AFTER)
    restore = {**reader.answers["restore"], "received_bytes": 0, "fetched_bytes": 99, **restored}
    return Answering("node1", **{**reader.answers, **writer.answers, "restore": restore})


def test_a_move_is_told_as_a_write_and_a_restore_of_the_images_that_there_were() -> None:
    write, restore = moved(JFS, list(nodes(BEFORE, AFTER)))

    assert (write.phase, write.node, write.bytes, write.files, write.seed) == ("write", "node1", 100, 2, 7)
    assert (write.t_ack_s, write.t_flush_s, write.t_close_s, write.t_frozen_s) == (2.0, 0.5, None, 1.9)
    assert write.t_lag_s is not None
    assert write.wall_s == pytest.approx(2.5 + write.t_lag_s)
    assert (write.valid, write.checksum_ok, write.fsync_calls, write.nic_tx) == (True, True, 3, 110)
    assert (restore.phase, restore.node, restore.bytes, restore.wall_s) == ("restore", "node2", 100, 0.7)
    assert (restore.valid, restore.cold_verified, restore.resident_frac, restore.nic_rx) == (True, True, 0.0, 95)
    assert write.t_start_utc <= restore.t_start_utc


def test_its_rows_are_of_the_workload_and_of_the_criu_that_dumped() -> None:
    of = dataclasses.replace(TRIAL, where=dataclasses.replace(TRIAL.where, criu="4.1.1"))

    for row in moved(JFS, list(nodes(BEFORE, AFTER)), of):
        assert (row.workload, row.workload_version, row.size_bytes) == ("criu-live", 1, TRIAL.size_bytes)
        assert row.engine_version == "1, CRIU 4.1.1"


@pytest.mark.parametrize("seen", [{"received_bytes": 80}, {"resident": 0.2}])
def test_a_restore_that_was_not_seen_to_be_cold_is_kept_with_its_reason(seen: dict[str, Any]) -> None:
    writer, reader = nodes(BEFORE, AFTER)
    reader.answers["restore"] |= seen
    write, restore = moved(JFS, [writer, reader])

    assert (write.valid, restore.valid) == (True, False)
    assert restore.invalid_reason == "not seen to come from the storage"


def test_on_its_own_disk_a_process_comes_back_to_the_node_that_it_was_on() -> None:
    node = one_node()
    write, restore = moved(baseline("/scratch"), [node, Answering("node2")])

    assert node.asked == ["start", "dump", "restore", "end", "clean", "clean"]
    assert (write.node, write.wall_s, write.t_lag_s, write.valid) == ("node1", 2.5, None, True)
    assert (restore.node, restore.valid, restore.cold_verified) == ("node1", True, True)


def test_on_its_own_disk_a_restore_out_of_memory_is_not_valid() -> None:
    _, restore = moved(baseline("/scratch"), [one_node(fetched_bytes=0), Answering("node2")])

    assert restore.invalid_reason == "not seen to come from the storage"


def prepared(folder: Path, sessions: list[Answering]) -> Prepared:
    first = dataclasses.replace(TRIAL, raw=folder / "raw" / "r1")
    return Prepared((JFS,), tuple(sessions), conditions("criu-live"), (), first)


def both_ways() -> list[Answering]:
    """Two nodes of which each can be the one that writes."""
    writer, reader = nodes(BEFORE, AFTER)
    return [Answering(node.host, **{**reader.answers, **writer.answers}) for node in (writer, reader)]


def test_a_run_moves_a_process_there_and_another_one_back_with_other_bytes(tmp_path: Path) -> None:
    listener = Listener()
    summary = protocol.run(prepared(tmp_path, both_ways()), listener)

    assert [(row.block, row.phase, row.node, row.valid) for row in summary.rows] == [
        (0, "write", "node1", True),
        (0, "restore", "node2", True),
        (1, "write", "node2", True),
        (1, "restore", "node1", True),
    ]
    assert len({row.seed for row in summary.rows}) == 2
    assert len(load([tmp_path])) == 4
    assert re.match(
        r"repeat 1: jfs: write 4e-05 MB/s \(durable after 2\.5\d? s, frozen for 1\.9 s\) on", listener.said[1]
    )


def test_a_move_that_fails_is_kept_as_a_failure_of_both_phases(tmp_path: Path) -> None:
    sessions = both_ways()
    sessions[1].answers["restore"] = {"failed": ["Error: File has bad size"]}
    summary = protocol.run(prepared(tmp_path, sessions), Listener())

    assert [(row.phase, row.valid, row.invalid_reason) for row in summary.rows[:2]] == [
        ("write", False, "failed"),
        ("restore", False, "failed"),
    ]
    assert "node2: restore: Error: File has bad size" in summary.rows[0].error
    assert all(row.valid for row in summary.rows[2:])


def test_every_node_is_looked_at_as_the_one_that_restores(tmp_path: Path) -> None:
    sessions = [Answering("node1"), Answering("node2"), Answering("node3", look={**LOOK, "criu": ""})]

    with pytest.raises(UnsupportedError, match="node3: criu is not installed"):
        process.check(JFS, sessions, TRIAL.size_bytes)
    process.check(baseline(str(tmp_path)), sessions[:2], TRIAL.size_bytes)


@pytest.mark.parametrize("change", [('writers = "one"', 'writers = "all"'), ("[[file]]", "[metadata]")])
def test_a_process_is_dumped_by_one_node_into_files(change: tuple[str, str]) -> None:
    text = (Path(__file__).parents[2] / "benchmarks/workloads/criu-live.toml").read_text(encoding="utf-8")
    assert change[0] in text

    with pytest.raises(InputError, match=r"benchmarks/workloads/criu-live\.toml: "):
        workload.parse("criu-live", text.replace(*change))
