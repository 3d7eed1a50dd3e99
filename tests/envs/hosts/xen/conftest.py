"""A real Xen host for the tests of a file: dom0 with two PV guests, in QEMU.

It ends with them: an emulated host keeps a machine busy.
"""

from collections.abc import Iterator

import pytest

from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Kind, Machine
from envs.hosts.xen.lab.machine import up


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The host of all tests of a file."""
    made = up(Kind())
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def opened(machine: Machine) -> XenHost:
    """The host, opened and described once: emulated, that takes seconds."""
    return XenHost.open("lab:xen", machine.transport)


@pytest.fixture
def host(opened: XenHost) -> Iterator[XenHost]:
    """The host; what a test leaves changed is put right."""
    before = opened.snapshot()
    yield opened
    if opened.snapshot() != before:
        opened.restore(before)


@pytest.fixture
def expendable(machine: Machine) -> Iterator[Machine]:
    """The machine for a test that changes its guests: it is put back to when they had come up."""
    yield machine
    machine.rewind()


@pytest.fixture
def tuned(expendable: Machine) -> XenHost:
    """A host of its own for such a test."""
    return XenHost.open("lab:xen", expendable.transport)
