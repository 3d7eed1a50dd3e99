"""What the KVM lab of the tests is made of, and how to wait for it."""

import time
from collections.abc import Callable

from envs.hosts.kvm.lab.machine import GuestPlan, Machine, address
from envs.hosts.transport import output

HOSTILE = "-x $(reboot);'\"ü a"
GUESTS = (
    GuestPlan(name="g1", number=1, vcpus=2, iothreads=1),
    GuestPlan(name="g2", number=2, to=(address(1),)),
    GuestPlan(name=HOSTILE, number=3, busy=1),
)
PLAIN = GuestPlan(name="plain,$(reboot) one", number=4)
PATIENCE = 200.0


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def booted(machine: Machine, *numbers: int) -> None:
    """Wait until guests are up: each says so on its console."""
    files = [f"/var/log/libvirt/console-{n}.log" for n in numbers]
    files += [f"/run/console-{n}.log" for n in numbers]

    def up() -> bool:
        text = machine.transport.run(["cat", *files]).out
        return all(f"up {address(n)}" in text for n in numbers)

    wait(up, f"guests {numbers} to boot")


def moved(machine: Machine, vif: str) -> int:
    """The bytes that went into a guest so far."""
    name = f"/sys/class/net/{vif}/statistics/tx_bytes"
    return int(output(machine.transport, ["cat", name]))
