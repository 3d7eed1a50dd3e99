"""The level of a look: all looks at a measurement together err as often as was said."""

import numpy as np
import pytest

from tuner.judge import interval
from tuner.sequential import ERROR_RATE, first_look, nominal_level

TRIALS = 2000


def kept(pairs: int, error: float, effect: float, seed: int) -> float:
    """How often a setting is found better whose log-ratios are ``effect`` noises from zero."""
    noise = np.random.default_rng(seed).standard_normal((TRIALS, pairs)) + effect
    level = nominal_level(pairs, error)
    return float(
        np.mean(
            [
                any(
                    interval(course[:count].tolist(), level).positive
                    for count in range(first_look(pairs), pairs + 1)
                )
                for course in noise
            ]
        )
    )


@pytest.mark.parametrize("pairs", [3, 8])
def test_nothing_is_found_where_nothing_is_but_for_the_stated_rate(pairs: int) -> None:
    rate = kept(pairs, ERROR_RATE, 0.0, seed=1)
    assert rate == pytest.approx(ERROR_RATE, abs=3.0 * (ERROR_RATE / TRIALS) ** 0.5)


def test_what_is_clearly_there_is_found() -> None:
    assert kept(8, ERROR_RATE, 2.0, seed=2) > 0.9


def test_more_looks_make_each_stricter_and_one_look_is_as_strict_as_all() -> None:
    levels = [nominal_level(pairs, ERROR_RATE) for pairs in (2, 3, 4, 8, 12)]
    assert levels[:2] == [ERROR_RATE, ERROR_RATE]
    assert levels[1:] == sorted(levels[1:], reverse=True)
