"""What holds for every simulated host, whatever its scenario and settings."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.errors import IllegalSetting, InputError
from envs.host import to_json
from envs.scenario import (
    Costs,
    DriverDomain,
    Flow,
    GuestKind,
    Scenario,
    Scheduler,
    Stock,
    Topology,
    generate,
    load,
    names,
)
from envs.scenario.records import MAX_CORES, MAX_FLOWS, MAX_VCPUS, MAX_VIFS
from envs.sim.host import SimHost
from envs.sim.state import DATA, SEGMENTS

SECONDS = 0.05


def queued(host: SimHost, flow: int) -> int:
    """Bytes of a flow in the host's queues, from the NIC to the last before a receiver."""
    s = host._states[0]
    queues = {int(s["uplink_queue"])}
    for vif in s["vif"][: s["vifs"]]:
        queues |= {int(vif["queue"]), int(vif["tx_ring"]), int(vif["nic_queue"])}
    total = 0
    for q in queues:
        head, count = int(s["queue"]["head"][q]), int(s["queue"]["segments"][q])
        at = q * SEGMENTS + (head + np.arange(count)) % SEGMENTS
        part = s["segment"][at]
        total += int(part["size"][(part["flow"] == flow) & (part["kind"] == DATA)].sum())
    return total


def made(seed: int, *, more: bool) -> Scenario:
    """A random scenario, with ``more`` also what the generator never draws."""
    scenario = generate(seed)
    if not more:
        return scenario
    return replace(
        scenario,
        scheduler=replace(scenario.scheduler, kind="credit2"),
        guests=tuple(replace(g, cap=50 if g.role == "cpu" else 0) for g in scenario.guests),
        flows=(*scenario.flows, replace(scenario.flows[0], kind="rr", connections=8)),
    )


@pytest.mark.parametrize("name", names())
def test_shipped_scenarios_move_data(name: str) -> None:
    sample = SimHost(load(name)).measure(SECONDS)
    moved = sum(port.inward.bytes for port in sample.vifs.values()) + sample.uplink.outward.bytes
    assert moved * 8e-9 / SECONDS > 0.5
    assert sample.latency is not None
    assert sample.cache_misses is not None


@given(st.integers(0, 1_000_000), st.booleans())
@settings(max_examples=50, deadline=None)
def test_what_is_offered_is_delivered_dropped_or_queued(seed: int, more: bool) -> None:
    host = SimHost(made(seed, more=more))
    host.measure(SECONDS)
    s = host._states[0]
    for f, flow in enumerate(s["flow"][: s["flows"]]):
        assert flow["offered"] == flow["delivered"] + flow["dropped"] + queued(host, f)


