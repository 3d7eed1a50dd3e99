"""Whether the load held still while a setting was judged: what is kept is to be used under it.

Pairs of samples next to each other keep a drift out of a comparison, but what was compared under
a load that has gone says nothing of the load that is there. So the samples of the host as found
are looked at: nothing was changed when they were taken. Pure functions of what they carried.
"""

import math
from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Literal

from scipy.special import stdtrit

from envs.reward import LEAST_GBPS

Course = Literal["steady", "leaning", "drifting", "changed"]
"""A load leans if it drifts or noise makes it seem so; it drifts if noise hardly would."""

STOPPED = 0.1
"""A load has stopped when the host as found carries less than this share of its usual."""
LOAD_RANGE = 2.0
"""A load has changed when the host as found carries more than twice, or less than half, as much in
the later half of its samples as in the earlier."""
LEAST_DRIFT = 1.2
"""A rise or fall by less than this from the first sample to the last is not worth a word. Chosen,
not measured: well above what noise may take from a guard, well below what is a new load to
``tuner watch``."""
DRIFT_LEVEL = 0.1
"""How often noise alone may be called a drift. More often than a setting may be kept wrongly:
that costs a host its performance for good, this costs one more tuning."""


def course(carried: Sequence[float]) -> tuple[Course, str]:
    """How the load went, and what it did in words where nothing can be told for that reason.

    ``carried`` is what the host as found carried in Gb/s, sample after sample: one at least.
    """
    if why := _sudden(carried):
        return "changed", why
    if len(carried) < 3:
        return "steady", ""  # two samples make no trend
    return _trend(carried)


def _sudden(carried: Sequence[float]) -> str:
    usual = median(carried)
    if usual <= LEAST_GBPS:
        return "the host carries no load"
    if min(carried) < STOPPED * usual:
        return "the load stopped meanwhile"
    if len(carried) > 1:
        middle = len(carried) // 2
        earlier, later = median(carried[:middle]), median(carried[middle:])
        if max(earlier, later) > LOAD_RANGE * min(earlier, later):
            return (
                "the load changed meanwhile: the host as found carried "
                f"{earlier:.2f}, then {later:.2f} Gb/s"
            )
    return ""


def _trend(carried: Sequence[float]) -> tuple[Course, str]:
    """A straight line through the logarithms, and Student's t of its slope."""
    count = len(carried)
    logs = [math.log(value) for value in carried]
    slope, start = linear_regression(range(count), logs)
    rise = slope * (count - 1)
    if abs(rise) <= math.log(LEAST_DRIFT):
        return "steady", ""
    off_line = math.fsum((log - start - slope * time) ** 2 for time, log in enumerate(logs))
    times = count * (count**2 - 1) / 12.0  # the squared deviations of 0, 1, ... from their mean
    error = math.sqrt(off_line / (count - 2) / times)
    if abs(slope) <= float(stdtrit(count - 2, 1.0 - DRIFT_LEVEL / 2.0)) * error:
        return "leaning", ""
    return "drifting", (
        "the load drifted meanwhile: the host as found went from about "
        f"{math.exp(start):.2f} to {math.exp(start + rise):.2f} Gb/s"
    )
