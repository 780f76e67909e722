from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mounttool import intervals

RATES = st.lists(st.floats(0.1, 100), min_size=2, max_size=12)


@settings(max_examples=20)
@given(RATES)
def test_an_interval_holds_the_median_and_stays_within_what_was_seen(values: list[float]) -> None:
    interval = intervals.of_median(values)

    assert interval is not None
    slack = 1 - 1e-9
    assert min(values) * slack <= interval[0] <= float(np.median(values)) / slack
    assert float(np.median(values)) * slack <= interval[1] <= max(values) / slack


def test_equal_values_have_an_interval_without_width() -> None:
    assert intervals.of_median([4.0] * 5) == (4.0, 4.0)
    assert intervals.of_ratio([4.0] * 5, [2.0] * 5) == (2.0, 2.0)


def test_a_single_value_has_no_interval() -> None:
    assert intervals.of_median([4.0]) is None
    assert intervals.of_ratio([4.0], [2.0, 2.0]) is None
    assert intervals.differ([4.0], [2.0, 2.0]) is None


def test_the_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    draw = random.Random(7)  # noqa: S311 - no secret
    held = 0
    for _ in range(200):
        interval = intervals.of_median([draw.gauss(100, 6) for _ in range(10)])
        assert interval is not None
        held += interval[0] <= 100 <= interval[1]

    assert 0.90 <= held / 200 <= 0.99


def test_a_clear_difference_is_told_from_chance() -> None:
    low, high = [100.0 + step for step in range(10)], [120.0 + step for step in range(10)]
    found = intervals.differ(low, high)

    assert found is not None
    assert found < 0.001
    assert intervals.differ(low, low) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Clopper and Pearson's own: 10 of 10 says no more than 69 %.
    [(10, 10, 0.6915, 1.0), (0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129)],
)
def test_a_share_is_no_surer_than_its_count(hits: int, of: int, low: float, high: float) -> None:
    assert intervals.of_share(hits, of) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@pytest.mark.parametrize(
    ("values", "narrow"),
    [([100.0] * 5, False), ([100.0] * 6, True), ([100.0, 101, 99, 100, 102, 98] * 2, True), ([50.0, 150] * 5, False)],
)
def test_narrow_is_what_enough_repeats_agree_on(values: list[float], narrow: bool) -> None:  # noqa: FBT001 - a parameter
    assert intervals.is_narrow(values, within=0.05) is narrow