@pytest.mark.parametrize(
    ("kind", "guests"), [("netback-2007", MAX_VIFS), ("threads", MAX_VCPUS // 2)]
)
def test_the_largest_host_loses_nothing_either(
    kind: Literal["netback-2007", "threads"], guests: int
) -> None:
    names = [f"g{k}" for k in range(guests)]
    scenario = Scenario(
        name="largest",
        about="as many cores and guests as there may be, each with a flow",
        guests=tuple(GuestKind(name=name) for name in names),
        flows=tuple(
            Flow(source=names[k % guests], sink="outside", kind="udp", gbps=0.05)
            for k in range(MAX_FLOWS)
        ),
        topology=Topology(cores=MAX_CORES, per_llc=MAX_CORES // 2),
        driver_domain=DriverDomain(kind=kind),
        stock=Stock(tx_queue=256),
    )
    host = SimHost(scenario)
    sample = host.measure(SECONDS)
    assert all(port.outward.bytes > 0 for port in sample.vifs.values())
    s = host._states[0]
    for f, flow in enumerate(s["flow"][: s["flows"]]):
        assert flow["offered"] == flow["delivered"] + flow["dropped"] + queued(host, f)


@given(st.integers(0, 1_000_000))
@settings(max_examples=25, deadline=None)
def test_the_same_measurement_gives_the_same_bits(seed: int) -> None:
    scenario = generate(seed)
    host = SimHost(scenario, seed)
    first = to_json(host.measure(SECONDS))
    host.measure(SECONDS / 2)
    assert to_json(host.measure(SECONDS)) == first
    assert to_json(SimHost(scenario, seed).measure(SECONDS)) == first


@given(st.integers(0, 1_000_000))
@settings(max_examples=25, deadline=None)
def test_the_link_is_never_exceeded(seed: int) -> None:
    scenario = generate(seed)
    sample = SimHost(scenario).measure(SECONDS)
    if scenario.uplink.gbps:
        most = (SECONDS + 1e-6 * scenario.uplink.moderation_us) * scenario.uplink.gbps / 8e-9
        assert sample.uplink.inward.bytes <= most
        assert sample.uplink.outward.bytes <= most


@given(st.floats(5_000.0, 50_000.0), st.integers(1, 256), st.integers(256, 1000))
@settings(max_examples=25, deadline=None)
def test_an_overloaded_backend_delivers_one_packet_in_the_time_one_costs(
    cycles: float, batch: int, length: int
) -> None:
    free = dict.fromkeys(Costs.__struct_fields__, 0.0)
    scenario = Scenario(
        name="saturated",
        about="all that costs anything is the backend's work for a packet",
        guests=(GuestKind(name="g1"),),
        flows=(Flow(source="outside", sink="g1", kind="udp", gbps=9.0),),
        driver_domain=DriverDomain(kind="threads", batch=batch),
        scheduler=Scheduler(kind="fair", wake_us=0.0, switch_us=0.0),
        costs=Costs(**{**free, "backend_packet": cycles}),
        stock=Stock(tx_queue=length),
    )
    sample = SimHost(scenario).measure(SECONDS)
    rate = sample.vifs["vif1.0"].inward.packets / SECONDS
    capacity = 1e9 * scenario.topology.ghz / cycles
    at_once = batch / SECONDS  # of a batch that ends at the edge of the interval
    assert rate == pytest.approx(capacity, rel=0.02, abs=at_once)
    assert sum(sample.backend_cpu.values()) == pytest.approx(SECONDS, rel=0.02)


@given(st.integers(0, 1_000_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_cpu_time_adds_up_and_no_core_has_more_than_the_interval(seed: int, more: bool) -> None:
    sample = SimHost(made(seed, more=more)).measure(SECONDS)
    assert all(0 <= busy <= SECONDS * (1 + 1e-9) for busy in sample.core_busy.values())
    spent = sum(sample.guest_cpu.values()) + sum(sample.backend_cpu.values())
    assert spent == pytest.approx(sum(sample.core_busy.values()))
    for guest, work in sample.work.items():
        assert work <= sample.guest_cpu[guest] * (1 + 1e-9)


@given(st.integers(0, 1_000_000))
def test_no_more_cores_can_be_reserved_than_there_are_backends(seed: int) -> None:
    spec = SimHost(generate(seed)).describe()
    assert spec.limits.side_cores <= len(spec.backends)


def test_seeds_differ_in_their_start_but_not_in_their_load() -> None:
    """A hundred slices of the scheduler are enough to tell the load from the start."""
    one, other = (SimHost(load("xen-2008-mixed"), seed).measure(3.0) for seed in (1, 2))
    assert one != other
    total = [sum(p.inward.bytes for p in s.vifs.values()) for s in (one, other)]
    assert total[0] == pytest.approx(total[1], rel=0.15)


def test_an_illegal_setting_is_refused_and_changes_nothing() -> None:
    host = SimHost(load("xen-2008-receive"))
    before = host.settings()
    with pytest.raises(IllegalSetting, match="leaves it without a core"):
        host.apply(replace(before, placement={**before.placement, "web1/0": ()}))
    assert host.settings() == before


def test_a_snapshot_brings_the_settings_back() -> None:
    host = SimHost(load("lab"))
    before = host.snapshot()
    host.apply(replace(host.settings(), bridge="direct"))
    assert host.snapshot() != before
    host.restore(before)
    assert host.snapshot() == before


def test_an_interval_must_have_a_length() -> None:
    with pytest.raises(InputError, match="must be more than 0"):
        SimHost(load("lab")).measure(0.0)
