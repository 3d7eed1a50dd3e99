"""What holds for the reference by itself: nothing gets lost or exceeded, shares are kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.errors import InputError
from envs.host import to_json
from envs.reference.agreement import cases
from envs.reference.host import WARM_UP, ReferenceHost, Simulation
from envs.reference.packets import Queue
from envs.reference.traffic import Flow
from envs.reward import bandwidth
from envs.scenario import (
    DriverDomain,
    GuestKind,
    Scenario,
    Scheduler,
    Settable,
    Stock,
    Topology,
    generate,
)
from envs.scenario import Flow as FlowSpec
from envs.sim.describe import spec_of, stock_of

SECONDS = 0.01
BUSY = GuestKind(name="busy", role="cpu", vifs=0)
PLAIN = Scenario(
    name="small",
    about="one guest receives",
    guests=(GuestKind(name="g1"),),
    flows=(FlowSpec(source="outside", sink="g1"),),
    topology=Topology(cores=4),
    driver_domain=DriverDomain(kind="threads"),
    settable=Settable(side_cores=2, polling=True),
)


def queued(simulation: Simulation, flow: Flow) -> int:
    """Bytes of a flow in the host's queues, from the NIC to the last before a receiver."""
    queues: list[Queue] = [simulation.nic.queue, *set(simulation.nic.rings.values())]
    for vif in simulation.vifs.values():
        queues += [vif.queue, vif.tx_ring]
    packets = (packet for queue in queues for packet in queue)
    return sum(p.size for p in packets if p.flow is flow and not p.is_ack)


@given(st.integers(0, 1_000_000))
@settings(max_examples=4, deadline=None)
def test_what_is_offered_is_delivered_dropped_or_queued(seed: int) -> None:
    scenario = generate(seed)
    spec = spec_of(scenario)
    simulation = Simulation(scenario, spec, stock_of(scenario, spec), seed)
    simulation.run(WARM_UP)
    for flow in simulation.flows:
        wire = flow.offered - flow.delivered - flow.dropped - queued(simulation, flow)
        assert 0 <= wire <= 65536  # one packet may be on the wire


@given(st.integers(0, 1_000_000))
@settings(max_examples=4, deadline=None)
def test_time_adds_up_and_neither_core_nor_link_is_exceeded(seed: int) -> None:
    scenario = generate(seed)
    sample = ReferenceHost(scenario).measure(SECONDS)
    assert all(0 <= busy <= SECONDS * (1 + 1e-9) for busy in sample.core_busy.values())
    spent = sum(sample.guest_cpu.values()) + sum(sample.backend_cpu.values())
    assert spent == pytest.approx(sum(sample.core_busy.values()))
    for guest, work in sample.work.items():
        assert 0 <= work <= sample.guest_cpu[guest] * (1 + 1e-9)
    if scenario.uplink.gbps:
        most = SECONDS * scenario.uplink.gbps / 8e-9 + 65536
        assert max(sample.uplink.inward.bytes, sample.uplink.outward.bytes) <= most


def test_the_same_measurement_gives_the_same_bits() -> None:
    scenario = generate(2_000_008)
    one, other = (ReferenceHost(scenario, seed=3).measure(SECONDS) for _ in range(2))
    assert to_json(one) == to_json(other)
    assert to_json(ReferenceHost(scenario, seed=4).measure(SECONDS)) != to_json(one)


@pytest.mark.parametrize("kind", ["credit-2008", "credit", "fair"])
def test_shares_of_a_core_follow_weights(kind: str) -> None:
    rivals = (replace(BUSY, name="heavy"), replace(BUSY, name="light"))
    scenario = replace(
        PLAIN,
        guests=(*PLAIN.guests, *rivals),
        flows=(FlowSpec(source="outside", sink="g1", kind="udp", gbps=1e-6),),
        topology=Topology(cores=1, per_llc=1, per_node=1),
        scheduler=Scheduler(kind=kind),
        settable=Settable(side_cores=0),
    )
    spec = spec_of(scenario)
    stock = stock_of(scenario, spec)
    weighted = replace(stock, weight={**stock.weight, "heavy": 2 * stock.weight["light"]})
    simulation = Simulation(scenario, spec, weighted, seed=0)
    simulation.run(3.0)
    heavy, light = (simulation.vcpus[name].cpu for name in ("heavy/0", "light/0"))
    assert heavy / light == pytest.approx(2.0, rel=0.1)


def test_a_guest_that_wakes_goes_first_but_for_the_minimum_run() -> None:
    """With a rate limit it waits for the rest of that, not for the end of a slice."""
    latency = {}
    for limit in (0.0, 1000.0):
        scenario = replace(
            PLAIN,
            guests=(*PLAIN.guests, BUSY),
            flows=(FlowSpec(source="outside", sink="g1", kind="udp", gbps=0.05),),
            topology=Topology(cores=1, per_llc=1, per_node=1),
            scheduler=Scheduler(kind="credit", ratelimit_us=limit),
            stock=Stock(weight=1024, tx_queue=256),
            settable=Settable(side_cores=0),
        )
        sample = ReferenceHost(scenario).measure(0.2)
        assert bandwidth(sample) == pytest.approx(0.05, rel=0.1)
        latency[limit] = sample.latency or 0.0
    assert latency[0.0] < 0.5e-3
    assert latency[0.0] < latency[1000.0] < 3e-3


def test_a_lost_acknowledgement_goes_with_the_next() -> None:
    host = ReferenceHost(replace(PLAIN, flows=(FlowSpec(source="g1", sink="outside"),)))
    host.apply(replace(host.settings(), tx_queue={"vif1.0": 1}))
    sample = host.measure(0.05)
    assert sample.vifs["vif1.0"].inward.drops > 0
    assert bandwidth(sample) > 0.5


def test_an_interval_must_have_a_length() -> None:
    with pytest.raises(InputError, match="must be more than 0"):
        ReferenceHost(PLAIN).measure(0.0)


def test_the_same_seed_gives_the_same_cases() -> None:
    once, again = (tuple(cases([2_000_000], 3)) for _ in range(2))
    assert once == again
    assert len({case.key for case in once}) == 3
