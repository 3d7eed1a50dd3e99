"""Who takes a core from whom, when, and what becomes of work that is interrupted."""

import pytest
from msgspec.structs import replace
from numba import njit

from envs.reward import bandwidth
from envs.scenario import (
    DriverDomain,
    Flow,
    GuestKind,
    Scenario,
    Scheduler,
    Settable,
    Stock,
    Topology,
)
from envs.sim import bridge, fifo, scheduler
from envs.sim.compile import States
from envs.sim.host import SimHost
from envs.sim.state import DATA, SEGMENTS

BACKEND, GUEST, BUSY = "netback-vif1.0", "g1/0", "busy/0"
PLAIN = Scenario(
    name="small",
    about="one guest receives at a fixed rate on four cores",
    guests=(GuestKind(name="g1"), GuestKind(name="busy", role="cpu", vifs=0)),
    flows=(Flow(source="outside", sink="g1", kind="udp", gbps=0.5),),
    topology=Topology(cores=4),
    driver_domain=DriverDomain(kind="threads"),
    stock=Stock(tx_queue=64),
    settable=Settable(side_cores=0),
)


def placed(scenario: Scenario, **cores: int) -> SimHost:
    names = {"backend": BACKEND, "guest": GUEST, "busy": BUSY}
    host = SimHost(scenario)
    stock = host.settings()
    pinned = {names[key]: (core,) for key, core in cores.items()}
    host.apply(replace(stock, placement={**stock.placement, **pinned}))
    return host


def test_a_minimum_run_makes_a_boosted_vcpu_wait_that_long_and_no_longer() -> None:
    """A millisecond beside a CPU-bound guest, not until that one's slice of 30 ms is over."""
    scheduling = Scheduler(kind="credit", ratelimit_us=1000.0)
    flows = (replace(PLAIN.flows[0], gbps=0.1),)
    scenario = replace(PLAIN, scheduler=scheduling, flows=flows, stock=Stock(tx_queue=1000))
    host = placed(scenario, backend=0, guest=1, busy=1)
    sample = host.measure(0.5)
    assert bandwidth(sample) == pytest.approx(0.1, rel=0.05)
    assert sample.work["busy"] > 0.3
    s = host._states[0]
    assert s["core"]["switches"][1] > 300


@pytest.mark.parametrize("kind", ["credit", "fair"])
def test_what_is_woken_on_an_idle_core_stays_there(kind: str) -> None:
    """Another that goes idle at the same moment does not take it: it would be alone on its core."""
    scenario = replace(PLAIN, guests=PLAIN.guests[:1], scheduler=Scheduler(kind=kind))
    sample = SimHost(scenario).measure(0.2)
    assert sum(busy > 0.0 for busy in sample.core_busy.values()) == 2


@njit
def interrupted(states: States, work: float, overhead: float, after: float) -> float:
    """What is left of ``work`` that VCPU 0 began after a switch, and that ends ``after`` ns."""
    s = states[0]
    s.now = 1e6
    scheduler.enqueue(s, 0, 0)
    scheduler.start(s, 0, 0)
    v, core = s.vcpu[0], s.core[0]
    core.since = core.started = v.begun = s.now
    v.productive = s.now + overhead
    s.until[0] = v.productive + work
    s.now += after
    scheduler.preempt(s, 0)
    return v.left


@pytest.mark.parametrize(
    ("after", "left"), [(0.0, 9000.0), (500.0, 8550.0), (2000.0, 7200.0), (10000.0, 0.0)]
)
def test_a_switch_that_was_interrupted_is_not_carried_on(after: float, left: float) -> None:
    """It is paid anew at the next start; of the work, as much is done as of both together."""
    host = SimHost(PLAIN)
    host._reset()
    assert interrupted(host._states, 9000.0, 1000.0, after) == pytest.approx(left)


@njit
def half_forwarded(states: States) -> None:
    """Core 1 copies half of what core 2 put into the transmit ring as one segment."""
    s = states[0]
    ring = s.vif[0].tx_ring
    fifo.push(s, ring, 0, DATA, 64, 64 * 1500, 2, 0.0, 7.0, 7.0)
    bridge.forward(s, ring, 32, 1, s.now, 0.0)


def test_only_what_was_copied_is_in_the_cache_of_who_copied_it() -> None:
    host = SimHost(replace(PLAIN, flows=(Flow(source="g1", sink="outside"),)))
    host._reset()
    half_forwarded(host._states)
    s = host._states[0]
    left, gone = (s["segment"][q * SEGMENTS] for q in (s["vif"]["tx_ring"][0], s["uplink_queue"]))
    assert (left["core"], left["core_clock"], left["packets"]) == (2, 7.0, 32)
    assert (gone["core"], gone["packets"]) == (1, 32)
