"""A trace shows what a sample counts."""

import numpy as np
import pytest
from msgspec.structs import replace

from envs.errors import InputError
from envs.scenario import load
from envs.sim.host import SimHost
from envs.sim.trace import IDLE, trace

SCENARIO, SECONDS = load("xen-2008-mixed"), 0.2


def test_a_core_is_seen_busy_as_often_as_it_is_counted_busy() -> None:
    seen = trace(SCENARIO, None, SECONDS)
    shown = (seen.running != IDLE).mean(axis=0)
    sample = SimHost(SCENARIO).measure(SECONDS)
    for c, core in enumerate(seen.cores):
        assert shown[c] == pytest.approx(sample.core_busy[core] / SECONDS, abs=0.1)


def test_nobody_runs_in_two_places_or_outside_its_affinity() -> None:
    host = SimHost(SCENARIO)
    stock, guest = host.settings(), host.describe().guests[0].vcpus[0]
    pinned = replace(stock, placement={**stock.placement, guest: (3,)})
    seen = trace(SCENARIO, pinned, SECONDS)
    for row in seen.running:
        here = row[row != IDLE]
        assert len(set(here)) == len(here)
    assert set(np.nonzero(seen.running == seen.names.index(guest))[1]) == {3}


def test_drops_only_grow_and_come_with_a_full_queue() -> None:
    scenario = load("modern-kvm")
    host = SimHost(scenario)
    short = replace(host.settings(), tx_queue=dict.fromkeys(host.describe().vifs, 4))
    seen = trace(scenario, short, SECONDS / 4)
    assert (np.diff(seen.drops, axis=0) >= 0).all()
    assert seen.drops[-1, :-2].sum() > 0
    assert seen.limits == (4,) * len(seen.vifs)


@pytest.mark.parametrize(("name", "ring"), [("xen-2008-mixed", 256), ("modern-xen", 0)])
def test_no_queue_holds_more_than_its_limit_and_the_ring_on_top(name: str, ring: int) -> None:
    seen = trace(load(name), None, SECONDS)
    assert seen.ring == ring
    assert (seen.queued <= np.array(seen.limits) + ring).all()


def test_a_trace_needs_an_interval_and_moments() -> None:
    with pytest.raises(InputError, match="at least 1"):
        trace(SCENARIO, None, SECONDS, moments=0)
    with pytest.raises(InputError, match="more than 0"):
        trace(SCENARIO, None, 0.0)
