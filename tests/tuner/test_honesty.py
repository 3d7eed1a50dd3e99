"""On the recorded noise of a lab, a tuning keeps what is no better as rarely as it says."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "results"))

from honesty import proportion
from noise import Load, budget_of, ramp, recorded, steady, trials

from tuner.sequential import ERROR_RATE

COUNT = 400


def kept(gain: float, tries: int = 1, load: Load = steady) -> float:
    recording = recorded()
    budget = budget_of(recording, pairs=12, tries=tries)
    ended = trials(recording, gain, budget, load, COUNT)
    return sum(trial.risen is not None for trial in ended) / COUNT


def test_what_is_no_better_is_kept_at_a_rate_consistent_with_the_stated_one() -> None:
    recording = recorded()
    independent = recording.stretches(budget_of(recording, pairs=12))
    assert proportion(kept(0.0), independent)[0] <= ERROR_RATE


def test_what_is_no_better_is_kept_no_more_often_by_three_tries() -> None:
    assert kept(0.0, tries=3) <= ERROR_RATE


def test_a_large_gain_is_found_more_often_than_not() -> None:
    assert kept(0.4) > 0.5


def test_what_is_no_better_is_not_kept_because_the_load_rises() -> None:
    assert kept(0.0, load=ramp(1.5, samples=25)) <= ERROR_RATE


def test_a_load_that_rises_fast_is_a_reason_not_to_keep_a_large_gain() -> None:
    assert kept(0.4, load=ramp(1.5, samples=7)) < kept(0.4)


def test_trials_that_share_their_samples_count_as_few() -> None:
    low, high = proportion(0.0, 16)
    assert low == 0.0
    assert high == pytest.approx(1.0 - 0.025 ** (1 / 16))  # so often nothing of 16 is seen
    assert proportion(0.5, 200)[1] < proportion(0.5, 16)[1]
