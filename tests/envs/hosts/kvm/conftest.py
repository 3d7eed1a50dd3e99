"""A KVM lab for the tests of a file: two guests with a flow, a busy one, one by plain QEMU.

It ends with them: emulated guests keep a machine busy, and the tests of other tiers with it.
"""

from collections.abc import Iterator

import pytest
from kvm_lab import BUSY, remove_group, run_plain

from envs.errors import HostError
from envs.hosts.kvm import lab
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.lab.machine import Machine
from envs.hosts.transport import RecordingTransport


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    made = lab.up()
    try:
        made.boot(BUSY)
        run_plain(made)
        yield made
    finally:
        made.down()
        made.wait(remove_group, "the plain guest's cgroup stays")


@pytest.fixture(scope="module")
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
