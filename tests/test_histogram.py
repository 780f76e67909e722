from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool import histogram
from mounttool.errors import ResultsError

BINS = st.dictionaries(st.integers(1, 10**9), st.integers(1, 1000), max_size=20)


@given(st.lists(BINS, max_size=5))
def test_merging_keeps_every_call(histograms: list[dict[int, int]]) -> None:
    merged = histogram.merge(histograms)

    assert merged == dict(sum((Counter(one) for one in histograms), Counter()))
    assert list(merged) == sorted(merged)


@given(BINS.filter(bool), st.floats(0.01, 100))
def test_a_percentile_is_the_least_latency_that_enough_calls_kept(bins: dict[int, int], percent: float) -> None:
    found = histogram.percentile(bins, percent)
    calls = sum(bins.values())

    assert sum(count for latency, count in bins.items() if latency <= found) >= calls * percent / 100
    assert sum(count for latency, count in bins.items() if latency < found) < calls * percent / 100


def test_no_calls_have_no_percentile() -> None:
    with pytest.raises(ResultsError, match="no percentile 50 of 0 calls"):
        histogram.percentile({}, 50)


@given(BINS)
def test_a_row_s_text_is_read_back_as_it_was(bins: dict[int, int]) -> None:
    assert histogram.from_text(histogram.to_text(bins)) == bins


@pytest.mark.parametrize("text", ["5", "5:x", "5:1:2"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ResultsError, match=f"hist = '{text}': expected NS:CALLS"):
        histogram.from_text(text)
