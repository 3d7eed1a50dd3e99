"""A real Xen host for the tests that need one: dom0 with a PVH and a PV guest, in QEMU."""

from collections.abc import Iterator

import pytest

from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Machine, up


@pytest.fixture(scope="package")
def _machine() -> Iterator[Machine]:
    machine = up()
    try:
        yield machine
    finally:
        machine.down()


@pytest.fixture
def machine(_machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The host as it was when its guests had come up, and a home that can log in to it."""
    _machine.reset()
    monkeypatch.setenv("HOME", str(_machine.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return _machine


@pytest.fixture
def host(machine: Machine) -> Iterator[XenHost]:
    opened = XenHost.open(machine.uri)
    yield opened
    opened.close()
