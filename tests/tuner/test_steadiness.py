"""A load that drifts is told from noise, at the stated level and from the stated size on."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.steadiness import DRIFT_LEVEL, LEAST_DRIFT, Carried, course

TRIALS = 2000
PAIRS = 12


def drifting(noise: NDArray[np.float64], rise: float) -> float:
    """How often a load is called drifting that goes to ``rise`` times its start, under noise."""
    ramp = np.linspace(0.0, math.log(rise), noise.shape[1])
    loads = np.exp(noise + ramp).tolist()
    return float(np.mean([course([alike(load)])[0] == "drifting" for load in loads]))


def alike(load: Sequence[float]) -> list[Carried]:
    """Pairs both samples of which carry the same."""
    return [(gbps, gbps) for gbps in load]


def normal(spread: float, pairs: int = PAIRS) -> NDArray[np.float64]:
    return spread * np.random.default_rng(1).standard_normal((TRIALS, pairs))


@pytest.mark.parametrize("pairs", [3, 5, 12, 40])
@pytest.mark.parametrize("spread", [0.05, 0.15, 0.3])
def test_noise_alone_is_called_a_drift_no_more_often_than_stated(spread: float, pairs: int) -> None:
    tolerance = 3.0 * math.sqrt(DRIFT_LEVEL * (1.0 - DRIFT_LEVEL) / TRIALS)
    assert drifting(normal(spread, pairs), rise=1.0) <= DRIFT_LEVEL + tolerance


def test_noise_with_long_tails_is_called_a_drift_no_more_often_either() -> None:
    noise = 0.15 * np.random.default_rng(2).standard_t(3, (TRIALS, PAIRS))
    assert drifting(noise, rise=1.0) <= DRIFT_LEVEL


@pytest.mark.parametrize("rise", [4 / 3, 3 / 4])
@pytest.mark.parametrize(("spread", "found"), [(0.05, 0.95), (0.1, 0.8)])
def test_a_drift_of_a_third_is_found(spread: float, found: float, rise: float) -> None:
    assert drifting(normal(spread), rise) > found


def test_a_drift_of_half_is_found_in_much_noise() -> None:
    assert drifting(normal(0.15), rise=1.5) > 0.75


def test_noise_that_differs_from_sample_to_sample_hides_less_of_a_drift() -> None:
    ramp = np.linspace(0.0, math.log(1.5), PAIRS)
    found, changed = normal(0.2), 0.2 * np.random.default_rng(3).standard_normal((TRIALS, PAIRS))
    both = np.exp(np.stack([found + ramp, 0.3 + changed + ramp], axis=2)).tolist()
    seen = np.mean([course([[(a, b) for a, b in pairs]])[0] == "drifting" for pairs in both])
    assert seen > drifting(found, rise=1.5) + 0.15


@pytest.mark.parametrize("share", [0.5, 1.0, 4.0])
def test_what_a_setting_makes_of_a_load_is_no_drift(share: float) -> None:
    as_found, better = alike([5.0, 5.1, 4.9, 5.0]), [(5.0, 5.0 * share)] * 4
    assert course([as_found, better, as_found]) == ("steady", "")


def test_a_setting_that_lets_nothing_through_says_nothing_of_the_load() -> None:
    assert course([[(5.0, 0.0), (5.1, 5.0), (5.0, 0.0)]]) == ("steady", "")


@pytest.mark.parametrize("pairs", [3, 12])
def test_a_drift_too_small_to_matter_is_none_however_sure(pairs: int) -> None:
    assert drifting(normal(0.001, pairs), rise=LEAST_DRIFT - 0.01) == 0.0
    assert drifting(normal(0.001, pairs), rise=LEAST_DRIFT + 0.01) > 0.95


def test_a_load_that_rises_for_once_leans_and_one_that_comes_back_is_steady() -> None:
    assert course([alike([5.0, 5.0, 6.5])]) == ("leaning", "")
    assert course([alike([5.0, 6.5, 5.0])]) == ("steady", "")


def test_two_samples_make_no_trend() -> None:
    assert course([alike([5.0, 7.0])]) == ("steady", "")


def test_what_the_load_did_is_told_with_its_size() -> None:
    assert course([alike([4.0, 5.0, 6.25, 7.8125])])[1].endswith(
        "went from about 4.00 to 7.81 Gb/s"
    )
    assert course([alike([2.0, 2.0, 5.0, 5.0])]) == (
        "changed",
        "the load changed meanwhile: the host as found carried 2.00, then 5.00 Gb/s",
    )
