"""A host's twin: the same host in other words, under the load that was seen."""

import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from envs.decision import Decision
from envs.errors import InputError
from envs.host import HostSpec, Port, Sample, Settings, Traffic
from envs.knobs import check
from envs.scenario import load, render
from envs.scenario.files import parse
from envs.sim.describe import stock_of
from envs.sim.host import SimHost
from tuner.twin.model import Twin, scenario_of

LAB = SimHost(load("lab"), seed=3)
SEEN = LAB.measure(0.1)
SPEC_OF_LAB = replace(LAB.describe(), kind="lab")


def test_the_twin_of_a_simulated_lab_carries_what_it_carries() -> None:
    scenario = scenario_of(SPEC_OF_LAB, LAB.settings(), SEEN, "twin")
    assert {(f.source, f.sink, f.kind) for f in scenario.flows} == {
        ("g1", "g2", "tcp"),
        ("g2", "g1", "tcp"),
    }
    assert scenario.offload
    assert scenario.driver_domain.kind == "relays"
    assert (scenario.topology.cores, scenario.topology.per_llc) == (2, 2)


def test_a_twin_is_written_and_read_again() -> None:
    scenario = scenario_of(SPEC_OF_LAB, LAB.settings(), SEEN, "twin")
    assert parse(render(scenario), "twin.toml") == scenario


@given(st.data(), hosts())
def test_every_legal_setting_of_a_host_is_legal_on_its_twin(
    data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    scenario = _twin_of(spec, baseline)
    assume(scenario is not None)
    decision = Decision.start(spec, baseline, baseline)
    while decision.choice:
        decision = decision.take(data.draw(st.integers(0, len(decision.choice.values) - 1)))
    twin = Twin(spec, scenario)
    own = twin.settings(decision.settings)
    check(twin.own, own, twin.settings(baseline))
    assert len(own.side_cores) == len(decision.settings.side_cores)


def test_traffic_that_crosses_the_uplink_is_told_from_traffic_between_guests() -> None:
    first, second = SPEC.vifs[:2]
    flow = Traffic(bytes=10**9, packets=10**6)
    received = {vif: Port() for vif in SPEC.vifs} | {
        first: Port(inward=flow),
        second: Port(outward=flow),
    }
    outside = Port(inward=flow, outward=flow)
    crossing = replace(_busy(), vifs=received, uplink=outside)
    owners = [SPEC.guest_of(vif).name for vif in (first, second)]
    assert _pairs(crossing) == {("outside", owners[0]), (owners[1], "outside")}
    between = replace(_busy(), vifs=received, uplink=Port())
    assert _pairs(between) == {(owners[1], owners[0])}


def test_a_host_that_is_not_busy_is_offered_what_it_carried() -> None:
    idle = replace(
        SEEN,
        backend_cpu=dict.fromkeys(SEEN.backend_cpu, 0.01),
        guest_cpu=dict.fromkeys(SEEN.guest_cpu, 0.01),
        core_busy=dict.fromkeys(SEEN.core_busy, 0.02),
    )
    flows = scenario_of(SPEC_OF_LAB, LAB.settings(), idle, "twin").flows
    delivered = sum(port.inward.bytes for port in SEEN.vifs.values()) * 8e-9 / SEEN.seconds
    assert {flow.kind for flow in flows} == {"udp"}
    assert sum(flow.gbps for flow in flows) == pytest.approx(delivered)


def test_a_neighbour_that_computes_does_not_make_a_host_busy() -> None:
    host = SimHost(load("lab-neighbour"))
    spec, seen = replace(host.describe(), kind="lab"), host.measure(0.1)
    idle = replace(
        seen,
        backend_cpu=dict.fromkeys(seen.backend_cpu, 0.01),
        guest_cpu=seen.guest_cpu | {"g1": 0.01, "g2": 0.01},
    )
    assert max(idle.core_busy.values()) > 0.9 * idle.seconds
    assert {f.kind for f in scenario_of(spec, host.settings(), idle, "twin").flows} == {"udp"}


def test_a_host_without_traffic_has_no_twin() -> None:
    silent = replace(SEEN, vifs={vif: Port() for vif in SEEN.vifs}, uplink=Port())
    with pytest.raises(InputError, match="no traffic"):
        scenario_of(SPEC_OF_LAB, LAB.settings(), silent, "twin")


def test_another_hosts_twin_is_refused() -> None:
    with pytest.raises(InputError, match="is no twin of"):
        Twin(SPEC_OF_LAB, load("xen-2008-mixed"))


def test_a_host_found_as_stock_is_its_twins_stock() -> None:
    scenario = scenario_of(SPEC_OF_LAB, LAB.settings(), SEEN, "twin")
    twin = Twin(SPEC_OF_LAB, scenario)
    assert twin.settings(LAB.settings()) == stock_of(scenario, twin.own)


def _busy() -> Sample:
    seen = sample(BASELINE)
    return replace(seen, core_busy=dict.fromkeys(seen.core_busy, seen.seconds))


def _pairs(seen: Sample) -> set[tuple[str, str]]:
    scenario = scenario_of(SPEC, BASELINE, seen, "twin")
    return {(flow.source, flow.sink) for flow in scenario.flows}


def _twin_of(spec: HostSpec, baseline: Settings):  # noqa: ANN202
    vifs = {vif: Port(inward=Traffic(bytes=10**6, packets=1000)) for vif in spec.vifs}
    seen = Sample(
        seconds=1.0,
        vifs=vifs,
        uplink=Port(inward=Traffic(bytes=10**6 * len(vifs), packets=1000)),
        guest_cpu={guest.name: 0.1 for guest in spec.guests},
        backend_cpu={backend.name: 0.1 for backend in spec.backends},
        core_busy=dict.fromkeys(spec.core_ids, 0.1),
    )
    try:
        scenario = scenario_of(spec, baseline, seen, "twin")
        Twin(spec, scenario)
    except InputError:
        return None
    return scenario
