"""Whether the load held still while a setting was judged: what is kept is to be used under it.

Pairs of samples next to each other keep a drift out of a comparison, but what was compared under
a load that has gone says nothing of the load that is there. Whether it stopped or jumped, the
samples of the host as found say, for nothing was changed when they were taken; whether it drifted,
both samples of each pair do, so that noise hides less. Pure functions of what they carried.
"""

import math
from collections.abc import Sequence
from itertools import chain
from statistics import geometric_mean, linear_regression, median
from typing import Literal

from scipy.special import stdtrit

from envs.reward import LEAST_GBPS

Carried = tuple[float, float]
"""What the two samples of a pair carried in Gb/s: the host as found, and under a setting."""

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


def course(tries: Sequence[Sequence[Carried]]) -> tuple[Course, str]:
    """How the load went, and what it did in words where nothing can be told for that reason.

    ``tries`` are the pairs of one setting after the other, one pair of each at least.
    """
    if why := _sudden([found for pairs in tries for found, _ in pairs]):
        return "changed", why
    loads = list(chain.from_iterable(map(_loads, tries)))
    if len(loads) < 3:
        return "steady", ""  # two pairs make no trend
    return _trend(loads)


def _loads(pairs: Sequence[Carried]) -> list[float]:
    """What the host as found would have carried on average over each pair, in Gb/s.

    What a setting makes of a load it makes of it all along; what rises or falls is the load.
    """
    if min(changed for _, changed in pairs) <= LEAST_GBPS:
        return [found for found, _ in pairs]
    share = geometric_mean(changed / found for found, changed in pairs)
    return [math.sqrt(found * changed / share) for found, changed in pairs]


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
