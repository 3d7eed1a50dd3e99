"""A Xen host of another kind: a PVH guest, which alone can be migrated; the credit scheduler."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from xen_lab import all_knobs, wait_for_guest

from envs.errors import HostError
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Kind, Machine
from envs.hosts.xen.lab.machine import up

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The host of all tests of this file."""
    made = up(Kind(scheduler="credit", guests=("pvh", "pv"), cores=2))
    try:
        yield made
    finally:
        made.down()


def test_the_credit_scheduler_has_weights_until_a_guest_is_pinned(
    expendable: Machine, tuned: XenHost
) -> None:
    stock, snapshot = tuned.settings(), tuned.snapshot()
    tuned.apply(replace(stock, weight={**stock.weight, "g1": 512}))
    rows = [row.split() for row in expendable.ssh("xl sched-credit").splitlines()[2:]]
    assert [row[2] for row in rows] == ["256", "512", "256"]
    tuned.restore(snapshot)
    assert tuned.snapshot() == snapshot
    expendable.ssh("xl vcpu-pin g1 0 1")
    limits = XenHost.open("lab:xen", expendable.transport).describe().limits
    assert limits.weights == ()
    assert "g1 is pinned, and the credit scheduler counts shares" in limits.why_not["weight"]


def test_a_migrated_guest_is_noticed_and_what_it_had_is_cleaned_up(
    expendable: Machine, tuned: XenHost
) -> None:
    snapshot, target = tuned.snapshot(), all_knobs(tuned)
    tuned.apply(target)
    expendable.ssh("xl migrate g1 localhost")
    with pytest.raises(HostError, match="'g1' was rebooted or migrated: it was domain 1"):
        tuned.apply(target)
    with pytest.raises(HostError, match="gone, or was rebooted or migrated"):
        tuned.measure(0.1)
    tuned.restore(snapshot)
    wait_for_guest(expendable)
    assert "vif1.0" not in expendable.ssh("tc filter show dev vif2.0 ingress; bridge fdb show")
    again = XenHost.open("lab:xen", expendable.transport)
    assert again.settings() == tuned.settings()
    assert again.settings().weight["Domain-0"] == 256
    again.apply(all_knobs(again))
    wait_for_guest(expendable)
