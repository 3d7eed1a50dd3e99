"""Delays, counted in classes, and what the classes say."""

import numpy as np

from envs.host import Record
from envs.sim.compiled import bits, compiled
from envs.sim.state import LATENCIES

STEP_BITS = 2
STEPS = 1 << STEP_BITS
"""Latency classes in a doubling: so many bits of the mantissa tell them apart."""
_FIRST = 1023 << STEP_BITS
"""The same bits of 1.0, whose exponent is kept as 1023."""


class Answers(Record, frozen=True):
    """Requests that were answered, a second, and how long that took: percentiles in seconds."""

    per_second: float
    median: float
    p90: float
    p99: float


@compiled
def class_of(delay: float) -> int:
    """The class of a delay (ns): each doubling from 1 us on has ``STEPS`` of equal width."""
    at = (bits(max(1.0, delay * 1e-3)) >> 52 - STEP_BITS) - _FIRST
    return min(at, LATENCIES - 1)


def percentile(classes: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float | None:
    """A percentile in seconds: the upper end of the class that it falls in; None of nothing."""
    total = classes.sum()
    if total <= 0:
        return None
    at = int(np.searchsorted(np.cumsum(classes), share * total))
    return 1e-6 * 2.0 ** (at // STEPS) * (1.0 + (at % STEPS + 1) / STEPS)
