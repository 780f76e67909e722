from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool import quantities
from mounttool.errors import QuantityError


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        (4096, 4096),
        ("64MiB", 64 * 2**20),
        ("64 mib", 64 * 2**20),
        ("1.5G", 3 * 2**29),
        ("1GB", 10**9),
        ("1kB", 1000),
        ("1K", 1024),
        (" 2TiB ", 2**41),
        ("7b", 7),
    ],
)
def test_sizes_follow_iec_80000(text: str | int, size_bytes: int) -> None:
    assert quantities.parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        (2.5, 2.5),
        (3, 3),
        ("5min", 300),
        ("5m", 300),
        ("250ms", 0.25),
        ("2h", 7200),
        ("1d", 86400),
    ],
)
def test_durations_are_in_seconds(text: str | float, seconds: float) -> None:
    assert quantities.parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "MiB", "-1MiB", "12 parsecs", "1e3", "0x10", "1,5G", "\u0661MiB", "1 MiB M"])
def test_what_is_not_a_size_is_refused_and_named(text: str) -> None:
    with pytest.raises(QuantityError, match="expected a size such as 64MiB or 1GB") as caught:
        quantities.parse_bytes(text)
    assert repr(text) in str(caught.value)


def test_a_part_of_a_byte_is_refused() -> None:
    with pytest.raises(QuantityError, match="not a whole number of bytes"):
        quantities.parse_bytes("1.5b")


@pytest.mark.parametrize("text", ["", "5 fortnights", "MIN", "-1s", "5S"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="expected a duration such as 90s or 5min"):
        quantities.parse_seconds(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (512 * 2**20, "512 MiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_sizes_print_with_three_digits_and_a_binary_unit(size_bytes: float, text: str) -> None:
    assert quantities.format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0821, "82.1 ms"),
        (1.254, "1.25 s"),
        (59.9, "59.9 s"),
        (200, "3 min 20 s"),
        (59.999 + 0.6, "1 min 1 s"),
        (3661, "1 h 1 min"),
    ],
)
def test_durations_print_as_people_say_them(seconds: float, text: str) -> None:
    assert quantities.format_seconds(seconds) == text


def test_rates_print_in_decimal_megabytes() -> None:
    assert quantities.format_rate(153_400_000) == "153 MB/s"


@given(st.integers(min_value=0, max_value=2**53))
def test_a_bare_number_is_itself(number: int) -> None:
    assert quantities.parse_bytes(str(number)) == quantities.parse_bytes(number) == number


@given(st.integers(min_value=0, max_value=2**49))
def test_a_printed_size_reads_back_within_its_three_digits(size_bytes: int) -> None:
    text = quantities.format_bytes(size_bytes)
    number, unit = text.split()
    again = float(number) * quantities.parse_bytes(f"1{unit}")
    assert again == pytest.approx(size_bytes, rel=0.006)
