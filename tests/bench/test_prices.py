from __future__ import annotations

import pytest

from mounttool.bench import prices

GIB = 2**30


@pytest.mark.parametrize(
    ("backend", "tier", "write", "read"),
    # A checkpoint of 64 GiB, as worked out by hand from the price lists.
    [
        ("efs", "efs-elastic", 3.84, 1.92),
        ("mountpoint_s3", "s3-standard", 0.041, 0.0033),
        ("juicefs", "s3-standard", 0.082, 0.0066),
        ("mountpoint_s3", "s3-express", 0.214, 0.0386),
        ("fsx_lustre", "fsx-lustre", 0.0, 0.0),
    ],
)
def test_a_checkpoint_costs_what_the_price_list_says(backend: str, tier: str, write: float, read: float) -> None:
    sizes = [64 * GIB]
    written, read_back = prices.of_write(backend, tier, sizes), prices.of_read(backend, tier, sizes)

    assert written is not None
    assert read_back is not None
    assert written.total == pytest.approx(write, rel=0.01)
    assert read_back.total == pytest.approx(read, rel=0.02)


def test_each_small_file_is_a_request() -> None:
    found = prices.of_write("juicefs", "s3-standard", [4096] * 1000)

    assert found is not None
    assert found.requests == pytest.approx(0.005)


def test_keeping_costs_by_the_month() -> None:
    found = prices.of_write("efs", "efs-elastic", [GIB], kept_s=30 * 86400)

    assert found is not None
    assert found.storage == pytest.approx(0.30)


def test_what_nobody_knows_costs_no_invented_sum() -> None:
    assert prices.of_write("juicefs", "", [GIB]) is None
    assert prices.of_read("s3files", "", [GIB]) is None


def test_prices_have_a_date_and_a_source() -> None:
    assert prices.load().date
    assert all(tier.source for tier in prices.load().tier.values())
