"""Shares of processor time: weights and caps, under each scheduler, of each simulator."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from envs.host import Host
from envs.reference.host import ReferenceHost
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

Made: TypeAlias = Callable[[Scenario], SimHost | ReferenceHost]
XEN = ("credit-2008", "credit", "credit2")
HEAVY = GuestKind(name="heavy", role="cpu", vifs=0)
LIGHT = replace(HEAVY, name="light")
PLAIN = Scenario(
    name="small",
    about="two CPU-bound guests on one core, and one with next to no load",
    guests=(GuestKind(name="g1"), HEAVY, LIGHT),
    flows=(Flow(source="outside", sink="g1", kind="udp", gbps=1e-6),),
    topology=Topology(cores=1, per_llc=1, per_node=1),
    driver_domain=DriverDomain(kind="threads"),
    settable=Settable(side_cores=0),
)


def measured(host: SimHost | ReferenceHost, seconds: float, **weight: int) -> dict[str, float]:
    """Cores that each guest used. The weights are as if found so, not for a tuner to set."""
    stock = host.settings()
    host._settings = replace(stock, weight={**stock.weight, **weight})
    used: Host = host
    sample = used.measure(seconds)
    return {name: cpu / seconds for name, cpu in sample.guest_cpu.items()}


@pytest.fixture(params=[SimHost, ReferenceHost], ids=["fast", "reference"])
def made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.param
    return found


@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_with_credit2_shares_follow_weights(made: Made, ratio: int) -> None:
    host = made(replace(PLAIN, scheduler=Scheduler(kind="credit2", ratelimit_us=1000.0)))
    used = measured(host, 1.0, heavy=256 * ratio)
    assert used["heavy"] / used["light"] == pytest.approx(ratio, rel=0.1)
    assert sum(used.values()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", XEN)
def test_a_cap_holds_though_the_core_is_free(made: Made, kind: str) -> None:
    capped = replace(HEAVY, cap=25)
    host = made(replace(PLAIN, guests=(GuestKind(name="g1"), capped), scheduler=Scheduler(kind)))
    assert measured(host, 3.0)["heavy"] == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("kind", XEN)
def test_what_a_cap_leaves_is_for_the_others(made: Made, kind: str) -> None:
    guests = (GuestKind(name="g1"), replace(HEAVY, cap=30), LIGHT)
    used = measured(made(replace(PLAIN, guests=guests, scheduler=Scheduler(kind))), 3.0, heavy=1024)
    assert used["heavy"] == pytest.approx(0.3, abs=0.1)
    assert used["light"] > 0.6


def test_without_rivals_on_its_core_a_weight_changes_nothing(made: Made) -> None:
    """As a real Xen's credit scheduler does for pinned guests: nothing to share out."""
    two = replace(PLAIN, topology=Topology(cores=2, per_llc=1, per_node=2))
    for kind in XEN:
        host = made(replace(two, scheduler=Scheduler(kind)))
        used = measured(host, 0.3, heavy=2048)
        assert used["heavy"] == pytest.approx(used["light"], rel=0.05)


def test_with_credit2_one_that_slept_preempts_though_nobody_is_boosted(made: Made) -> None:
    flows = (replace(PLAIN.flows[0], gbps=0.1),)
    guests = (GuestKind(name="g1"), HEAVY)
    scheduler = Scheduler(kind="credit2", ratelimit_us=1000.0)
    host = made(
        replace(PLAIN, guests=guests, flows=flows, scheduler=scheduler, stock=Stock(tx_queue=1000))
    )
    sample = host.measure(0.3)
    assert sample.vifs["vif1.0"].inward.bytes * 8e-9 / 0.3 == pytest.approx(0.1, rel=0.05)
    assert sample.work["heavy"] / 0.3 > 0.5
