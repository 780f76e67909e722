from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool.deliver.names import fold


@pytest.mark.parametrize(
    ("hosts", "shown"),
    [
        ([], ""),
        (["node1"], "node1"),
        (["node2", "node1", "node3"], "node[1-3]"),
        (["node1", "node2", "node5"], "node[1-2], node5"),
        ([f"node{number}" for number in range(1, 501)], "node[1-500]"),
        (["node09", "node10", "node08"], "node[08-09], node10"),
        (["ops@10.0.0.7:22", "ops@10.0.0.7:23"], "ops@10.0.0.7:[22-23]"),
        (["10.0.1.11", "10.0.1.12", "10.0.2.13"], "10.0.1.[11-12], 10.0.2.13"),
        (["a1.example", "a2.example", "login"], "a[1-2].example, login"),
    ],
)
def test_hosts_that_differ_in_a_number_are_told_as_ranges(hosts: list[str], shown: str) -> None:
    assert fold(hosts) == shown


def test_what_does_not_fit_is_counted() -> None:
    assert fold(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert fold(["a", "b"], 2) == "a, b"


@given(st.sets(st.integers(0, 200), min_size=1))
def test_a_range_stands_for_each_of_its_hosts_and_no_other(numbers: set[int]) -> None:
    told: set[int] = set()
    for part in fold(f"n{number}" for number in numbers).split(", "):
        first, _, last = part.removeprefix("n").strip("[]").partition("-")
        told |= set(range(int(first), int(last or first) + 1))

    assert told == numbers
