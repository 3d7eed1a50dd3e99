"""On the recorded noise of a lab, a tuning keeps what is no better as rarely as it says."""

import sys
from pathlib import Path

from scipy.stats import binomtest

sys.path.append(str(Path(__file__).parents[2] / "results"))

from honesty import recorded, trials

from tuner.sequential import ERROR_RATE

COUNT = 60


def kept(gain: float) -> int:
    return sum(one.outcome == "better" for one in trials(recorded(), gain, pairs=12, count=COUNT))


def test_what_is_no_better_is_kept_no_more_often_than_stated() -> None:
    assert binomtest(kept(0.0), COUNT).proportion_ci().low <= ERROR_RATE


def test_a_large_gain_is_found_more_often_than_not() -> None:
    assert kept(0.4) > COUNT / 2
