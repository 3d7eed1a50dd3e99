"""How soon a host was as it must be, by looks at it from outside."""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from row import NOT_BACK


class Look(NamedTuple):
    """How the host was, by readings taken between two points in time."""

    begun: float
    ended: float
    outcome: str


def how_soon(looks: Sequence[Look], thrown: float, silence: float, end: float) -> float:
    """How many seconds the host took to be as it must be, by all ``looks`` at it.

    They run from the tuner's end. Where the fault silences the tuner, the host has to see to it by
    itself meanwhile, so they run from the fault as well, and up to the end of that silence: a tuner
    that then goes on may change the host again.
    """
    back = _settled(looks) - end
    if silence:
        alone = [look for look in looks if look.ended < thrown + silence]
        back = max(back, _settled(alone) - thrown)
    return max(0.0, back)


def _settled(looks: Sequence[Look]) -> float:
    """Since when the host has been as in the last look; never if that did not find it back."""
    since, outcome = inf, NOT_BACK
    for look in looks:
        if look.outcome == NOT_BACK:
            since = inf
        elif look.outcome != outcome:
            since = look.begun
        outcome = look.outcome
    return since
