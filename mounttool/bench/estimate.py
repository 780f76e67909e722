"""What a run will take and cost, said before it starts: bounds, for nobody knows yet how fast the storage is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.bench import prices
from mounttool.bench.target import Target
from mounttool.bench.workload import Work
from mounttool.errors import InputError

#: A storage that is slower than this makes a run longer than was said.
_SLOW_BYTES_PER_S = 50e6
#: The fastest, where the network is not known: 10 Gbit/s.
_FAST_BYTES_PER_S = 1.25e9
#: What a repeat takes beside its bytes: connections, caches, looking, cleaning up.
_AROUND_S = 2.0
#: Each checkpoint is read back once to see that it is durable, and once more, cold, to time it.
_READS = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, from the fewest repeats on a fast storage to the most on a slow one; USD at most.

    ``usd`` counts what storages ask by byte and request, with prices of ``price_date``, not what nodes cost. It is None
    when the price of one of ``unpriced`` targets is not known.
    """

    at_least_s: float
    at_most_s: float
    usd: float | None
    price_date: str
    unpriced: tuple[str, ...]


def estimate(
    targets: Sequence[Target], works: Sequence[Work], repeats: tuple[int, int], *, gbps: float | None, readers: int = 1
) -> Estimate:
    """Return what measuring each target between ``repeats`` times, and once more to warm up, will take and cost.

    ``readers`` nodes restore each checkpoint, one after the other.
    """
    written = sum(file.size_bytes for work in works for file in (*work.files, *work.before))
    moved = written + sum(work.read_bytes for work in works) * (_READS + readers - 1)
    fastest = gbps * 1e9 / 8 if gbps else _FAST_BYTES_PER_S
    fewest, most = (repeat + 1 for repeat in repeats)
    costs = {target.name: _usd(target, works, readers) for target in targets}
    unpriced = tuple(name for name, usd in costs.items() if usd is None)
    return Estimate(
        at_least_s=len(targets) * fewest * (moved / fastest + _AROUND_S),
        at_most_s=len(targets) * most * (moved / min(_SLOW_BYTES_PER_S, fastest) + _AROUND_S),
        usd=None if unpriced else most * sum(usd or 0.0 for usd in costs.values()),
        price_date=prices.load().date,
        unpriced=unpriced,
    )


def hold_to(budget_usd: float, found: Estimate) -> None:
    """Return quietly when the run cannot cost more than ``budget_usd``.

    Raises:
        InputError: it can, or nobody knows.

    """
    if found.usd is None:
        raise InputError(
            f"--budget {budget_usd:g}: nobody knows what {', '.join(found.unpriced)} costs",
            hint="measure it without --budget, or pick other mounts with --name",
        )
    if found.usd > budget_usd:
        raise InputError(
            f"--budget {budget_usd:g}: this run may cost {found.usd:.2f} USD (prices of {found.price_date})",
            hint="a smaller --size, fewer --ranks or --repeats",
        )


def _usd(target: Target, works: Sequence[Work], readers: int) -> float | None:
    sizes = [file.size_bytes for work in works for file in (*work.files, *work.before)]
    write = prices.of_write(target.backend, target.tier, sizes)
    read = prices.of_read(target.backend, target.tier, sizes)
    return None if write is None or read is None else write.total + read.total * (_READS + readers - 1)
