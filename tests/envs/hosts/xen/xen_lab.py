"""What the tests of real Xen hosts share."""

from msgspec.structs import replace

from envs.host import Settings
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Machine


def all_knobs(host: XenHost) -> Settings:
    """All five knobs away from where they were found."""
    found = host.settings()
    *_, last = cores = [core.id for core in host.describe().cores]
    own = {
        "Domain-0/0": (0,),
        "Domain-0/1": (0, 1),
        "g1/0": tuple(cores[len(cores) // 2 :]),
        "g2/0": (last,),
    }
    return replace(
        found,
        placement={**found.placement, **own},
        weight={**found.weight, "Domain-0": 1024},
        tx_queue={"g1/vif0": 64, "g2/vif0": 1000},
        bridge="direct",
        side_cores=(0,),
    )


def wait_for_guest(machine: Machine) -> None:
    """Return when g1 answers. Emulated on a busy machine, an answer may come too late for ping."""
    machine.ssh("timeout 300 sh -c 'until ping -c 1 -W 1 10.0.0.11; do sleep 0.5; done'")
