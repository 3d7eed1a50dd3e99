"""A vif's queue loses what queueing theory says that a finite queue loses.

Packets come at random moments to the queue of a host on which nothing else takes time, and a
backend delivers one after the other: M/D/1/K where that takes always the same, M/M/1/K where it
takes as long as the packet is large and sizes are exponential. K counts the one in delivery.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Protocol

import numpy as np
import pytest
from numba import njit

from envs.host import Settings
from envs.reference.host import Simulation
from envs.reference.processor import Steps
from envs.scenario import (
    Costs,
    DriverDomain,
    Flow,
    GuestKind,
    Link,
    Scenario,
    Scheduler,
    Settable,
    Topology,
)
from envs.sim import bridge, engine, fifo, scheduler
from envs.sim.compile import States, apply_settings, compile_host
from envs.sim.describe import spec_of
from envs.sim.state import DATA, IN_MEMORY

SERVICE = 1000.0
"""Nanoseconds that a delivery takes on average."""
PACKETS = 10_000
MEAN = 1000
"""Bytes, where sizes are random."""
NOTHING = dict.fromkeys(Costs.__struct_fields__, 0.0)
CONSTANT = Costs(**{**NOTHING, "backend_packet": SERVICE})
BY_SIZE = Costs(**{**NOTHING, "backend_byte": SERVICE / MEAN})


def host(costs: Costs) -> Scenario:
    """Cores of 1 GHz, so that a cycle is a nanosecond; the flow itself sends next to nothing."""
    return Scenario(
        name="queue",
        about="a queue and a backend that handles one packet after the other",
        guests=(GuestKind(name="g1"),),
        flows=(Flow(source="outside", sink="g1", kind="udp", gbps=1e-9),),
        topology=Topology(cores=2, per_llc=2, per_node=2, ghz=1.0),
        scheduler=Scheduler(kind="fair", wake_us=0.0, switch_us=0.0),
        uplink=Link(gbps=0.0),
        driver_domain=DriverDomain(kind="threads", batch=1, ring=1000),
        costs=costs,
        settable=Settable(side_cores=0),
    )


def arrivals(load: float, *, random_size: bool) -> Iterator[tuple[float, int]]:
    """Nanoseconds until the next packet, and its size."""
    random = Random(1)  # noqa: S311 - no secret
    for _ in range(PACKETS):
        size = max(1, round(random.expovariate(1.0 / MEAN))) if random_size else MEAN
        yield random.expovariate(load / SERVICE), size


def pinned(scenario: Scenario, length: int) -> Settings:
    spec = spec_of(scenario)
    return Settings(
        placement={spec.backends[0].name: (0,), "g1/0": (1,)},
        weight=dict.fromkeys(spec.domains, 1024),
        tx_queue=dict.fromkeys(spec.vifs, length),
    )


def lost_by_reference(costs: Costs, load: float, length: int, *, random_size: bool) -> float:
    scenario = host(costs)
    spec = spec_of(scenario)
    simulation = Simulation(scenario, spec, pinned(scenario, length), seed=0)
    (flow,), port = simulation.flows, simulation.vifs[0]

    def source() -> Steps:
        for gap, size in arrivals(load, random_size=random_size):
            yield simulation.env.timeout(gap)
            told = simulation.bridge.forward(flow.send(size), port.guest)
            simulation.machine.notify_all(port.guest, [told])

    simulation.env.run(simulation.env.process(source()))
    return port.inward.drops / PACKETS


@njit
def arrive(states: States, size: int) -> None:
    """One packet more comes out of the NIC's ring onto the bridge."""
    s = states[0]
    q = s.vif[0].nic_queue
    fifo.push(s, q, 0, DATA, 1, size, IN_MEMORY, s.now, 0.0, 0.0)
    bridge.forward(s, q, 1, -1, s.now, 0.0)
    scheduler.wake(s, s.vif[0].deliverer)
    engine._dispatch(s, -1)


def lost_by_fast(costs: Costs, load: float, length: int, *, random_size: bool) -> float:
    scenario = host(costs)
    spec = spec_of(scenario)
    states = compile_host(scenario, spec, 0)
    apply_settings(states, scenario, spec, pinned(scenario, length))
    now = 0.0
    for gap, size in arrivals(load, random_size=random_size):
        now += gap
        engine.run(states, now)
        arrive(states, size)
    return float(states[0]["vif"]["in_drops"][0]) / PACKETS


def loss_with_constant_service(load: float, k: int) -> float:
    """M/D/1/K, from the chain of what a departure leaves behind (Gross and Harris, 5.1.8)."""
    arrive_in_one = [math.exp(-load) * load**j / math.factorial(j) for j in range(k)]
    chain = np.zeros((k, k))
    for left in range(k):
        begun = max(left, 1) - 1
        for j in range(k - 1 - begun):
            chain[left, begun + j] = arrive_in_one[j]
        chain[left, k - 1] += 1.0 - chain[left].sum()
    system = np.vstack([chain.T - np.eye(k), np.ones(k)])
    empty = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0][0]
    return float(1.0 - 1.0 / (empty + load))


def loss_with_random_service(load: float, k: int) -> float:
    """M/M/1/K."""
    return 1.0 / (k + 1) if load == 1.0 else (1.0 - load) * load**k / (1.0 - load ** (k + 1))


class Loss(Protocol):
    """The share of packets that a simulator loses."""

    def __call__(self, costs: Costs, load: float, length: int, *, random_size: bool) -> float: ...


SIMULATORS = pytest.mark.parametrize(
    "lost", [lost_by_reference, lost_by_fast], ids=["reference", "fast"]
)
LOADS = pytest.mark.parametrize(("load", "length"), [(0.7, 2), (0.9, 8), (1.0, 4), (1.5, 32)])


@SIMULATORS
@LOADS
def test_constant_service_loses_as_m_d_1_k(lost: Loss, load: float, length: int) -> None:
    expected = loss_with_constant_service(load, length)
    assert lost(CONSTANT, load, length, random_size=False) == pytest.approx(
        expected, rel=0.1, abs=1e-2
    )


@SIMULATORS
@LOADS
def test_random_service_loses_as_m_m_1_k(lost: Loss, load: float, length: int) -> None:
    expected = loss_with_random_service(load, length)
    measured = lost(BY_SIZE, load, length, random_size=True)
    assert measured == pytest.approx(expected, rel=0.1, abs=1e-2)


def test_the_formulas_agree_with_known_values() -> None:
    assert loss_with_constant_service(1.0, 1) == pytest.approx(0.5)  # Erlang's loss formula
    assert loss_with_random_service(1.0, 1) == pytest.approx(0.5)
    assert loss_with_constant_service(3.0, 20) == pytest.approx(2 / 3, rel=1e-3)  # overload
