"""The fast simulator and the reference agree on small hosts.

How far they do on many random ones, ``results/reference.py`` measures.
"""

import pytest
from msgspec.structs import replace

from envs.host import Settings
from envs.reference.agreement import Case, Effort, Pair, Run, by_fast, by_reference, summary
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
from envs.sim.host import SimHost

EFFORT = Effort(seconds=0.02, reference_runs=1, fast_runs=3)
BACKEND, GUEST = "netback-vif1.0", "g1/0"
PLAIN = Scenario(
    name="small",
    about="one guest on four cores, an LLC domain for each two",
    guests=(GuestKind(name="g1"),),
    flows=(Flow(source="outside", sink="g1", kind="udp", gbps=2.0),),
    topology=Topology(cores=4),
    driver_domain=DriverDomain(kind="threads"),
    settable=Settable(side_cores=2, polling=True),
)


def pair(scenario: Scenario, settings: Settings | None = None) -> Pair:
    used = settings or SimHost(scenario).settings()
    case = Case(seed=0, number=0, scenario=scenario, settings=used)
    reference = by_reference(case, EFFORT)
    fast = by_fast(case, EFFORT, reference)
    return Pair(seed=0, number=0, reference=reference, fast=fast)


def pinned(scenario: Scenario, backend: int, guest: int) -> Settings:
    stock = SimHost(scenario).settings()
    place = {**stock.placement, BACKEND: (backend,), GUEST: (guest,)}
    return replace(stock, placement=place)


@pytest.mark.parametrize(
    ("gbps", "backend", "guest"), [(0.5, 0, 0), (2.0, 0, 0), (2.0, 0, 1), (2.0, 0, 2), (5.0, 0, 1)]
)
def test_they_agree_on_what_a_fixed_rate_costs(gbps: float, backend: int, guest: int) -> None:
    flow = replace(PLAIN.flows[0], gbps=gbps)
    scenario = replace(PLAIN, flows=(flow,))
    found = pair(scenario, pinned(scenario, backend, guest))
    assert found.error("bandwidth") == pytest.approx(0.0, abs=0.03)
    assert found.error("cores") == pytest.approx(0.0, abs=0.08)


@pytest.mark.parametrize("kind", ["netback-2007", "threads", "relays"])
@pytest.mark.parametrize("scheduler", ["credit-2008", "credit", "credit2", "fair"])
def test_they_agree_on_bulk_reception(kind: str, scheduler: str) -> None:
    """Where the queue has room for the window: no loss, no matter how packets bunch."""
    scenario = replace(
        PLAIN,
        flows=(Flow(source="outside", sink="g1", window_kb=512.0),),
        driver_domain=DriverDomain(kind=kind, vcpus=1),
        scheduler=Scheduler(kind=scheduler),
        stock=Stock(tx_queue=512),
    )
    found = pair(scenario)
    assert found.error("bandwidth") == pytest.approx(0.0, abs=0.05)
    assert found.error("cores") == pytest.approx(0.0, abs=0.05)


def test_they_agree_on_what_exchanging_pages_costs() -> None:
    scenario = replace(PLAIN, driver_domain=DriverDomain(kind="threads", flips=True))
    found = pair(scenario, pinned(scenario, 0, 1))
    assert found.error("bandwidth") == pytest.approx(0.0, abs=0.03)
    assert found.error("cores") == pytest.approx(0.0, abs=0.08)


@pytest.mark.parametrize("length", [16, 32])
def test_they_agree_on_bulk_reception_through_a_short_queue(length: int) -> None:
    """Where the window is a few packets, and how they bunch decides what is lost."""
    flow = Flow(source="outside", sink="g1", window_kb=512.0, rto_ms=10.0)
    found = pair(replace(PLAIN, flows=(flow,), stock=Stock(tx_queue=length)))
    assert found.error("bandwidth") == pytest.approx(0.0, abs=0.15)
    assert found.error("cores") == pytest.approx(0.0, abs=0.12)


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("sink", ["outside", "g2"])
def test_they_agree_on_bulk_transmission(sink: str, offload: bool) -> None:
    """Packets go on one by one while the others of their batch are still being handled."""
    scenario = replace(
        PLAIN,
        guests=(GuestKind(name="g1"), GuestKind(name="g2")),
        flows=(Flow(source="g1", sink=sink, window_kb=256.0),),
        driver_domain=DriverDomain(kind="threads", copies_transmit=True),
        stock=Stock(tx_queue=512),
        offload=offload,
    )
    found = pair(scenario)
    assert found.error("bandwidth") == pytest.approx(0.0, abs=0.12)
    assert found.error("cores") == pytest.approx(0.0, abs=0.15)


def test_where_the_reference_is_apart_from_itself_both_measure_more_often() -> None:
    effort = Effort(seconds=0.001, reference_runs=2, fast_runs=1, unsteady=2)
    case = Case(seed=0, number=0, scenario=PLAIN, settings=SimHost(PLAIN).settings())
    one, alike, other = (Run(bandwidth=gbps, cores=1.0) for gbps in (2.0, 2.05, 3.0))
    assert by_reference(case, effort, (one, alike)) == (one, alike)
    assert len(by_fast(case, effort, (one, alike))) == 1
    more = by_reference(case, effort, (one, other))
    assert more[:2] == (one, other)
    assert more[2:] == by_reference(case, replace(effort, reference_runs=4))[2:]
    assert len(by_fast(case, effort, more)) == 2


def test_a_summary_counts_errors_and_ranks() -> None:
    def made(number: int, fast: float, reference: float) -> Pair:
        runs = [(Run(bandwidth=gbps, cores=1.0),) for gbps in (reference, fast)]
        return Pair(seed=7, number=number, reference=runs[0] * 2, fast=runs[1])

    same_order = [made(0, 1.1, 1.0), made(1, 2.2, 2.0), made(2, 3.3, 3.0)]
    found = summary(same_order)
    assert found.bandwidth.median == pytest.approx(0.1)
    assert found.cores.p95 == found.chance_bandwidth.p95 == 0.0
    assert found.spearman == pytest.approx(1.0)
    assert summary([*same_order[:2], made(2, 1.0, 3.0)]).spearman < 0.6
