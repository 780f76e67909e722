from __future__ import annotations

import math
from typing import Any

import pytest
from conditions import JFS, SIZE, trial

from mounttool.bench.rows import Restored, Wrote, failed, restored, written
from mounttool.bench.target import baseline
from mounttool.results import Row

TRIAL = trial()
WORK = TRIAL.works[0]


def write(*, equal: bool = True, on_one_node: bool = False, **changes: Any) -> Row:
    values = {"bytes": SIZE, "ack_s": 1.0, "flush_s": 2.0, "close_s": 0.5, "lag_s": 0.5, "fsync_calls": 22}
    wrote = Wrote(0, "node1", 10**18, **{**values, **changes})
    return written(JFS, TRIAL, WORK, wrote, equal=equal, on_one_node=on_one_node)


def restore(*, shared: bool = True, on_one_node: bool = False, **changes: Any) -> Row:
    values = {"bytes": SIZE, "wall_s": 2.0, "resident": 0.0, "received_bytes": SIZE, "node_bytes": SIZE, "equal": True}
    read = Restored(0, "node2", 10**18, **{**values, **changes})
    target = JFS if shared else baseline("/scratch")
    return restored(target, TRIAL, WORK, read, on_one_node=on_one_node)


def test_a_write_is_durable_when_another_node_has_it() -> None:
    row = write(latencies_ns={1000: 98, 5000: 1, 9000: 1})

    assert (row.valid, row.invalid_reason, row.wall_s, row.t_lag_s) == (True, "", 4.0, 0.5)
    assert (row.bw_ack, row.bw_durable) == (SIZE, SIZE / 4)
    assert (row.lat_p50_ns, row.lat_p99_ns, row.lat_max_ns, row.hist) == (1000, 5000, 9000, "1000:98 5000:1 9000:1")
    assert row.t_start_utc == "2001-09-09T01:46:40.000+00:00"


def test_rows_carry_their_conditions_and_their_price() -> None:
    row = write()

    assert (row.workload, row.workload_version, row.size_bytes, row.ranks, row.files) == ("criu-full", 1, SIZE, 2, 21)
    assert (row.instance_type, row.kernel, row.az, row.nic_baseline_gbps) == ("m6i.large", "6.12.0", "us-east-1a", 0.78)
    assert row.usd_requests == pytest.approx(21 * 5e-6)
    assert (row.backend_tier, row.price_date) == ("s3-standard", "2026-06")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": "No space left on device"}, "failed"),
        ({"bytes": SIZE - 1}, f"wrote {SIZE - 1} bytes of {SIZE}"),
        ({"on_one_node": True}, "no other node to read it"),
        ({"lag_s": math.inf}, "not seen from another node in time"),
        ({"equal": False}, "read back other bytes than were written"),
    ],
)
def test_a_write_that_is_not_proven_durable_is_kept_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    row = write(**changes)

    assert (row.valid, row.invalid_reason, row.bw_durable) == (False, reason, None)


def test_a_restore_that_came_over_the_network_is_cold() -> None:
    row = restore(received_bytes=int(0.95 * SIZE))

    assert (row.valid, row.cold_verified, row.nic_rx) == (True, True, int(0.95 * SIZE))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"received_bytes": int(0.85 * SIZE)}, "not seen to come from the storage"),
        ({"resident": 0.2}, "not seen to come from the storage"),
        ({"equal": False}, "read back other bytes than were written"),
        ({"bytes": 7}, f"read 7 bytes of {SIZE}"),
        ({"on_one_node": True}, "restored on the writing node"),
        ({"error": "Input/output error"}, "failed"),
    ],
)
def test_a_restore_that_is_not_proven_cold_and_remote_is_kept_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    row = restore(**changes)

    assert (row.valid, row.invalid_reason) == (False, reason)


@pytest.mark.parametrize(("fetched", "cold"), [(SIZE, True), (SIZE // 2, False)])
def test_the_baseline_is_cold_when_its_own_disk_was_read(fetched: int, cold: bool) -> None:  # noqa: FBT001 - a parameter
    assert restore(shared=False, received_bytes=0, fetched_bytes=fetched).cold_verified is cold


def test_a_phase_that_broke_off_has_a_row_for_each_rank() -> None:
    found = failed(JFS, TRIAL, "restore", "node1", "node1: No space left")

    assert [(row.phase, row.rank, row.valid, row.error) for row in found] == [
        ("restore", 0, False, "node1: No space left"),
        ("restore", 1, False, "node1: No space left"),
    ]
