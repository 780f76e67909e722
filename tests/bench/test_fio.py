from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool.bench.fio import merge_bins, parse, percentile_of_bins
from mounttool.errors import ResultsError

DATA = Path(__file__).parent / "data"
MIB = 2**20


def text(name: str) -> str:
    return (DATA / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "direction", "version"),
    [
        ("write_fio333_json", "write", "fio-3.33"),
        ("write_fio339_jsonplus", "write", "fio-3.39"),
        ("restore_fio339_jsonplus", "read", "fio-3.39"),
    ],
)
def test_each_rank_is_a_job_with_its_bytes_and_percentiles(name: str, direction: str, version: str) -> None:
    output = parse(text(name))

    assert output.version == version
    done = [job.transfer("read" if direction == "read" else "write") for job in output.jobs]
    assert [one.io_bytes for one in done] == [8 * MIB, 8 * MIB]
    assert all(one.runtime_ms > 0 and one.latency.count == 8 for one in done)
    assert all(0 < one.latency.percentiles_ns[50.0] <= one.latency.percentiles_ns[99.0] for one in done)


def test_a_job_says_when_it_started_since_fio_3_36_only() -> None:
    assert {job.start_ms for job in parse(text("write_fio333_json")).jobs} == {None}
    assert all((job.start_ms or 0) > 1.7e12 for job in parse(text("write_fio339_jsonplus")).jobs)


def test_the_sum_over_clients_is_not_one_more_rank() -> None:
    output = parse(text("client_server_fio333_jsonplus"))

    assert [(job.hostname, job.write.io_bytes) for job in output.jobs] == [("127.0.0.1", MIB), ("127.0.0.1", MIB)]


def test_a_rank_that_met_a_full_device_carries_its_errno() -> None:
    assert [job.error for job in parse(text("full_fio333_json")).jobs] == [28, 28]


def test_warnings_before_the_json_are_skipped_even_with_braces() -> None:
    assert parse("fio: odd {thing}\n" + text("write_fio333_json")) == parse(text("write_fio333_json"))


def test_json_without_bins_has_none() -> None:
    assert [dict(job.write.latency.bins) for job in parse(text("write_fio333_json")).jobs] == [{}, {}]


def test_percentiles_from_bins_are_those_that_fio_gives() -> None:
    for job in parse(text("write_fio339_jsonplus")).jobs:
        latency = job.write.latency
        for percent in (50.0, 95.0, 99.0):
            assert percentile_of_bins(latency.bins, percent) == latency.percentiles_ns[percent]


@pytest.mark.parametrize(
    "damaged", ["", "fio: out of memory\n", '{\n  "fio version" : "fio-3.39",\n', '{\n "jobs": 3}\n']
)
def test_what_is_not_a_result_is_refused(damaged: str) -> None:
    with pytest.raises(ResultsError, match="fio"):
        parse(damaged)


BINS = st.dictionaries(st.integers(1, 10**9), st.integers(1, 1000), max_size=20)


@given(st.lists(BINS, max_size=5))
def test_merging_keeps_every_call(histograms: list[dict[int, int]]) -> None:
    merged = merge_bins(histograms)

    assert merged == dict(sum((Counter(one) for one in histograms), Counter()))
    assert list(merged) == sorted(merged)


@given(BINS.filter(bool), st.floats(0.01, 100))
def test_a_percentile_is_the_least_latency_that_enough_calls_kept(bins: dict[int, int], percent: float) -> None:
    found = percentile_of_bins(bins, percent)
    calls = sum(bins.values())

    assert sum(count for latency, count in bins.items() if latency <= found) >= calls * percent / 100
    assert sum(count for latency, count in bins.items() if latency < found) < calls * percent / 100


def test_no_calls_have_no_percentile() -> None:
    with pytest.raises(ResultsError, match="no percentile 50 of 0 calls"):
        percentile_of_bins({}, 50)
