"""Bytes, seconds and rates: parsed at one edge, formatted at the other, plain numbers in base units between.

Sizes follow IEC 80000-13: ``KiB`` is 1024 bytes, ``kB`` is 1000. A bare number is in the base unit. Rates are in
bytes per second and print as decimal ``MB/s``, as fio and the clouds do.
"""

from __future__ import annotations

import re

from mounttool.errors import QuantityError

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)\s*")

_BYTES = {
    "": 1,
    "b": 1,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    # fio, JuiceFS and dd all read a bare letter as binary
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
}

_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str | int) -> int:
    """Return the bytes that ``text`` names, such as ``"64MiB"``, ``"1.5G"`` or ``4096``.

    Raises:
        QuantityError: it is not a number with a known unit, or not a whole number of bytes.

    """
    if isinstance(text, int):
        return text
    number, unit = _split(text, "a size such as 64MiB or 1GB")
    if unit.lower() not in _BYTES:
        raise QuantityError(f"unknown unit {unit!r} in {text!r}: expected a size such as 64MiB or 1GB")
    size = number * _BYTES[unit.lower()]
    if size != int(size):
        raise QuantityError(f"{text!r} is not a whole number of bytes")
    return int(size)


def parse_seconds(text: str | float) -> float:
    """Return the seconds that ``text`` names, such as ``"90s"``, ``"5min"`` or ``2.5``.

    Raises:
        QuantityError: it is not a number with a known unit.

    """
    if isinstance(text, int | float):
        return float(text)
    number, unit = _split(text, "a duration such as 90s or 5min")
    if unit not in _SECONDS:
        raise QuantityError(f"unknown unit {unit!r} in {text!r}: expected a duration such as 90s or 5min")
    return number * _SECONDS[unit]


def format_bytes(size_bytes: float) -> str:
    """Return ``size_bytes`` with a binary unit and three significant digits: ``512 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size_bytes) < 1024:
            return f"{_digits(size_bytes)} {unit}"
        size_bytes /= 1024
    return f"{_digits(size_bytes)} TiB"


def format_rate(bytes_per_s: float) -> str:
    """Return a rate in decimal megabytes per second: ``153 MB/s``."""
    return f"{_digits(bytes_per_s / 1e6)} MB/s"


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``82 ms``, ``1.25 s``, ``3 min 20 s``."""
    if seconds < 1:
        return f"{_digits(seconds * 1000)} ms"
    if seconds < 60:
        return f"{_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _split(text: str, expected: str) -> tuple[float, str]:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise QuantityError(f"{text!r}: expected {expected}")
    return float(found[1]), found[2]


def _digits(number: float) -> str:
    """Three significant digits without an exponent or trailing zeros."""
    if abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.3g}"
