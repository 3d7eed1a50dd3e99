"""When to stop measuring: a look after every pair, and one error rate for all looks together.

Whoever looks at noise often enough, and stops when it pleases, finds a gain that is not there. So
each look is held to a stricter level than the whole: a group-sequential t-test whose nominal
level is the same at every look (Pocock, *Group sequential methods in the design and analysis of
clinical trials*, Biometrika 64, 1977; with t in place of normal quantiles, and its confidence
intervals: Jennison and Turnbull, *Group Sequential Methods with Applications to Clinical Trials*,
2000, chapters 9 and 11). The level is found by simulation: under noise that is independent and
normal the smallest p-value of all looks has a distribution that depends on the looks alone, not
on how large the noise is.
"""

from functools import lru_cache

import numpy as np
from scipy.special import stdtr

ERROR_RATE = 0.05
"""The probability that a tuning keeps a setting that is no better, over all its tries and looks.

It is a bound where the settings tried are no better, and only where the pairs are independent.
"""
FIRST_LOOK = 3
"""Pairs before the first look: two tell next to nothing of the noise."""
PATHS = 100_000
"""Simulated courses of a measurement; the level is then known to some 2 %."""


def first_look(pairs: int) -> int:
    """The number of pairs at the first look of a measurement of at most ``pairs``."""
    return min(FIRST_LOOK, pairs)


@lru_cache
def nominal_level(pairs: int, error: float) -> float:
    """The one-sided level of each look at up to ``pairs``, so that all together err at ``error``.

    With a single look it is ``error`` itself.
    """
    first = first_look(pairs)
    if first == pairs:
        return error
    noise = np.random.default_rng(1977).standard_normal((PATHS, pairs))
    sums, squares = noise.cumsum(axis=1), (noise**2).cumsum(axis=1)
    smallest = np.ones(PATHS)
    for count in range(first, pairs + 1):
        total = sums[:, count - 1]
        variance = (squares[:, count - 1] - total**2 / count) / (count - 1)
        smallest = np.minimum(smallest, stdtr(count - 1, -total / np.sqrt(count * variance)))
    return float(np.quantile(smallest, error))
