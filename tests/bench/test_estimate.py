from __future__ import annotations

import pytest

from mounttool.bench import workload
from mounttool.bench.estimate import Estimate, estimate, hold_to
from mounttool.bench.target import Target, baseline
from mounttool.errors import InputError

GIB = 2**30
EFS = Target("efs", "efs", "/mnt/efs", shared=True, tier="efs-elastic")
LAB = Target("lab", "juicefs", "/mnt/jfs", shared=True)


def found(*targets: Target, gbps: float | None = 10.0) -> Estimate:
    works = workload.load("criu-full").work(size_bytes=64 * GIB, ranks=1, seed=1)
    return estimate(targets, works, (10, 30), gbps=gbps)


def test_a_run_costs_its_writes_and_both_of_its_reads() -> None:
    usd = found(EFS, baseline("/scratch")).usd

    assert usd == pytest.approx(31 * (3.84 + 2 * 1.92))


def test_bounds_of_time_come_from_the_network_and_from_a_slow_storage() -> None:
    both = found(EFS)

    assert both.at_least_s == pytest.approx(11 * (3 * 64 * GIB / 1.25e9 + 2))
    assert both.at_most_s == pytest.approx(31 * (3 * 64 * GIB / 50e6 + 2))
    assert found(EFS, gbps=1.0).at_least_s > both.at_least_s == found(EFS, gbps=None).at_least_s


def test_a_budget_that_may_be_exceeded_is_refused_before_the_run() -> None:
    hold_to(240, found(EFS))
    with pytest.raises(InputError, match=r"--budget 200: this run may cost 238\.\d+ USD"):
        hold_to(200, found(EFS))


def test_a_budget_cannot_be_held_where_nobody_knows_the_price() -> None:
    unknown = found(EFS, LAB)

    assert (unknown.usd, unknown.unpriced) == (None, ("lab",))
    with pytest.raises(InputError, match="nobody knows what lab costs"):
        hold_to(1e6, unknown)
