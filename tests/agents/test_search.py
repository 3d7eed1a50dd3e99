"""Random search draws legal settings that are new, the same ones from the same seed."""

from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st

from agents.policy import History
from agents.registry import get
from envs.host import HostSpec, Settings
from envs.knobs import check

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


@given(st.data(), hosts(), st.integers(0, 9))
def test_a_draw_is_legal_and_new(
    data: st.DataObject, found: tuple[HostSpec, Settings], seed: int
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    settings = get("random", seed).propose(history)
    assert settings is None or settings != baseline
    if settings:
        check(spec, settings, baseline)


def test_the_seed_decides() -> None:
    assert get("random", 1).propose(START) == get("random", 1).propose(START)
    assert get("random", 1).propose(START) != get("random", 2).propose(START)
