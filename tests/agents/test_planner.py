"""A plan is legal and new, prefers what the forecast does, and learns from what it got wrong."""

import hypothesis
import numpy as np
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.forecast import Forecast, ForecastLayout, Outlook
from agents.planner import ranked
from agents.policy import History
from envs.host import HostSpec, Settings
from envs.knobs import check
from envs.prospect import CHANGES, WHOLE

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())
SAME_BRIDGE = WHOLE - len(CHANGES) + CHANGES.index("bridge as at the start")


class Likes(Forecast):
    """Believes that whoever leaves the bridge as it is gains nothing, and all others 0.5."""

    def __init__(self) -> None:
        super().__init__({})

    def of(self, entities: np.ndarray, wholes: np.ndarray) -> Outlook:
        del entities
        other = 1.0 - wholes[:, SAME_BRIDGE]
        seen = np.stack([other, 1.0 - other], axis=1)
        return Outlook(gain=0.5 * other, holds=np.ones(len(wholes), np.float32), seen=seen)


def untrained(seed: int) -> Forecast:
    rng = np.random.default_rng(seed)
    shapes = ForecastLayout(width=8).shapes
    return Forecast({k: rng.normal(0, 0.1, s).astype(np.float32) for k, s in shapes.items()})


def plan(history: History, forecast: Forecast, *proposed: Settings) -> list[Settings]:
    return ranked(history, forecast, proposed, np.random.default_rng(0))


@hypothesis.settings(max_examples=20)  # a plan looks at hundreds of settings
@given(st.data(), hosts())
def test_a_plan_is_legal_and_new_on_any_host(
    data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    settings = plan(history, untrained(0))
    for one in settings[:5]:
        assert one != baseline
        check(spec, one, baseline)
    if settings:
        history = history.with_sample(settings[0], data.draw(samples(spec)))
        assert settings[0] not in plan(history, untrained(0))


def test_the_most_promising_comes_first_and_what_was_proposed_is_among_them() -> None:
    proposed = replace(BASELINE, tx_queue=dict.fromkeys(BASELINE.tx_queue, 77))
    settings = plan(START, Likes(), proposed)
    assert settings[0].bridge != BASELINE.bridge
    assert proposed in settings
    changed = [one.bridge != BASELINE.bridge for one in settings]
    assert changed == sorted(changed, reverse=True)


def test_what_turned_out_badly_takes_what_looks_like_it_down() -> None:
    first = plan(START, Likes())[0]
    bad = replace(sample(first), guest_cpu=dict.fromkeys(sample().guest_cpu, 9.0))
    history = START.with_sample(first, bad)
    assert history.best is None
    again = plan(history, Likes())
    assert again[0].bridge == BASELINE.bridge


def test_what_is_no_number_is_left_out_and_the_rest_stays_in_order() -> None:
    class Doubts(Likes):
        def of(self, entities: np.ndarray, wholes: np.ndarray) -> Outlook:
            outlook = super().of(entities, wholes)
            gain = np.where(np.arange(len(wholes)) % 3 == 0, np.nan, outlook.gain)
            return outlook._replace(gain=gain)

    changed = [one.bridge != BASELINE.bridge for one in plan(START, Doubts())]
    assert any(changed)
    assert changed == sorted(changed, reverse=True)


def test_a_forecast_that_is_no_number_plans_nothing() -> None:
    weights = {k: np.full(s, np.nan, np.float32) for k, s in ForecastLayout(width=8).shapes.items()}
    assert plan(START, Forecast(weights)) == []
