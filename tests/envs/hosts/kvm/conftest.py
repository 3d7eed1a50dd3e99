"""One KVM lab for all tests of the tier: two guests with a flow, a busy one, one by plain QEMU."""

from collections.abc import Iterator

import pytest
from kvm_lab import GUESTS, PLAIN, booted, moved, wait

from envs.errors import HostError
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.lab.image import image
from envs.hosts.kvm.lab.machine import Machine
from envs.hosts.transport import RecordingTransport


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    made = Machine()
    try:
        boots = image()
        for plan in GUESTS:
            made.boot(plan, boots)
        made.run_without_libvirt(PLAIN, boots)
        booted(made, 1, 2, 3, 4)
        wait(lambda: moved(made, "vnet0") > 10**7, "a flow into g1")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def opened(machine: Machine) -> KvmHost:
    """The lab's host, opened once: describing it takes a second."""
    return KvmHost.open("qemu:///system", RecordingTransport(machine.transport))


@pytest.fixture
def host(opened: KvmHost) -> Iterator[KvmHost]:
    """The lab's host; what a test leaves changed is put right."""
    before = opened.snapshot()
    yield opened
    try:
        changed = opened.snapshot() != before
    except HostError:  # a guest was started anew
        changed = True
    if changed:
        opened.restore(before)


@pytest.fixture
def recording(host: KvmHost) -> RecordingTransport:
    """The transport of the lab's host, which counts round trips."""
    assert isinstance(host.transport, RecordingTransport)
    return host.transport
