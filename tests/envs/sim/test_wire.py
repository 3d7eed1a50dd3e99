"""The uplink: what its rate, its round trip and its interrupts allow, and no less."""

import numpy as np
import pytest
from msgspec.structs import replace

from envs.host import Settings
from envs.reward import bandwidth
from envs.scenario import DriverDomain, Flow, GuestKind, Link, Scenario, Settable, Stock, Topology
from envs.sim.host import SimHost
from envs.sim.state import FOREVER

IN = Flow(source="outside", sink="g1", rto_ms=10.0)
OUT = Flow(source="g1", sink="outside", rto_ms=10.0)
PLAIN = Scenario(
    name="small",
    about="one guest on four cores with nothing else to do",
    guests=(GuestKind(name="g1"),),
    flows=(IN,),
    topology=Topology(cores=4),
    driver_domain=DriverDomain(kind="threads"),
    stock=Stock(tx_queue=1000),
    settable=Settable(side_cores=2, polling=True),
)


def round_trip_us(scenario: Scenario, settings: Settings | None = None) -> float:
    """What a flow that always fills its window says of the time until it is acknowledged."""
    host = SimHost(scenario)
    host.apply(settings or host.settings())
    gbps = bandwidth(host.measure(0.3))
    return scenario.flows[0].window_kb * 1024 * 8e-3 / gbps


@pytest.mark.parametrize("flow", [IN, OUT], ids=["in", "out"])
def test_a_packet_may_take_longer_on_the_wire_than_an_interrupt_interval(flow: Flow) -> None:
    """64 KiB at 1 Gb/s are half a millisecond."""
    link = Link(gbps=1.0, moderation_us=30.0)
    scenario = replace(PLAIN, flows=(flow,), uplink=link, offload=True)
    gbps = bandwidth(SimHost(scenario).measure(0.2))
    assert gbps == pytest.approx(1500 / 1538, rel=0.05)


@pytest.mark.parametrize("flow", [IN, OUT], ids=["in", "out"])
@pytest.mark.parametrize("rtt", [1000.0, 2000.0])
def test_a_round_trip_is_as_long_as_the_line_and_hardly_longer(flow: Flow, rtt: float) -> None:
    """One that begins when nothing else is under way waits for no interrupt interval."""
    link = Link(rtt_us=rtt, moderation_us=250.0)
    flow = replace(flow, window_kb=24.0)
    assert rtt < round_trip_us(replace(PLAIN, flows=(flow,), uplink=link)) < rtt + 90.0


def test_a_poller_waits_for_no_interrupt() -> None:
    link = Link(rtt_us=50.0, moderation_us=400.0)
    scenario = replace(PLAIN, flows=(replace(IN, window_kb=64.0),), uplink=link)
    stock = SimHost(scenario).settings()
    place = {**stock.placement, "netback-vif1.0": (0,), "g1/0": (1, 2, 3)}
    polling = replace(stock, placement=place, side_cores=(0,), polling=True)
    assert round_trip_us(scenario, polling) < 250.0
    assert round_trip_us(scenario) > 250.0


def test_a_sender_that_lost_all_starts_anew() -> None:
    """Even if nothing else happens on the wire that would have it looked at."""
    host = SimHost(PLAIN)
    host._reset()
    s = host._states[0]
    s["next_wire"] = s["in_since"] = FOREVER
    s["flow"]["cwnd"][0] = s["flow"]["inflight"][0] = s["flow"]["lost"][0] = 15000
    host._run(0.1)
    assert s["flow"]["delivered"][0] > 10e6


def test_the_wire_is_shared_by_those_that_fill_it() -> None:
    guests = tuple(GuestKind(name=f"g{k}") for k in range(3))
    flows = tuple(replace(IN, sink=guest.name, window_kb=512.0) for guest in guests)
    link = Link(gbps=2.0, moderation_us=60.0)
    host = SimHost(replace(PLAIN, guests=guests, flows=flows, uplink=link))
    got = [port.inward.bytes for port in host.measure(0.3).vifs.values()]
    assert 8e-9 * sum(got) / 0.3 == pytest.approx(2.0 * 1500 / 1538, rel=0.02)
    assert np.ptp(got) < 0.2 * np.mean(got)
