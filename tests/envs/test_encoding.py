"""An observation is bounded, complete, and independent of ids, order and number."""

import numpy as np
import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.decision import Decision
from envs.encoding import Encoder
from envs.features import (
    GUARDS,
    HOST,
    SAMPLE,
    SETTINGS,
    VERDICT,
    guards_row,
    host_row,
    sample_row,
    settings_row,
    verdict_row,
)
from envs.history import History, Trial
from envs.host import Core, HostSpec, Sample, Settings
from envs.layout import BOUND, CANDIDATE, CANDIDATES, STATE, Observation, empty
from envs.menu import MAX_VALUES
from envs.overlap import PLACED, Overlap
from envs.reward import Guards, judge

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


def tried(history: History, settings: Settings, seen: Sample) -> History:
    verdict = judge(history.spec, settings, seen, history.baseline, history.baseline_sample)
    return history.with_trial(Trial(settings=settings, sample=seen, verdict=verdict))


def observe(history: History, decision: Decision) -> Observation:
    encoder = Encoder(history.spec, history.baseline)
    return encoder.encode(encoder.facts(history), decision)


def at(subject: str, history: History = START) -> Decision:
    decision = Decision.start(history.spec, history.baseline, history.start)
    while decision.choice and decision.choice.subject != subject:
        decision = decision.take(0)
    return decision


def column(observation: Observation, name: str) -> list[float]:
    rows = observation["candidates"][observation["mask"] > 0]
    return rows[:, CANDIDATES.index(name)].tolist()


@given(st.data(), hosts())
def test_every_observation_is_finite_bounded_and_of_one_shape(
    data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    encoder = Encoder(spec, baseline)
    for _ in range(2):
        facts = encoder.facts(history)
        decision = Decision.start(spec, baseline, history.start)
        while decision.choice:
            observation = encoder.encode(facts, decision)
            assert observation["state"].shape == (STATE,)
            assert observation["candidates"].shape == (MAX_VALUES, CANDIDATE)
            for array in observation.values():
                assert np.all(np.abs(array) <= BOUND)
            count = len(decision.choice.values)
            assert observation["mask"].tolist() == [1.0] * count + [0.0] * (MAX_VALUES - count)
            assert not observation["candidates"][count:].any()
            decision = decision.take(data.draw(st.integers(0, count - 1)))
        history = tried(history, decision.settings, data.draw(samples(spec)))


def test_the_rows_are_as_long_as_their_names() -> None:
    verdict = judge(SPEC, BASELINE, sample(), BASELINE, sample())
    assert len(host_row(SPEC)) == len(HOST)
    assert len(guards_row(Guards())) == len(GUARDS)
    assert len(sample_row(SPEC, BASELINE, sample())) == len(SAMPLE)
    assert len(verdict_row(verdict)) == len(VERDICT)
    assert len(settings_row(SPEC, BASELINE, BASELINE)) == len(SETTINGS)
    assert len(Overlap(SPEC).place(BASELINE.placement).summary) == len(PLACED)


def relabelled(order: list[int]) -> History:
    """The same host with core i called ``order[i]`` and the guests the other way round."""
    spec = replace(
        SPEC,
        cores=tuple(
            sorted(
                (
                    Core(id=order[core.id], llc=core.llc, node=core.node, sibling=core.sibling)
                    for core in SPEC.cores
                ),
                key=lambda core: core.id,
            )
        ),
        guests=SPEC.guests[::-1],
    )
    seen = sample()
    busy = {order[core]: value for core, value in UNEVEN.core_busy.items()}
    return History(spec=spec, baseline=BASELINE, baseline_sample=replace(seen, core_busy=busy))


UNEVEN = replace(sample(), core_busy={0: 0.9, 1: 0.2, 2: 0.5, 3: 0.7})


@given(st.permutations(range(4)), st.sampled_from(["netback", "web/0", "db/0", "burn/0"]))
def test_the_ids_of_cores_and_the_order_of_guests_do_not_matter(
    order: list[int], subject: str
) -> None:
    one, other = replace(START, baseline_sample=UNEVEN), relabelled(order)
    first, second = at(subject, one), at(subject, other)
    a, b = observe(one, first), observe(other, second)
    assert a["state"] == pytest.approx(b["state"])
    assert first.choice
    assert second.choice
    renamed = {v.cores: row for v, row in zip(second.choice.values, b["candidates"], strict=False)}
    for value, row in zip(first.choice.values, a["candidates"], strict=False):
        assert row == pytest.approx(renamed[tuple(sorted(order[c] for c in value.cores))])


def test_a_candidate_tells_what_it_keeps_and_what_was_tried() -> None:
    best = replace(BASELINE, bridge="direct")
    history = tried(START, best, sample(best))
    history = tried(history, replace(BASELINE, bridge="lean"), sample(BASELINE))
    decision = Decision.start(SPEC, BASELINE, BASELINE)
    while decision.choice and decision.choice.kind != "bridge":
        decision = decision.take(0)
    observation = observe(history, decision)
    assert column(observation, "keeps") == [1.0, 0.0, 0.0]
    assert column(observation, "baseline's") == [1.0, 0.0, 0.0]
    assert column(observation, "best trial's") == [0.0, 0.0, 1.0]
    assert column(observation, "last trial's") == [0.0, 1.0, 0.0]
    assert column(observation, "direct bridge") == [0.0, 0.0, 1.0]


def test_a_core_tells_whose_use_it_holds_and_what_it_shares_with_the_peers() -> None:
    decision = at("netback").take([v.cores for v in _values("netback")].index((0,)))
    assert decision.choice
    assert decision.choice.subject == "web/0"
    observation = observe(START, decision)
    cores = [value.cores for value in decision.choice.values]
    own, mate, far = cores.index((0,)), cores.index((1,)), cores.index((2,))
    use = column(observation, "backends' use")
    assert [use[own], use[mate], use[far]] == pytest.approx([0.8, 0.0, 0.0])
    core = column(observation, "core shared with the peers")
    assert [core[own], core[mate], core[far]] == [1.0, 0.0, 0.0]
    llc = column(observation, "llc domain shared with the peers")
    assert [llc[own], llc[mate], llc[far]] == [1.0, 1.0, 0.0]


def _values(subject: str) -> tuple:
    choice = at(subject).choice
    assert choice
    return choice.values


def test_a_subjects_own_use_is_not_held_against_a_core() -> None:
    decision = at("netback").take([v.cores for v in _values("netback")].index((0,)))
    again = Decision.start(SPEC, BASELINE, decision.settings).take(0)
    assert again.choice
    assert again.choice.subject == "netback"
    assert column(observe(START, again), "backends' use") == [0.0] * len(again.choice.values)


def test_where_no_choice_is_left_one_value_stands_for_doing_nothing() -> None:
    decision = at("nobody")
    observation = observe(START, decision)
    assert observation["mask"].sum() == 1.0
    assert {k: v.tolist() for k, v in observation.items()} == {
        k: v.tolist() for k, v in empty().items()
    }
