"""How sure a figure is: intervals of medians, of ratios and of shares. Nothing is rounded here.

Resampling is random; a fixed seed gives the same interval for the same numbers, every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

#: Even the whole range of n repeats misses the median with a chance of 2 / 2**n: more than 5 % below six.
FEWEST_FOR_95 = 6

_SEED = 20240229
_RESAMPLES = 9999


def of_median(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the median of ``values``; None below two."""
    if len(values) < 2:
        return None
    # The percentile method: BCa, the default, has no answer when repeats are equal.
    found = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.median,
        method="percentile",
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def of_ratio(values: Sequence[float], to: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the medians' ratio, ``values`` over ``to``; None below two of either."""
    if min(len(values), len(to)) < 2:
        return None
    random = np.random.default_rng(_SEED)
    above, below = (
        np.median(random.choice(np.asarray(one, dtype=float), size=(_RESAMPLES, len(one))), axis=1)
        for one in (values, to)
    )
    low, high = np.quantile(above / below, [0.025, 0.975])
    return float(low), float(high)


def differ(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Return Mann and Whitney's p: how often such a difference comes by chance; None below two of either."""
    if min(len(values), len(others)) < 2:
        return None
    return float(stats.mannwhitneyu(values, others, alternative="two-sided").pvalue)


def of_share(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Clopper and Pearson, which never claims more than it can hold."""
    found = stats.binomtest(hits, of).proportion_ci(confidence_level=0.95, method="exact")
    return float(found.low), float(found.high)


def is_narrow(values: Sequence[float], *, within: float) -> bool:
    """Whether half of the median's interval is at most ``within`` of it, from as many values as that takes."""
    interval = of_median(values)
    if interval is None or len(values) < FEWEST_FOR_95:
        return False
    low, high = interval
    return (high - low) / 2 <= within * float(np.median(values))
