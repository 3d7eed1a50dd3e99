"""The lab ``lab:kvm``: a KVM host to try things on, made of namespaces on this machine.

There is one at most, for its guests' cgroups are the machine's.
"""

from envs.hosts import linux
from envs.hosts.kvm.host import LAB, KvmHost
from envs.hosts.kvm.lab.machine import GuestPlan, Machine, address
from envs.hosts.lab import record
from envs.hosts.transport import read_files

GUESTS = (
    GuestPlan(name="g1", number=1, vcpus=2, iothreads=1),
    GuestPlan(name="g2", number=2, to=(address(1),)),
)
_FLOWING = 10_000_000
"""Bytes that have gone into a guest when traffic flows: more than connecting takes."""
_DEV = "/proc/net/dev"


def find() -> Machine:
    """The lab of this machine, up or not."""
    return Machine(record.directory("kvm"))


def up() -> Machine:
    """Bring it up with two guests, of which one sends to the other; returns when traffic flows.

    Raises HostError where it cannot be.
    """
    made = find()
    made.up()
    try:
        made.boot(*GUESTS)
        made.wait(lambda: into(made, "vnet0") > _FLOWING, "no traffic flows")
    except BaseException:
        made.down()
        raise
    return made


def into(machine: Machine, vif: str) -> int:
    """The bytes that went into the guest behind a vif so far."""
    return linux.interfaces(read_files(machine.transport, [_DEV])[_DEV])[vif].inward.bytes


def host(*, bypass_filters: bool = False) -> KvmHost:
    """The lab as a host. Raises HostError where it is down."""
    return KvmHost.open(LAB, find().transport, bypass_filters=bypass_filters)
