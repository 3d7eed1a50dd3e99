"""Where processor time and cache misses go."""

import pytest
from msgspec.structs import replace

from envs.scenario import DriverDomain, Flow, GuestKind, Scenario, Settable, load
from envs.sim.host import SimHost

PLAIN = Scenario(
    name="small",
    about="one guest receives, on the core beside its backend",
    guests=(GuestKind(name="g1"),),
    flows=(Flow(source="outside", sink="g1", kind="udp"),),
    settable=Settable(side_cores=0),
)


def missed(*, flips: bool) -> tuple[float, float]:
    """Cache misses of the backend that delivers and of the guest that receives."""
    host = SimHost(replace(PLAIN, driver_domain=DriverDomain(kind="threads", flips=flips)))
    stock = host.settings()
    place = {**stock.placement, "netback-vif1.0": (0,), "g1/0": (1,)}
    host.apply(replace(stock, placement=place))
    host.measure(0.2)
    return host.stages["driver domain: deliver"].misses, host.stages["guests: receive"].misses


@pytest.mark.parametrize("name", ["xen-2008-mixed", "modern-kvm", "lab", "lee-2013-intra"])
def test_stages_add_up_to_what_the_host_spent_and_missed(name: str) -> None:
    host = SimHost(load(name))
    sample = host.measure(0.3)
    neighbours = {guest.name for guest in host.describe().guests if guest.role == "cpu"}
    spent = sum(sample.backend_cpu.values())
    spent += sum(cpu for guest, cpu in sample.guest_cpu.items() if guest not in neighbours)
    mine = {stage: use for stage, use in host.stages.items() if "CPU-bound" not in stage}
    assert sum(use.seconds for use in mine.values()) == pytest.approx(spent, rel=0.03)
    misses = sum(use.misses for use in host.stages.values())
    assert misses == pytest.approx(sample.cache_misses)


def test_a_flipped_page_is_first_touched_by_the_guest() -> None:
    """The driver domain saves the copy, and the guest finds the data as cold as it came."""
    backend_copies, guest_beside = missed(flips=False)
    backend_flips, guest_alone = missed(flips=True)
    assert guest_beside < 0.1 * backend_copies
    assert backend_flips < 0.1 * backend_copies
    assert guest_alone > 0.9 * backend_copies
