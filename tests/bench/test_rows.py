from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mounttool.bench.fio import parse
from mounttool.bench.node import Measured
from mounttool.bench.rows import Phase, failed, rows
from mounttool.bench.target import Target, Trial, baseline
from mounttool.results import Row

DATA = Path(__file__).parent / "data"
SIZE = 8 * 2**20
JFS = Target("jfs", "juicefs", "/mnt/jfs", shared=True, plan_digest="0123456789ab")
TRIAL = Trial("r1", 1, SIZE, 2, nodes=2, seed=7, timeout_s=60, raw=Path("raw"))


def phase(name: str, host: str, *, received: int = 0, fetched: int = 0, wall_s: float = 2.0) -> Phase:
    output = parse((DATA / f"{name}_fio339_jsonplus.json").read_text(encoding="utf-8"))
    begin_ns = min(job.start_ms or 0 for job in output.jobs) * 10**6
    measured = Measured("", begin_ns - 3 * 10**8, begin_ns + int(wall_s * 1e9), received, fetched, "6.12.0")
    return Phase(name, host, measured, output)


def measured(
    target: Target = JFS,
    reader: str = "node2",
    restore: Phase | None = None,
    write: Phase | None = None,
    same: tuple[int, ...] = (0, 1),
) -> tuple[Row, ...]:
    restore = restore or phase("restore", reader, received=2 * SIZE)
    return rows(target, TRIAL, write or phase("write", "node1"), restore, {rank: rank in same for rank in (0, 1)})


def reasons(found: tuple[Row, ...]) -> dict[str, set[str]]:
    return {name: {row.invalid_reason for row in found if row.phase == name} for name in ("write", "restore")}


def test_a_restore_on_another_node_that_came_over_the_network_is_valid() -> None:
    found = measured()

    assert all(row.valid and not row.invalid_reason for row in found)
    assert [(row.phase, row.rank, row.node, row.cold_verified, row.nic_rx) for row in found] == [
        ("write", 0, "node1", None, None),
        ("write", 1, "node1", None, None),
        ("restore", 0, "node2", True, 2 * SIZE),
        ("restore", 1, "node2", True, 2 * SIZE),
    ]


def test_time_runs_from_the_first_rank_to_the_end_of_the_process() -> None:
    assert {row.wall_s for row in measured()} == {2.0}


def test_time_runs_from_the_start_of_the_process_where_fio_does_not_say_more() -> None:
    whole = phase("write", "node1")
    old = tuple(dataclasses.replace(job, start_ms=None) for job in whole.output.jobs)
    whole = dataclasses.replace(whole, output=dataclasses.replace(whole.output, jobs=old))

    assert measured(write=whole)[0].wall_s == pytest.approx(2.3)


def test_a_restore_that_the_network_did_not_carry_is_not_valid_but_its_write_is() -> None:
    found = measured(restore=phase("restore", "node2", received=int(1.7 * SIZE)))

    assert reasons(found) == {"write": {""}, "restore": {"not seen to come from the storage"}}


def test_nothing_about_a_shared_mount_is_proven_on_the_writing_node() -> None:
    found = measured(reader="node1")

    assert {row.invalid_reason for row in found} == {"restored on the writing node"}


@pytest.mark.parametrize(("fetched", "proven"), [(2 * SIZE, {(True, True, None)}), (SIZE, {(False, False, None)})])
def test_the_baseline_is_cold_when_its_own_disk_was_read(fetched: int, proven: set[object]) -> None:
    found = measured(baseline("/scratch"), restore=phase("restore", "node1", fetched=fetched))

    assert {(row.cold_verified, row.valid, row.nic_rx) for row in found if row.phase == "restore"} == proven


def test_other_bytes_spoil_the_rank_that_read_them() -> None:
    found = measured(same=(0,))

    assert [row.invalid_reason for row in found] == ["", "read back other bytes than were written"] * 2


def test_a_short_write_is_told() -> None:
    short = dataclasses.replace(TRIAL, size_bytes=SIZE + 1)
    found = rows(JFS, short, phase("write", "node1"), phase("restore", "node2", received=2 * SIZE), {0: True, 1: True})

    assert reasons(found)["write"] == {f"moved {SIZE} bytes of {SIZE + 1}"}


def test_a_clock_that_was_set_back_is_told() -> None:
    found = measured(write=phase("write", "node1", wall_s=-5))

    assert reasons(found)["write"] == {"the node's clock was set meanwhile"}


def test_a_repeat_that_broke_off_counts_in_both_phases() -> None:
    found = failed(JFS, TRIAL, "node1", "node1: fio: No space left on device")

    assert [(row.phase, row.rank) for row in found] == [("write", 0), ("write", 1), ("restore", 0), ("restore", 1)]
    assert {(row.valid, row.invalid_reason, row.error) for row in found} == {
        (False, "failed", "node1: fio: No space left on device")
    }
