"""Constants fitted to measurements: those that were put in come out."""

import numpy as np
import pytest
from msgspec.structs import replace

from envs.history import History
from envs.scenario import load
from envs.sim.host import SimHost
from tuner.twin.design import AS_FOUND, designed
from tuner.twin.fit import FACTORS, Fit, fit, with_factors
from tuner.twin.model import scenario_of

TRUE = (1.8, 0.8, 1.6, 1.0, 1.0)


@pytest.fixture(scope="module")
def fitted() -> Fit:
    host = SimHost(with_factors(load("lab"), TRUE), seed=9)
    spec, found, seen = replace(host.describe(), kind="lab"), host.settings(), host.measure(0.2)
    settings = designed(History(spec=spec, baseline=found, baseline_sample=seen))
    samples = {}
    for name, one in settings.items():
        host.apply(one)
        samples[name] = [host.measure(0.2)]
    return fit(spec, scenario_of(spec, found, seen, "twin"), settings, samples)[1]


def test_a_factor_is_as_far_off_as_its_error_says(fitted: Fit) -> None:
    assert [one.name for one in fitted.factors] == list(FACTORS)
    for one, true in zip(fitted.factors, TRUE, strict=True):
        assert abs(np.log(one.factor / true)) < 3.0 * np.log(one.error)
    assert fitted.factors[2].error < 1.5  # copies move everything


def test_the_twin_tells_what_it_was_not_fitted_to(fitted: Fit) -> None:
    assert fitted.error < fitted.before
    assert fitted.held_out is not None
    assert fitted.held_out < fitted.before
    assert [point.fitted for point in fitted.points[:4]] == [True, True, True, False]


def test_what_the_twin_cannot_tell_is_poor(fitted: Fit) -> None:
    assert not fitted.poor
    assert replace(fitted, held_out=0.3).poor
    assert replace(fitted, error=0.3).poor


def test_each_designed_setting_is_another(fitted: Fit) -> None:
    names = [point.setting for point in fitted.points]
    assert names[0] == AS_FOUND
    assert len(set(names)) == len(names) > 5


def test_factors_multiply_what_they_name_and_nothing_else() -> None:
    scenario = load("lab")
    twice = with_factors(scenario, (1.0, 1.0, 2.0, 1.0, 1.0))
    assert twice.costs.copy_llc == 2.0 * scenario.costs.copy_llc
    costs = replace(
        twice.costs,
        **{
            key: getattr(scenario.costs, key)
            for key in ("copy_own", "copy_llc", "copy_across", "copy_remote", "copy_memory")
        },
    )
    assert replace(twice, costs=costs) == scenario
