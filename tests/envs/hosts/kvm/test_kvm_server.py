"""A server as people have them: cgroups v2 under systemd, vhost, two nodes, a NIC with interrupts.

Every knob is set over SSH, read back by tools that are not ours, and put back to the byte.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvm_readings import EVERYTHING
from kvm_server import Server
from msgspec.structs import replace

from envs.errors import IllegalSetting
from envs.host import Settings
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.site import PATIENCE
from envs.hosts.transport import RecordingTransport

pytestmark = [pytest.mark.kvm, pytest.mark.server, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The server, which all tests together leave as it was: to read everything takes seconds."""
    made = Server()
    made.up()
    try:
        found = made.ssh(EVERYTHING)
        yield made
        assert made.ssh(EVERYTHING) == found
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


def all_knobs(found: Settings, weighed: str) -> Settings:
    """Every knob away from where it was found; backends on core 2 alone, near g1's memory."""
    place = {k: (2,) if "vhost" in k or "emulator" in k else (3,) for k in found.placement}
    return replace(
        found,
        placement={**place, "g2/0": (0, 1)},
        weight={**found.weight, weighed: 800},
        tx_queue=dict.fromkeys(found.tx_queue, 64),
        bridge="direct",
        side_cores=(2,),
    )


def tuner(server: Server, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", *words, "--host", server.uri, "--json"],
        env={**os.environ, "HOME": str(server.home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def ping(server: Server) -> None:
    """Return when all guests answer."""
    for number in (1, 2, 3):
        server.ssh(f"until ping -c 1 -W 1 10.0.0.1{number}; do :; done >/dev/null")


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
    assert spec.uplink.gbps == 1.0
    assert len(libvirt._site.irq_files) == 3


def test_a_vcpu_is_kept_on_the_node_of_its_guest_s_memory(server: Server, libvirt: KvmHost) -> None:
    used = server.ssh("grep bind:1 /proc/$(cat /run/libvirt/qemu/g1.pid)/numa_maps")
    assert " N1=" in used
    assert " N0=" not in used
    stock = libvirt.settings()
    with pytest.raises(IllegalSetting, match=r"'g1/0' leaves .* bound to: cores 2, 3"):
        libvirt.apply(replace(stock, placement={**stock.placement, "g1/0": (1,)}))


SEEN = r"""
machine-qemu\x2d1\x2dg1.scope/cpu.weight: 800
machine-qemu\x2d1\x2dg1.scope/libvirt/vcpu0/cpuset.cpus:
machine-qemu\x2d2\x2dg2.scope/libvirt/vcpu0/cpuset.cpus: 0-1
machine-qemu\x2d2\x2dg2.scope/libvirt/vcpu0/cpuset.cpus.effective: 0-1
1 g1 CPU 0/KVM on 3
1 g1 CPU 1/KVM on 3
1 g1 IO iothread1 on 0-1,3
1 g1 vhost on 2
1 g2 CPU 0/KVM on 0-1
1 g2 qemu-system-x86 on 2
1 g3 vhost on 0-3
interrupt 31 of enp0s2: 2
interrupt 32 of enp0s2: 2
interrupt 33 of enp0s2: 2
52:54:00:77:00:01 dev vnet0 master br0 static
watched
"""


def test_all_knobs_are_seen_by_other_tools_and_every_way_back_is_exact(
    server: Server, libvirt: KvmHost
) -> None:
    stock, snapshot = libvirt.settings(), libvirt.snapshot()
    libvirt.apply(target := all_knobs(stock, "g1"))
    assert libvirt.settings() == target
    seen = server.ssh(EVERYTHING)
    lines = {line.strip() for line in seen.splitlines()}
    assert [line for line in SEEN.strip().split("\n") if line not in lines] == []
    assert re.search(r"vnet0: .* qlen 64\b", seen)
    assert "Egress Redirect to device vnet1" in seen
    ping(server)
    libvirt.apply(stock)
    assert libvirt.snapshot() == snapshot
    libvirt.apply(target)
    server.transport.run_all(libvirt.restoring(snapshot), timeout=PATIENCE)
    assert libvirt.snapshot() == snapshot


def test_interrupts_are_handled_where_the_backends_are(server: Server, libvirt: KvmHost) -> None:
    stock, snapshot = libvirt.settings(), libvirt.snapshot()
    libvirt.apply(all_knobs(stock, "g1"))
    look = "awk '/enp0s2-rx/ { print $2, $3, $4, $5 }' /proc/interrupts"
    counts = "ping -q -c 3 -i 0.2 10.0.0.254 >/dev/null; " + look
    before, after = (server.ssh(counts).split() for _ in range(2))
    libvirt.restore(snapshot)
    assert [number for number in range(4) if before[number] != after[number]] == [2]


def test_the_time_of_a_vhost_worker_is_the_backend_s(server: Server, libvirt: KvmHost) -> None:
    worker = "cut -d ' ' -f 1 /proc/$(pgrep vhost-$(cat /run/libvirt/qemu/g1.pid))/schedstat"
    server.ssh("setsid ping -q -i 0.01 10.0.0.11 >/dev/null 2>&1 &")
    try:
        before = int(server.ssh(worker))
        sample = libvirt.measure(2.0)
        after = int(server.ssh(worker))
    finally:
        server.ssh("pkill ping")
    assert sample.vifs["vnet0"].inward.packets > 10
    assert 0 < sample.backend_cpu["g1/vhost-0"] <= (after - before) * 1e-9


def test_a_guest_of_qemu_s_alone_has_the_same_knobs_and_its_weight_outlives_a_reload(
    server: Server, plain: KvmHost
) -> None:
    """The weight of g3, in a scope of systemd's: what a file is told lasts until a reload."""
    stock, snapshot = plain.settings(), plain.snapshot()
    assert plain.describe().limits.weights == ("g3",)
    plain.apply(target := all_knobs(stock, "g3"))
    server.ssh("systemctl daemon-reload")
    assert plain.settings() == target
    seen = server.ssh(EVERYTHING)
    assert "g3.scope/cpu.weight: 800" in seen
    assert "1 g3 vhost on 2\n" in seen
    assert "1 g3 CPU 0/KVM on 3\n" in seen
    ping(server)
    plain.restore(snapshot)
    assert plain.snapshot() == snapshot


IDLE = """
ip tuntap add dev tap4 mode tap vnet_hdr && ip link set dev tap4 master br0 up
systemd-run -q --scope --unit=g4 qemu-system-x86_64 -daemonize -S -name g4,debug-threads=on \
    -accel kvm -M q35 -m 16 -display none -nodefaults -pidfile /run/g4.pid \
    -netdev tap,id=n0,ifname=tap4,script=no,downscript=no,vhost=on -device virtio-net-pci,netdev=n0
"""
"""A guest that never starts, in a scope that nobody gave a weight."""


def test_a_scope_without_a_weight_has_none_until_it_is_given_one(server: Server) -> None:
    def weights() -> tuple[str, ...]:
        limits = KvmHost.open(server.plain_uri, server.transport).describe().limits
        assert ("g4" in limits.weights) == (remedy not in limits.why_not["weight"])
        return limits.weights

    remedy = "systemctl set-property --runtime g4.scope CPUWeight=100"
    server.ssh(IDLE)
    try:
        assert weights() == ("g3",)
        server.ssh(remedy)
        assert weights() == ("g3", "g4")
    finally:
        server.ssh("kill $(cat /run/g4.pid); until ip link del tap4; do :; done 2>/dev/null")


def test_a_killed_tuner_leaves_it_to_a_unit_of_systemd_s(
    server: Server, libvirt: KvmHost, tmp_path: Path
) -> None:
    snapshot = libvirt.snapshot()
    setting = tmp_path / "setting.json"
    setting.write_text(
        json.dumps({"placement": {"g1/0": [3], "g2/emulator": [1]}, "weight": {"g1": 800}})
    )
    words = ("apply", "--setting", str(setting), "--confirm-within", "600", "--pairs", "40")
    process = tuner(server, *words)
    weight = "cat /sys/fs/cgroup/machine.slice/*g1.scope/cpu.weight"
    while server.ssh(weight) != "800\n":
        assert process.poll() is None
    units = server.ssh("systemctl --no-legend list-units 'viotune-*'")
    assert re.search(r"viotune-[0-9a-f]{16}.service +loaded active running", units)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    server.ssh("echo 0 1 >/run/viotune/kvm/lease")  # as if those ten minutes had gone by
    while server.ssh("ls /run/viotune/kvm/undone", check=False) == "":
        time.sleep(0.5)
    assert libvirt.snapshot() == snapshot
