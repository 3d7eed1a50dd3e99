"""Requests and answers: how many, and how long they take."""

import pytest
from msgspec.structs import replace

from envs.reference.host import ReferenceHost, Simulation
from envs.scenario import (
    DriverDomain,
    Flow,
    GuestKind,
    Link,
    Scenario,
    Scheduler,
    Settable,
    Topology,
)
from envs.sim.host import SimHost
from envs.sim.latency import Answers

ASK = Flow(source="outside", sink="g1", kind="rr", rto_ms=10.0)
PLAIN = Scenario(
    name="small",
    about="one guest answers requests from outside, on four cores",
    guests=(GuestKind(name="g1"), GuestKind(name="g2")),
    flows=(ASK,),
    topology=Topology(cores=4),
    uplink=Link(rtt_us=40.0, moderation_us=30.0),
    driver_domain=DriverDomain(kind="threads"),
    settable=Settable(side_cores=0),
)
WAYS = [("outside", "g1"), ("g1", "outside"), ("g1", "g2")]


def answers(scenario: Scenario) -> Answers:
    host = SimHost(scenario)
    host.measure(0.1)
    assert host.answers is not None
    return host.answers


def by_reference(scenario: Scenario) -> tuple[float, float]:
    """Answers a second, and their mean time in seconds."""
    host = ReferenceHost(scenario)
    simulation = Simulation(scenario, host.describe(), host.settings(), 0)
    simulation.run(0.05)
    waits = [wait for flow in simulation.flows for wait in flow.waits]
    return len(waits) / 0.05, 1e-9 * sum(waits) / len(waits)


@pytest.mark.parametrize(("source", "sink"), WAYS)
@pytest.mark.parametrize("connections", [1, 16])
def test_as_many_are_under_way_as_there_are_connections(
    source: str, sink: str, connections: int
) -> None:
    """Little's law: what is under way is rate times time. Classes are a fifth wide."""
    flow = replace(ASK, source=source, sink=sink, connections=connections)
    found = answers(replace(PLAIN, flows=(flow,)))
    assert found.per_second * found.median == pytest.approx(connections, rel=0.25)
    assert found.median <= found.p90 <= found.p99


@pytest.mark.parametrize(("source", "sink"), WAYS)
@pytest.mark.parametrize("connections", [1, 16])
def test_both_simulators_agree(source: str, sink: str, connections: int) -> None:
    flow = replace(ASK, source=source, sink=sink, connections=connections)
    scenario = replace(PLAIN, flows=(flow,))
    rate, mean = by_reference(scenario)
    found = answers(scenario)
    assert found.per_second == pytest.approx(rate, rel=0.2)
    assert found.median == pytest.approx(mean, rel=0.3)


def test_an_answer_takes_the_line_and_what_the_host_takes() -> None:
    found = answers(PLAIN)
    assert 40e-6 < found.median < 100e-6


def test_a_minimum_run_shows_in_the_tail() -> None:
    """Beside CPU-bound guests, a request waits for theirs to be over."""
    busy = GuestKind(name="busy", role="cpu", vcpus=4, vifs=0)
    scheduler = Scheduler(kind="credit", ratelimit_us=1000.0)
    beside = answers(replace(PLAIN, guests=(*PLAIN.guests, busy), scheduler=scheduler))
    assert beside.p99 > 5.0 * answers(PLAIN).p99
