"""What moving bytes costs: ``prices.toml``, a dated table. The nodes' own price is not in it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

import pydantic

from mounttool.quantities import parse_bytes

_GB = 2**30
_MONTH_S = 30 * 86400
_MILLION = 10**6


class Tier(pydantic.BaseModel):
    """The prices of one kind of storage, in USD; ``source`` says where they were read."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    source: str
    put_usd_per_million: float = 0.0
    get_usd_per_million: float = 0.0
    write_usd_per_gb: float = 0.0
    read_usd_per_gb: float = 0.0
    storage_usd_per_gb_month: float = 0.0


class Prices(pydantic.BaseModel):
    """The table: tiers by name, and how much each backend moves by one request."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    date: str
    request_bytes: Mapping[str, str]
    tier: Mapping[str, Tier]


@dataclass(frozen=True, slots=True)
class Cost:
    """USD of one phase."""

    requests: float = 0.0
    throughput: float = 0.0
    storage: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.requests + self.throughput + self.storage


@functools.cache
def load() -> Prices:
    """Return the table that ships with the package."""
    text = (files("mounttool") / "bench" / "prices.toml").read_text(encoding="utf-8")
    return Prices.model_validate(tomllib.loads(text))


def of_write(backend: str, tier: str, sizes: Iterable[int], *, kept_s: float = 0.0) -> Cost | None:
    """Return what writing files of ``sizes`` costs, and keeping them for ``kept_s``; None when nobody knows."""
    prices, sizes = load(), list(sizes)
    if tier not in prices.tier:
        return None
    found, gigabytes = prices.tier[tier], sum(sizes) / _GB
    return Cost(
        _requests(prices, backend, sizes) * found.put_usd_per_million / _MILLION,
        gigabytes * found.write_usd_per_gb,
        gigabytes * found.storage_usd_per_gb_month * kept_s / _MONTH_S,
    )


def of_read(backend: str, tier: str, sizes: Iterable[int]) -> Cost | None:
    """Return what reading files of ``sizes`` costs; None when nobody knows."""
    prices, sizes = load(), list(sizes)
    if tier not in prices.tier:
        return None
    found = prices.tier[tier]
    return Cost(
        _requests(prices, backend, sizes) * found.get_usd_per_million / _MILLION,
        sum(sizes) / _GB * found.read_usd_per_gb,
    )


def _requests(prices: Prices, backend: str, sizes: Iterable[int]) -> int:
    each = parse_bytes(prices.request_bytes.get(backend, "8MiB"))
    return sum(max(1, -(-size // each)) for size in sizes)
