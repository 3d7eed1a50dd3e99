"""A server as people have them: cgroups v2 under systemd, vhost, two nodes, a NIC with interrupts.

Every knob is set over SSH, read back by tools that are not ours, and put back to the byte.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvm_readings import EVERYTHING
from kvm_server import Server
from msgspec.structs import replace

from envs.errors import IllegalSetting
from envs.host import Settings
from envs.hosts.kvm.host import KvmHost
from envs.hosts.transport import RecordingTransport

pytestmark = [pytest.mark.kvm, pytest.mark.server, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def libvirt(server: Server) -> KvmHost:
    """Its guests that libvirt runs."""
    return KvmHost.open(server.uri, RecordingTransport(server.transport))


@pytest.fixture(scope="module")
def plain(server: Server) -> KvmHost:
    """All its guests, as where there is no libvirt."""
    return KvmHost.open(server.plain_uri, RecordingTransport(server.transport))


@pytest.fixture(autouse=True)
def found(server: Server) -> Iterator[str]:
    """All that may be changed; a test leaves it as it was."""
    before = server.ssh(EVERYTHING)
    yield before
    assert server.ssh(EVERYTHING) == before


def all_knobs(found: Settings) -> Settings:
    """Every knob away from where it was found: backends on core 2 alone, which is on node 1."""
    place = {k: (2,) if "vhost" in k or "emulator" in k else (3,) for k in found.placement}
    return replace(
        found,
        placement=place,
        weight={name: 800 if name == "g1" else w for name, w in found.weight.items()},
        tx_queue=dict.fromkeys(found.tx_queue, 64),
        bridge="direct",
        side_cores=(2,),
    )


def read(server: Server, script: str) -> list[str]:
    return server.ssh(script).split()


def test_vhost_cgroups_interrupts_and_nodes_are_found(libvirt: KvmHost) -> None:
    spec = libvirt.describe()
    assert [core.node for core in spec.cores] == [0, 0, 1, 1]
    assert {b.name: b.vifs for b in spec.backends} == {
        "g1/vhost-0": ("vnet0",),
        "g2/emulator": ("vnet1",),
    }
    assert spec.limits.weights == ("g1", "g2")
    assert spec.limits.weight == (1, 10000)
    assert spec.limits.bridge == ("stock", "lean", "direct")
    assert spec.limits.reach == {"g1/0": (2, 3), "g1/1": (2, 3)}
    assert not spec.limits.why_not
    assert len(libvirt._site.irq_files) == 3


def test_a_vcpu_is_kept_on_the_node_of_its_guest_s_memory(
    server: Server, libvirt: KvmHost
) -> None:
    maps = server.ssh("cat /proc/$(cat /run/libvirt/qemu/g1.pid)/numa_maps | grep 'bind:1'")
    assert " N1=" in maps
    assert " N0=" not in maps
    stock = libvirt.settings()
    with pytest.raises(IllegalSetting, match=r"'g1/0' leaves .* bound to: cores 2, 3"):
        libvirt.apply(replace(stock, placement={**stock.placement, "g1/0": (1,)}))


@pytest.mark.parametrize("way", ["apply", "restore", "restoring"])
def test_all_knobs_are_seen_by_other_tools_and_every_way_back_is_exact(
    server: Server, libvirt: KvmHost, way: str
) -> None:
    stock, snapshot = libvirt.settings(), libvirt.snapshot()
    target = all_knobs(stock)
    libvirt.apply(target)
    assert libvirt.settings() == target
    if way == "apply":
        libvirt.apply(stock)
    elif way == "restore":
        libvirt.restore(snapshot)
    else:
        for command in libvirt.restoring(snapshot):
            server.transport.run(command)
    assert libvirt.snapshot() == snapshot
