from __future__ import annotations

from typing import Any

import pytest
from example_rows import row

from mounttool.errors import ResultsError
from mounttool.report.compare import Figures, compare
from mounttool.results import BASELINE, ONE_FILE, Row, to_frame

MIB = 2**20


def repeats(seconds: list[float], **changes: Any) -> list[Row]:
    return [row(block=block, repeat=block, wall_s=wall_s, **changes) for block, wall_s in enumerate(seconds, start=1)]


def only(rows: list[Row]) -> Figures:
    (figures,) = compare(to_frame(rows)).figures
    return figures


def test_a_repeat_is_as_fast_as_its_slowest_rank() -> None:
    figures = only([row(rank=0, ranks=2, wall_s=2.0), row(rank=1, ranks=2, wall_s=8.0)])

    assert figures.rates == (2 * 512 * MIB / 8.0,)


def test_warm_ups_do_not_count() -> None:
    assert only([row(block=0, repeat=0, warmup=True, wall_s=100.0), *repeats([4.0, 4.0])]).rates == (128 * MIB,) * 2


def test_a_single_repeat_has_no_interval_and_no_variation() -> None:
    figures = only(repeats([4.0]))

    assert (figures.median, figures.interval, figures.cv) == (128 * MIB, None, None)


def test_equal_repeats_have_an_interval_without_width() -> None:
    figures = only(repeats([4.0] * 5))

    assert (figures.interval, figures.cv) == ((128 * MIB, 128 * MIB), 0.0)


def test_the_same_rows_give_the_same_interval() -> None:
    rows = to_frame(repeats([4.0, 5.0, 3.0, 4.5]))

    assert compare(rows) == compare(rows)


def test_one_invalid_rank_leaves_its_repeat_out() -> None:
    rows = [
        row(rank=0, ranks=2, block=1),
        row(rank=1, ranks=2, block=1, valid=False, invalid_reason="read back other bytes than were written"),
        row(rank=0, ranks=2, block=2),
        row(rank=1, ranks=2, block=2),
    ]
    comparison = compare(to_frame(rows))

    assert (len(comparison.figures[0].rates), comparison.figures[0].invalid) == (1, 1)
    assert [(one.reason, one.repeats) for one in comparison.left_out] == [
        ("read back other bytes than were written", 1)
    ]


def test_failures_are_listed_with_what_went_wrong() -> None:
    rows = repeats([0.0, 0.0], valid=False, invalid_reason="failed", error="node1: No space left", bytes=0)
    comparison = compare(to_frame(rows))

    assert (comparison.figures[0].median, comparison.figures[0].ratio) == (None, None)
    assert comparison.left_out[0].reason == "failed: node1: No space left"


def test_targets_are_ranked_by_median_and_the_unproven_come_last() -> None:
    rows = [
        *repeats([4.0], target="slow"),
        *repeats([0.1], target="unproven", valid=False, invalid_reason="not seen to come from the storage"),
        *repeats([2.0], target="fast"),
    ]

    assert [one.target for one in compare(to_frame(rows)).figures] == ["fast", "slow", "unproven"]


def test_ratios_are_to_the_baseline_of_the_same_phase() -> None:
    rows = [
        *repeats([2.0, 2.0], target="disk", backend=BASELINE, mount_opts_hash=""),
        *repeats([4.0, 4.0]),
        *repeats([4.0, 4.0], phase="restore"),
    ]

    assert {(one.target, one.phase): one.ratio for one in compare(to_frame(rows)).figures} == {
        ("disk", "write"): 1.0,
        ("jfs", "write"): 0.5,
        ("jfs", "restore"): None,
    }


def test_rows_of_different_sizes_are_refused_unless_asked_and_then_named() -> None:
    frame = to_frame([row(), row(size_bytes=64 * MIB, block=2)])

    with pytest.raises(ResultsError, match="rows differ in size_bytes"):
        compare(frame)
    assert "64 MiB or 512 MiB per rank" in compare(frame, allow=["size_bytes"]).title


def test_the_title_says_what_was_measured() -> None:
    assert compare(to_frame([row()])).title == "criu-full: 512 MiB per rank, ranks: 1, nodes: 2, 2026-03-01"


@pytest.mark.parametrize(("wall_s", "notes"), [(0.1, 1), (5.0, 0)])
def test_short_phases_are_told(wall_s: float, notes: int) -> None:
    assert len(compare(to_frame(repeats([wall_s]))).notes) == notes


