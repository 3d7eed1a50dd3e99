"""The papers' heuristics: what each sets, and that it is legal on any host."""

import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents import registry
from agents.heuristics import HEURISTICS, Heuristic
from agents.policy import History, Trial
from envs.host import HostSpec, Sample, Settings
from envs.knobs import check
from envs.reward import judge

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


def tried(history: History, settings: Settings, seen: Sample | None = None) -> History:
    seen = seen or sample(settings)
    verdict = judge(history.spec, settings, seen, history.baseline, history.baseline_sample)
    return history.with_trial(Trial(settings=settings, sample=seen, verdict=verdict))


def propose(name: str, history: History = START) -> Settings:
    settings = registry.get(name).propose(history)
    assert settings is not None
    return settings


@given(st.data(), hosts(), st.sampled_from(HEURISTICS))
def test_every_proposal_is_legal_and_new_on_any_host(
    data: st.DataObject, found: tuple[HostSpec, Settings], heuristic: Heuristic
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    for _ in range(3):
        settings = heuristic.propose(history)
        if settings is None:
            break
        check(spec, settings, baseline)
        assert settings not in [baseline, *(trial.settings for trial in history.trials)]
        history = tried(history, settings, data.draw(samples(spec)))


def test_stock_tries_nothing() -> None:
    assert registry.get("stock").propose(START) is None


def test_cache_aware_puts_backend_and_io_guests_on_different_cores_of_the_uplinks_domain() -> None:
    seen = sample()
    light = replace(seen, guest_cpu={**seen.guest_cpu, "web": 0.3, "db": 0.3})
    settings = propose("liao-cache", replace(START, baseline_sample=light))
    assert settings.placement == {
        "netback": (0,),
        "web/0": (1,),
        "db/0": (1,),
        "burn/0": (0, 1, 2, 3),
    }
    assert replace(settings, placement=BASELINE.placement) == BASELINE


def test_guests_that_would_overfill_the_domain_may_use_any_core_but_the_backends() -> None:
    seen = sample()
    busy = replace(seen, guest_cpu={**seen.guest_cpu, "web": 0.6, "db": 0.5})
    place = propose("liao-cache", replace(START, baseline_sample=busy)).placement
    assert place == {
        "netback": (0,),
        "web/0": (1,),
        "db/0": (1, 2, 3),
        "burn/0": (0, 1, 2, 3),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("liao-cache", {"netback": (2,), "web/0": (3,), "db/0": (3,), "burn/0": (0, 1, 2, 3)}),
        ("expert", {"netback": (2,), "web/0": (3,), "db/0": (2,), "burn/0": (0, 1)}),
    ],
)
def test_a_backend_goes_where_its_guests_may_be_and_each_of_them_stays_there(
    name: str, expected: dict[str, tuple[int, ...]]
) -> None:
    limits = replace(SPEC.limits, reach=dict.fromkeys(("web/0", "db/0"), (2, 3)))
    seen = replace(sample(), guest_cpu={"web": 0.3, "db": 0.3, "burn": 0.9})
    bound = replace(START, spec=replace(SPEC, limits=limits), baseline_sample=seen)
    assert propose(name, bound).placement == expected


def test_credit_stealing_boosts_the_driver_domain_alone() -> None:
    assert propose("liao-credit") == replace(BASELINE, weight={**BASELINE.weight, "dom0": 2048})


@pytest.mark.parametrize(
    ("modes", "chosen"), [(("stock", "lean", "direct"), "direct"), (("stock", "lean"), "lean")]
)
def test_the_simple_bridge_is_the_leanest_there_is(modes: tuple[str, ...], chosen: str) -> None:
    spec = replace(SPEC, limits=replace(SPEC.limits, bridge=modes))
    assert propose("liao-bridge", replace(START, spec=spec)).bridge == chosen


def test_the_queue_grows_while_that_helps_and_stops_when_it_does_not() -> None:
    history = START
    lengths = []
    while settings := registry.get("liao-queue").propose(history):
        lengths.append(settings.tx_queue["v0"])
        history = tried(history, settings)
    assert lengths == [128, 512, 2048, 4000]
    flat = tried(
        tried(START, propose("liao-queue"), sample()),
        replace(BASELINE, tx_queue={"v0": 512, "v1": 512}),
        sample(),
    )
    assert registry.get("liao-queue").propose(flat) is None


def test_side_cores_are_as_many_as_the_backends_kept_busy_polled_near_the_uplink() -> None:
    settings = propose("lee")
    assert settings.side_cores == (0,)
    assert settings.polling
    assert settings.placement == {
        "netback": (0,),
        "web/0": (1, 2, 3),
        "db/0": (1, 2, 3),
        "burn/0": (1, 2, 3),
    }


def test_both_papers_together_hold_every_technique() -> None:
    settings = propose("both")
    assert settings.side_cores == (0,)
    assert settings.placement["web/0"] == (1,)
    assert settings.weight["dom0"] == 2048
    assert settings.bridge == "direct"
    assert settings.tx_queue == {"v0": 128, "v1": 128}


def test_a_recipe_that_cannot_adapt_is_tried_once() -> None:
    history = tried(START, propose("liao-cache"))
    assert registry.get("liao-cache").propose(history) is None
