"""What a forecast reads of a setting is bounded and independent of ids, order and company."""

import hypothesis
import numpy as np
import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.search import changed
from envs.history import History
from envs.host import HostSpec, Settings
from envs.layout import BOUND
from envs.menu import Menu
from envs.prospect import ENTITY, WHOLE, Prospects

START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


def some(spec: HostSpec, baseline: Settings, count: int) -> list[Settings]:
    menu, rng = Menu(spec, baseline), np.random.default_rng(0)
    return [changed(menu, baseline, 1.0, rng) for _ in range(count)]


def told(settings: Settings, history: History = START) -> dict[str, dict[str, float]]:
    prospects = Prospects(history.spec, history.baseline)
    entities, _ = prospects.rows(prospects.facts(history), [settings])
    backends = [backend.name for backend in history.spec.backends]
    names = [*backends, *history.spec.vcpus]
    rows = zip(names, entities[0].tolist(), strict=True)
    return {name: dict(zip(ENTITY, row, strict=True)) for name, row in rows}


@hypothesis.settings(max_examples=40)
@given(st.data(), hosts())
def test_every_number_is_finite_and_bounded_and_company_changes_nothing(
    data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    first, *rest = settings = some(spec, baseline, 3)
    history = history.with_sample(first, data.draw(samples(spec)))
    prospects = Prospects(spec, baseline)
    known = prospects.facts(history)
    entities, wholes = prospects.rows(known, settings)
    assert entities.shape == (3, len(spec.backends) + len(spec.vcpus), len(ENTITY))
    assert wholes.shape == (3, WHOLE)
    assert np.all(np.abs(entities) <= BOUND)
    assert np.all(np.abs(wholes) <= BOUND)
    for k, one in enumerate(rest, start=1):
        alone = prospects.rows(known, [one])
        assert alone[0][0] == pytest.approx(entities[k])
        assert alone[1][0] == pytest.approx(wholes[k])


@given(st.permutations(range(4)))
def test_the_ids_of_cores_do_not_matter(order: list[int]) -> None:
    cores = (replace(core, id=order[core.id]) for core in SPEC.cores)
    spec = replace(SPEC, cores=tuple(sorted(cores, key=lambda core: core.id)))
    seen = sample()
    busy = {order[core]: value for core, value in seen.core_busy.items()}
    other = replace(START, spec=spec, baseline_sample=replace(seen, core_busy=busy))
    for settings in some(SPEC, BASELINE, 4):
        place = {
            name: tuple(sorted(order[core] for core in cores))
            for name, cores in settings.placement.items()
        }
        side = tuple(sorted(order[core] for core in settings.side_cores))
        renamed = replace(settings, placement=place, side_cores=side)
        assert told(renamed, other) == {
            name: pytest.approx(row, abs=1e-6) for name, row in told(settings).items()
        }


def test_an_entity_tells_what_stays_who_is_near_and_whether_it_is_alone() -> None:
    placed = {**BASELINE.placement, "netback": (0,), "web/0": (1,), "db/0": (1,)}
    rows = told(replace(BASELINE, placement=placed))
    assert rows["netback"]["alone on its core"] == float(
        not any(0 in cores for name, cores in placed.items() if name != "netback")
    )
    assert rows["web/0"]["alone on its core"] == 0.0
    assert rows["web/0"]["as at the baseline"] == 0.0
    assert rows["burn/0"]["as at the baseline"] == 1.0
    assert rows["web/0"]["other io vcpus' use"] >= rows["db/0"]["cores used at the start"] - 1e-6
    assert rows["web/0"]["llc domain shared with its peers"] == pytest.approx(1.0)