@pytest.mark.parametrize(("count", "notes"), [(1, 0), (2, 1), (5, 1), (6, 0)])
def test_an_interval_from_too_few_repeats_is_told(count: int, notes: int) -> None:
    assert len(compare(to_frame(repeats([5.0] * count))).notes) == notes


def test_warm_ups_alone_cannot_be_compared() -> None:
    with pytest.raises(ResultsError, match="warm-ups only"):
        compare(to_frame([row(warmup=True)]))


def test_the_time_of_a_write_is_told_step_by_step_for_the_slowest_rank() -> None:
    figures = only([row(rank=0, ranks=2), row(rank=1, ranks=2, t_lag_s=2.5, wall_s=6.0)])

    assert figures.rates == (2 * 512 * MIB / 6.0,)
    assert figures.acknowledged == 2 * 512 * MIB
    assert figures.steps_s == (1.0, 2.0, 0.5, 2.5)
    assert figures.usd == pytest.approx(0.0012)


def test_a_cost_that_nobody_knows_is_none() -> None:
    assert only([row(rank=0, ranks=2), row(rank=1, ranks=2, usd_requests=None)]).usd is None


def test_a_repeat_without_all_its_ranks_is_left_out() -> None:
    comparison = compare(to_frame([row(rank=0, ranks=2)]))

    assert (comparison.figures[0].median, comparison.figures[0].invalid) == (None, 1)
    assert comparison.left_out[0].reason == "cut off before all ranks were kept"


def test_neighbours_are_told_apart_or_not() -> None:
    fast, near = [4.0 + step / 100 for step in range(10)], [4.05 + step / 100 for step in range(10)]
    slow = [8.0 + step / 100 for step in range(10)]
    rows = [*repeats(fast, target="fast"), *repeats(near, target="near"), *repeats(slow, target="slow")]
    first, second = compare(to_frame(rows)).pairs

    assert (first.faster, first.slower, second.slower) == ("fast", "near", "slow")
    assert second.ratio == pytest.approx(8.045 / 4.095, rel=0.01)
    assert first.p is not None
    assert second.p is not None
    assert second.p < 0.001 < first.p


def test_operations_on_metadata_are_counted_in_files() -> None:
    assert only([row(phase="create", files=500, bytes=0, wall_s=2.0)]).rates == (250.0,)


def test_survival_is_a_share_with_its_interval() -> None:
    rows = [row(phase="kill", repeat=number, checksum_ok=number > 3, wall_s=0.0) for number in range(1, 11)]
    comparison = compare(to_frame(rows))

    (found,) = comparison.survivals
    assert (found.acknowledged, found.survived, comparison.figures) == (10, 7, ())
    assert found.interval == (pytest.approx(0.3475, abs=1e-4), pytest.approx(0.9333, abs=1e-4))


@pytest.mark.parametrize(("seconds", "flagged"), [(2.9, False), (3.2, False), (2.0, True), (3.5, True)])
def test_engines_that_disagree_on_the_same_calls_flag_the_run(seconds: float, flagged: bool) -> None:  # noqa: FBT001 - a parameter
    other = row(engine="fio", engine_version="fio-3.39", t_ack_s=seconds, t_flush_s=None, wall_s=seconds)
    comparison = compare(to_frame([row(), row(engine=ONE_FILE, wall_s=3.0), other]))

    assert any(note.startswith("flagged: jfs, write: fio says") for note in comparison.notes) is flagged
    assert len(comparison.figures[0].rates) == 1


def test_another_engine_alone_is_not_ranked() -> None:
    with pytest.raises(ResultsError, match="does not say when a checkpoint is durable"):
        compare(to_frame([row(engine="fio")]))


def test_percentiles_of_calls_are_those_of_all_ranks_and_repeats_together() -> None:
    rows = [
        row(block=1, rank=0, ranks=2, hist="10:98 500:1", lat_max_ns=510),
        row(block=1, rank=1, ranks=2, hist="10:1", lat_max_ns=10),
        row(block=2, rank=0, ranks=2, hist="", lat_max_ns=None),
        row(block=3, ranks=2, valid=False, invalid_reason="failed", hist="9000:50", lat_max_ns=9000),
        row(block=1, engine="fio", engine_version="fio-3.39", hist="20:1", lat_max_ns=20),
    ]
    fio, own = compare(to_frame([*rows, row(engine=ONE_FILE)])).calls

    # No rank's p99, nor the mean of both.
    assert (own.calls, own.percentiles_ns, own.max_ns) == (100, (10, 10, 10), 510)
    assert (fio.engine, fio.percentiles_ns) == ("fio", (20, 20, 20))
