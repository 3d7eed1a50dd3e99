"""Search draws legal settings that are new, the same ones from the same seed."""

import pytest
from fake_host import BASELINE, SPEC, FakeHost, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st

from agents.evaluation import tune
from agents.policy import History
from agents.registry import get
from envs.host import HostSpec, Settings
from envs.knobs import check

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


@pytest.mark.parametrize("name", ["random", "climb"])
@given(st.data(), hosts(), st.integers(0, 9))
def test_a_draw_is_legal_and_new(
    name: str, data: st.DataObject, found: tuple[HostSpec, Settings], seed: int
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    settings = get(name, seed).propose(history)
    assert settings is None or settings != baseline
    if settings:
        check(spec, settings, baseline)


@pytest.mark.parametrize("name", ["random", "climb"])
def test_the_seed_decides(name: str) -> None:
    assert get(name, 1).propose(START) == get(name, 1).propose(START)
    assert len({str(get(name, seed).propose(START)) for seed in range(5)}) > 1


def test_a_climb_goes_on_from_the_best_setting() -> None:
    history = tune(get("random", 0), FakeHost(), 8, 1.0)
    assert history.best
    step = get("climb", 3).propose(history)
    assert step
    assert _changed(step, history.best.settings) < _changed(step, BASELINE)


def _changed(one: Settings, other: Settings) -> int:
    maps = [(one.placement, other.placement), (one.weight, other.weight)]
    parts = [(a[key], b[key]) for a, b in maps for key in a]
    parts += [(one.tx_queue, other.tx_queue), (one.bridge, other.bridge)]
    parts += [(one.side_cores, other.side_cores)]
    return sum(a != b for a, b in parts)
