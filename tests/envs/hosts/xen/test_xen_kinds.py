"""Xen hosts of other kinds, each booted for one test: a PVH guest, the credit scheduler."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from msgspec.structs import replace
from xen_lab import all_knobs, wait_for_guest

from envs.errors import HostError
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Kind, Machine
from envs.hosts.xen.lab.machine import up

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1800)]


@pytest.fixture
def booted() -> Iterator[Callable[[Kind], Machine]]:
    """Brings up a host of a kind, which ends with the test."""
    with ExitStack() as ends:

        def boot(kind: Kind) -> Machine:
            made = up(kind)
            ends.callback(made.down)
            return made

        yield boot


def test_a_migrated_guest_is_noticed_and_what_it_had_is_cleaned_up(
    booted: Callable[[Kind], Machine],
) -> None:
    made = booted(Kind(guests=("pvh", "pv")))
    tuned = XenHost.open("lab:xen", made.transport)
    snapshot, target = tuned.snapshot(), all_knobs(tuned)
    tuned.apply(target)
    made.ssh("xl migrate g1 localhost")
    with pytest.raises(HostError, match="'g1' was rebooted or migrated: it was domain 1"):
        tuned.apply(target)
    with pytest.raises(HostError, match="gone, or was rebooted or migrated"):
        tuned.measure(0.1)
    tuned.restore(snapshot)
    wait_for_guest(made)
    assert "vif1.0" not in made.ssh("tc filter show dev vif2.0 ingress; bridge fdb show")
    again = XenHost.open("lab:xen", made.transport)
    assert again.settings() == tuned.settings()
    assert again.settings().weight["Domain-0"] == 256
    again.apply(all_knobs(again))
    wait_for_guest(made)


def test_the_credit_scheduler_has_weights_until_a_guest_is_pinned(
    booted: Callable[[Kind], Machine],
) -> None:
    made = booted(Kind(scheduler="credit", guests=("pv",), cores=2))
    host = XenHost.open("lab:xen", made.transport)
    stock, snapshot = host.settings(), host.snapshot()
    host.apply(replace(stock, weight={**stock.weight, "g1": 512}))
    rows = [row.split() for row in made.ssh("xl sched-credit").splitlines()[2:]]
    assert [row[2] for row in rows] == ["256", "512"]
    host.restore(snapshot)
    assert host.snapshot() == snapshot
    made.ssh("xl vcpu-pin g1 0 1")
    limits = XenHost.open("lab:xen", made.transport).describe().limits
    assert limits.weights == ()
    assert "g1 is pinned, and the credit scheduler counts shares" in limits.why_not["weight"]
