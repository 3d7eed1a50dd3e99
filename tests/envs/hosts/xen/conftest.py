"""A real Xen host for the tests that need one: dom0 with a PVH and a PV guest, in QEMU."""

from collections.abc import Iterator

import pytest

from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Machine, up


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """The host as it was when its guests had come up, and a home that can log in to it."""
    made = up()
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def host(machine: Machine) -> Iterator[XenHost]:
    opened = XenHost.open(machine.uri)
    yield opened
    opened.close()
