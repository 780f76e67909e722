from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mounttool import histogram
from mounttool.bench.fio import Direction, parse
from mounttool.errors import ResultsError

DATA = Path(__file__).parent / "data" / "fio"
MIB = 2**20
VERSIONS = [f"3.{minor}" for minor in range(28, 43)]
every_version = pytest.mark.parametrize("version", VERSIONS)


def text(version: str, name: str) -> str:
    return gzip.decompress((DATA / version / f"{name}.json.gz").read_bytes()).decode()


def client_stats(version: str, name: str) -> list[dict[str, Any]]:
    whole = text(version, name)
    stats: list[dict[str, Any]] = json.loads(whole[whole.index("\n{\n") :])["client_stats"]
    return stats


def test_there_are_outputs_of_every_version() -> None:
    assert {folder.name for folder in DATA.iterdir()} == set(VERSIONS)
    assert {len(list(folder.iterdir())) for folder in DATA.iterdir()} == {8}


@every_version
@pytest.mark.parametrize(("name", "direction"), [("write_jsonplus", "write"), ("restore_json", "read")])
def test_each_rank_is_a_job_with_its_bytes_and_percentiles(version: str, name: str, direction: Direction) -> None:
    output = parse(text(version, name))

    assert output.version == f"fio-{version}"
    done = [job.transfer(direction) for job in output.jobs]
    assert [(one.io_bytes, one.latency.count, one.short_ios) for one in done] == [(8 * MIB, 8, 0)] * 2
    assert all(one.runtime_ms > 0 for one in done)
    assert all(one.latency.max_ns > 0 for one in done)
    if name.endswith("plus"):
        assert all(0 < one.latency.percentiles_ns[50.0] <= one.latency.percentiles_ns[99.0] for one in done)


@every_version
@pytest.mark.parametrize(("name", "direction"), [("clients_write_jsonplus", "write"), ("clients_restore_json", "read")])
def test_the_sum_over_clients_is_not_one_more_rank(version: str, name: str, direction: Direction) -> None:
    output = parse(text(version, name))

    assert [(job.hostname, job.transfer(direction).io_bytes) for job in output.jobs] == [
        ("127.0.0.2", 8 * MIB), ("127.0.0.2", 8 * MIB), ("127.0.0.3", 8 * MIB), ("127.0.0.3", 8 * MIB),
    ]  # fmt: skip
    (total,) = [row for row in client_stats(version, name) if row["jobname"] == "All clients"]
    assert total[direction]["io_bytes"] == sum(job.transfer(direction).io_bytes for job in output.jobs)


@every_version
@pytest.mark.parametrize(("name", "direction"), [("clients_write_jsonplus", "write"), ("clients_restore_json", "read")])
def test_bytes_over_the_runtime_are_the_bandwidth_that_fio_gives(version: str, name: str, direction: Direction) -> None:
    rows = [row for row in client_stats(version, name) if row["jobname"] != "All clients"]
    by_fio = sorted((row["hostname"], row[direction]["bw_bytes"]) for row in rows)
    done = [(job.hostname, job.transfer(direction)) for job in parse(text(version, name)).jobs]

    assert sorted((host, one.io_bytes * 1000 // one.runtime_ms) for host, one in done) == by_fio


@every_version
def test_a_single_client_has_no_sum(version: str) -> None:
    assert [job.hostname for job in parse(text(version, "client_write_jsonplus")).jobs] == ["127.0.0.2"] * 2


def test_clients_are_told_apart_in_whatever_order_they_ended() -> None:
    orders: Counter[str] = Counter()
    for version, name in itertools.product(VERSIONS, ("clients_write_jsonplus", "clients_restore_json")):
        orders["".join(row["hostname"][-1] for row in client_stats(version, name)[:-1])] += 1
        assert [job.hostname[-1] for job in parse(text(version, name)).jobs] == list("2233")

    # One host after the other, the other one first, and one host's rows between the other's.
    assert {"2233", "3322"} < set(orders), orders


@every_version
def test_a_rank_that_met_a_full_device_carries_its_errno(version: str) -> None:
    assert [job.error for job in parse(text(version, "full_json")).jobs] == [28, 28]
    assert [(job.hostname, job.error) for job in parse(text(version, "clients_full_json")).jobs] == [
        ("127.0.0.2", 0), ("127.0.0.2", 0), ("127.0.0.3", 28), ("127.0.0.3", 28),
    ]  # fmt: skip


@every_version
def test_a_job_may_have_any_name_and_a_description_with_a_tab(version: str) -> None:
    assert parse(text(version, "odd_json")).jobs[0].name == "All clients"


@every_version
def test_a_job_that_never_started_has_no_bytes(version: str) -> None:
    absent = parse(text(version, "odd_json")).jobs[1]

    assert (absent.name, absent.read.io_bytes, absent.read.runtime_ms) == ("absent", 0, 0)


def test_warnings_before_the_json_are_skipped_even_with_braces() -> None:
    assert parse("fio: odd {thing}\n" + text("3.42", "full_json")) == parse(text("3.42", "full_json"))


@every_version
def test_json_without_bins_has_none(version: str) -> None:
    assert [dict(job.read.latency.bins) for job in parse(text(version, "restore_json")).jobs] == [{}, {}]


@every_version
@pytest.mark.parametrize("name", ["write_jsonplus", "client_write_jsonplus", "clients_write_jsonplus"])
def test_percentiles_from_bins_are_those_that_fio_gives(version: str, name: str) -> None:
    for job in parse(text(version, name)).jobs:
        latency = job.write.latency
        found = {percent: histogram.percentile(latency.bins, percent) for percent in latency.percentiles_ns}
        assert found == latency.percentiles_ns
        assert len(found) == 17


@pytest.mark.parametrize("version", [version for version in VERSIONS if version >= "3.39"])
def test_merged_bins_are_those_that_fio_merges_itself_since_3_39(version: str) -> None:
    jobs = parse(text(version, "clients_write_jsonplus")).jobs
    merged = histogram.merge(job.write.latency.bins for job in jobs)

    by_fio = client_stats(version, "clients_write_jsonplus")[-1]["write"]["clat_ns"]
    assert merged == {int(latency): calls for latency, calls in by_fio["bins"].items()}
    for percent, latency_ns in by_fio["percentile"].items():
        assert histogram.percentile(merged, float(percent)) == latency_ns


def test_an_output_with_both_directions_in_one_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(ResultsError, match="fio's output lacks 'read'"):
        parse(text("3.42", "write_jsonplus").replace('"read" :', '"mixed" :'))


@pytest.mark.parametrize(
    "damaged", ["", "fio: out of memory\n", '{\n  "fio version" : "fio-3.39",\n', '{\n "jobs": 3}\n']
)
def test_what_is_not_a_result_is_refused(damaged: str) -> None:
    with pytest.raises(ResultsError, match="fio"):
        parse(damaged)
