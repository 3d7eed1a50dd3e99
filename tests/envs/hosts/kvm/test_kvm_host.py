"""A KVM host under real libvirt and QEMU: every knob set, read back by other tools, put back."""

import json
import re
import sys
from typing import Any, NamedTuple

import msgspec
import pytest
from kvm_lab import HOSTILE, ONE, OTHER, PLAIN, group

from envs.errors import HostError, IllegalSetting
from envs.host import BridgeMode, Settings
from envs.hosts import cgroup
from envs.hosts.kvm import lab
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.lab.machine import Machine, address, mac
from envs.hosts.transport import RecordingTransport, output

pytestmark = [pytest.mark.kvm, pytest.mark.timeout(900)]

G1 = "/run/libvirt/qemu/g1.pid"


def virsh(machine: Machine, *words: str) -> str:
    return output(machine.transport, ["virsh", "-q", *words])


def affinities(machine: Machine, pid_file: str) -> dict[str, set[str]]:
    """What taskset says of a guest's threads, by the threads' names."""
    script = (
        'for task in /proc/$(cat "$1")/task/*; do '
        'echo "$(cat $task/comm):$(taskset -cp ${task##*/})"; done'
    )
    shown: dict[str, set[str]] = {}
    for line in output(machine.transport, ["sh", "-c", script, "sh", pid_file]).splitlines():
        name, *_, cores = line.split(":")
        shown.setdefault(name, set()).add(cores.strip())
    return shown


class SeenOfPlain(NamedTuple):
    """What taskset, the cgroup's file, ip, bridge and tc say of the guest without libvirt."""

    threads: dict[str, set[str]]
    weight: int
    queue: int
    pinned: list[str]
    floods: bool
    redirects: str


def seen_of_plain(machine: Machine) -> SeenOfPlain:
    def shown(*words: str) -> str:
        return output(machine.transport, words)

    def told(*words: str) -> dict[str, Any]:
        (found,) = json.loads(shown(*words))
        return dict(found)

    controller = cgroup.detect()
    assert controller is not None
    addresses = json.loads(shown("bridge", "-j", "fdb", "show", "dev", "tap4"))
    return SeenOfPlain(
        threads=affinities(machine, f"/run/plain-{PLAIN.number}.pid"),
        weight=int(shown("cat", f"{group()}/{controller.weight_file}")),
        queue=told("ip", "-j", "link", "show", "dev", "tap4")["txqlen"],
        pinned=[e["mac"] for e in addresses if e.get("state") == "static" and "master" in e],
        floods=told("bridge", "-j", "-d", "link", "show", "dev", "tap4")["flood"],
        redirects=shown("tc", "filter", "show", "dev", "tap4", "ingress"),
    )


def with_(settings: Settings, **changes: object) -> Settings:
    return msgspec.structs.replace(settings, **changes)


def all_knobs(found: Settings) -> Settings:
    """A setting that changes every knob."""
    place = {k: (ONE,) if k.endswith("emulator") else (OTHER,) for k in found.placement}
    return with_(
        found,
        placement=place,
        weight={**found.weight, "g1": 4096, HOSTILE: 2048},
        tx_queue={**found.tx_queue, "vnet0": 64},
        bridge="direct",
        side_cores=(ONE,),
    )


def test_guests_threads_and_vifs_are_found(host: KvmHost) -> None:
    spec = host.describe()
    guests = {guest.name: guest for guest in spec.guests}
    assert set(guests) == {"g1", "g2", HOSTILE}
    assert guests["g1"].vcpus == ("g1/0", "g1/1")
    assert guests["g1"].vifs == ("vnet0",)
    assert {b.name: b.vifs for b in spec.backends}["g2/emulator"] == ("vnet1",)
    assert spec.uplink.name == "uplink"
    assert set(spec.limits.weights) == set(guests)
    assert spec.limits.bridge == ("stock", "lean", "direct")
    assert not spec.limits.why_not


def test_who_moves_packets_is_an_io_guest_and_who_only_works_is_not(machine: Machine) -> None:
    def roles() -> dict[str, str]:
        spec = KvmHost.open("qemu:///system", machine.transport).describe()
        return {guest.name: guest.role for guest in spec.guests}

    working = {"g1": "io", "g2": "io", HOSTILE: "cpu"}
    machine.wait(lambda: roles() == working, "guests do not do their work")


def test_a_vcpu_goes_where_it_is_placed(host: KvmHost, machine: Machine) -> None:
    found, before = host.settings(), affinities(machine, G1)
    first, anywhere, second, _ = virsh(machine, "vcpupin", "g1").split()
    host.apply(with_(found, placement={**found.placement, "g1/1": (OTHER,)}))
    pinned = [first, anywhere, second, str(OTHER)]
    assert virsh(machine, "vcpupin", "g1").split() == pinned
    assert affinities(machine, G1)["CPU 1/TCG"] == {str(OTHER)}
    assert affinities(machine, G1)["CPU 0/TCG"] == before["CPU 0/TCG"]


def test_a_backend_goes_where_it_is_placed_and_nothing_else_with_it(
    host: KvmHost, machine: Machine
) -> None:
    found, before = host.settings(), affinities(machine, G1)
    host.apply(with_(found, placement={**found.placement, "g1/emulator": (ONE,)}))
    pid = output(machine.transport, ["cat", "/run/libvirt/qemu/g1.pid"])
    assert output(machine.transport, ["taskset", "-cp", pid]).split()[-1] == str(ONE)
    after = affinities(machine, G1)
    own = "qemu-system-x86"
    assert {n: c for n, c in after.items() if n != own} == {
        n: c for n, c in before.items() if n != own
    }


@pytest.mark.parametrize("guest", ["g2", HOSTILE])
def test_a_weight_is_the_cgroup_s(host: KvmHost, machine: Machine, guest: str) -> None:
    found = host.settings()
    host.apply(with_(found, weight={**found.weight, guest: 3072}))
    shown = virsh(machine, "schedinfo", "--domain", guest).splitlines()
    assert ["cpu_shares", "3072"] in [line.replace(":", "").split() for line in shown]


def test_a_queue_has_its_length(host: KvmHost, machine: Machine) -> None:
    found = host.settings()
    host.apply(with_(found, tx_queue={**found.tx_queue, "vnet1": 17}))
    (link,) = json.loads(output(machine.transport, ["ip", "-j", "link", "show", "dev", "vnet1"]))
    assert link["txqlen"] == 17


def test_a_vif_holds_as_many_packets_as_its_queue_is_long(host: KvmHost, machine: Machine) -> None:
    """Nobody fetches what is sent to a suspended guest, so its queue fills to the last place."""
    burst, length = 300, 40
    found = host.settings()
    host.apply(with_(found, tx_queue={**found.tx_queue, "vnet2": length}))
    outside = ["ip", "-n", "outside"]
    neighbour = ["neigh", "replace", address(3), "lladdr", mac(3), "dev", "eth0"]
    output(machine.transport, [*outside, *neighbour, "nud", "permanent"])
    virsh(machine, "suspend", HOSTILE)
    dropped = ["cat", "/sys/class/net/vnet2/statistics/tx_dropped"]
    before = int(output(machine.transport, dropped))
    flood = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for _ in range({burst}): s.sendto(b'x', ('{address(3)}', 9))\n"
    )
    try:
        output(machine.transport, ["ip", "netns", "exec", "outside", sys.executable, "-c", flood])
        lost = int(output(machine.transport, dropped)) - before
    finally:
        virsh(machine, "resume", HOSTILE)
    others = lost - (burst - length)  # a neighbour's multicast takes a place now and then
    assert 0 <= others < 10


def test_the_bridge_redirects_in_direct_mode(host: KvmHost, machine: Machine) -> None:
    host.apply(with_(host.settings(), bridge="direct"))
    shown = output(machine.transport, ["tc", "filter", "show", "dev", "vnet1", "ingress"])
    assert "Egress Redirect to device vnet0" in shown


def test_who_was_pinned_behind_the_uplink_is_let_go_of_by_a_later_tuner_s_undo(
    host: KvmHost, machine: Machine
) -> None:
    def known(state: str) -> bool:
        shown = output(machine.transport, ["bridge", "fdb", "show", "br", "br0"])
        return bool(re.search(rf"dev uplink master br0 {state}$", shown, re.MULTILINE))

    snapshot, within = host.snapshot(), ["ip", "netns", "exec", "outside"]
    ask = f"import socket; socket.create_connection(({address(1)!r}, 9), 60)"
    machine.transport.run([*within, sys.executable, "-c", ask])  # refused, but answered
    assert known("")
    first = KvmHost.open("qemu:///system", machine.transport)
    first.apply(with_(first.settings(), bridge="direct"))
    assert known("static")
    later = KvmHost.open("qemu:///system", machine.transport)
    for command in later.restoring(snapshot):
        machine.transport.run(command)
    assert not known("static")
    assert host.snapshot() == snapshot


def test_guests_reach_each_other_in_every_mode(host: KvmHost, machine: Machine) -> None:
    found = host.settings()
    for mode in ("lean", "direct", "stock"):
        host.apply(with_(found, bridge=mode))
        assert host.settings().bridge == mode
        more = lab.into(machine, "vnet0") + 10**6
        machine.wait(lambda more=more: lab.into(machine, "vnet0") > more, f"no flow under {mode}")


def test_vcpus_and_all_else_keep_off_a_side_core(host: KvmHost, machine: Machine) -> None:
    found = host.settings()
    host.apply(all_knobs(found))
    assert host.settings().side_cores == (ONE,)
    one, other = str(ONE), str(OTHER)
    for name, cores in affinities(machine, G1).items():
        assert (one in cores) if name == "qemu-system-x86" else (cores == {other}), name


def test_a_side_core_that_somebody_uses_is_not_reserved_any_more(
    host: KvmHost, machine: Machine
) -> None:
    host.apply(all_knobs(host.settings()))
    virsh(machine, "vcpupin", "g2", "0", f"{ONE},{OTHER}", "--live")
    assert host.settings().side_cores == ()


def test_all_knobs_take_two_round_trips_and_a_measurement_one(
    host: KvmHost, recording: RecordingTransport
) -> None:
    target = all_knobs(host.settings())
    host.describe()
    before = recording.trips
    host.apply(target)
    assert recording.trips - before == 2
    host.measure(0.2)
    assert recording.trips - before == 3
    assert host.settings() == target


@pytest.mark.parametrize("way", ["apply", "restore", "restoring"])
def test_every_way_back_is_exact_to_the_byte(host: KvmHost, machine: Machine, way: str) -> None:
    found, snapshot = host.settings(), host.snapshot()
    host.apply(all_knobs(found))
    if way == "apply":
        host.apply(found)
    elif way == "restore":
        host.restore(snapshot)
    else:
        for command in host.restoring(snapshot):
            machine.transport.run(command)
    assert host.snapshot() == snapshot
    assert not machine.transport.run(["ls", "/run/viotune/kvm"]).out


def test_from_one_setting_to_the_next_and_back_to_what_was_found(host: KvmHost) -> None:
    found, snapshot = host.settings(), host.snapshot()
    first = all_knobs(found)
    second = with_(first, bridge="lean", side_cores=(), placement=found.placement)
    for target in (first, second, first):
        host.apply(target)
        assert host.settings() == target
    host.apply(found)
    assert host.snapshot() == snapshot


def test_the_persistent_configuration_is_never_touched(host: KvmHost, machine: Machine) -> None:
    xml = virsh(machine, "dumpxml", "--migratable", "g2").encode()
    output(machine.transport, ["virsh", "define", "/dev/stdin"], stdin=xml)
    try:
        before = virsh(machine, "dumpxml", "--inactive", "g2")
        host.apply(all_knobs(host.settings()))
        assert virsh(machine, "dumpxml", "--inactive", "g2") == before
    finally:
        virsh(machine, "undefine", "g2")


def test_an_illegal_setting_touches_nothing(host: KvmHost) -> None:
    found, snapshot = host.settings(), host.snapshot()
    with pytest.raises(IllegalSetting, match="without a core"):
        host.apply(with_(found, placement={**found.placement, "g1/0": ()}))
    assert host.snapshot() == snapshot


def test_a_measurement_counts_the_flow_once_and_the_cpu_of_each(host: KvmHost) -> None:
    # After a break, as a change of the bridge may be one, TCP waits for seconds.
    while (sample := host.measure(1.0)).vifs["vnet0"].inward.bytes < 10**6:
        pass
    assert sample.seconds >= 1.0
    assert sample.vifs["vnet1"].outward.bytes > 0
    assert sample.uplink.outward.bytes < sample.vifs["vnet0"].inward.bytes
    assert 0 < sample.backend_cpu["g1/emulator"] < 2 * sample.seconds
    assert sample.guest_cpu[HOSTILE] > 0
    billed = sum(sample.guest_cpu.values()) + sum(sample.backend_cpu.values())
    busy = sum(sample.core_busy.values())  # in ticks, and read after the threads' own times
    assert billed < 1.1 * busy + 0.2


@pytest.mark.parametrize("mode", ["lean", "direct"])
def test_guests_without_libvirt_have_the_same_five_knobs(
    machine: Machine, recording: RecordingTransport, mode: BridgeMode
) -> None:
    host = KvmHost.open("kvm:", recording)
    plain = PLAIN.name
    spec, found, snapshot = host.describe(), host.settings(), host.snapshot()
    assert plain in spec.limits.weights
    before = seen_of_plain(machine)
    assert before.threads["CPU 0/TCG"] == before.threads["qemu-system-x86"] != {str(ONE)}
    place = {k: (ONE,) if k.endswith("emulator") else (OTHER,) for k in found.placement}
    target = with_(
        found,
        placement=place,
        weight={**found.weight, plain: 2048},
        tx_queue={**found.tx_queue, "tap4": 64},
        bridge=mode,
        side_cores=(ONE,),
    )
    host.apply(target)
    try:
        assert host.settings() == target
        seen = seen_of_plain(machine)
        assert seen.threads["CPU 0/TCG"] == {str(OTHER)}
        assert str(ONE) in seen.threads["qemu-system-x86"]
        assert (seen.weight, seen.queue, seen.pinned) == (2048, 64, [mac(4)])
        assert seen.floods == (mode == "direct")
        assert ("Egress Redirect to device vnet0" in seen.redirects) == (mode == "direct")
    finally:
        host.restore(snapshot)
    assert host.snapshot() == snapshot
    assert seen_of_plain(machine) == before


def test_a_guest_that_reboots_stays_as_it_is_set(host: KvmHost, machine: Machine) -> None:
    target = all_knobs(host.settings())
    host.apply(target)
    virsh(machine, "reset", "g1")
    more = lab.into(machine, "vnet0") + 10**6
    machine.wait(lambda: lab.into(machine, "vnet0") > more, "no flow after a reboot")
    assert host.settings() == target


def test_a_vif_that_is_plugged_in_is_left_alone_and_found_the_next_time(
    host: KvmHost, machine: Machine
) -> None:
    snapshot, target = host.snapshot(), all_knobs(host.settings())
    host.apply(target)
    plugged = ("--type", "bridge", "--source", "br0", "--model", "virtio", "--target", "plugged0")
    virsh(machine, "attach-interface", "g2", *plugged, "--live")
    assert host.settings() == target
    host.restore(snapshot)
    again = KvmHost.open("qemu:///system", machine.transport)
    assert again.settings().tx_queue["plugged0"] == 1000
    again.apply(with_(again.settings(), bridge="direct"))
    again.restore(snapshot)


def test_a_guest_that_ended_is_noticed_and_what_was_found_comes_back_for_the_others(
    host: KvmHost, machine: Machine
) -> None:
    found, snapshot = host.settings(), host.snapshot()
    host.apply(all_knobs(found))
    undoing = host.restoring(snapshot)
    virsh(machine, "destroy", "g2")
    with pytest.raises(HostError, match=r"^qemu:///system: .*'g2'.* run this again$"):
        host.measure(0.2)
    for command in undoing:
        machine.transport.run(command)
    again = KvmHost.open("qemu:///system", machine.transport)
    left = again.settings()
    assert left.placement == {k: c for k, c in found.placement.items() if not k.startswith("g2/")}
    assert (left.weight["g1"], left.bridge, left.side_cores) == (found.weight["g1"], "stock", ())
    machine.boot(lab.GUESTS[1])
    KvmHost.open("qemu:///system", machine.transport).restore(snapshot)


def test_a_guest_saved_and_restored_gets_back_what_it_had(host: KvmHost, machine: Machine) -> None:
    found, snapshot = host.settings(), host.snapshot()
    host.apply(all_knobs(found))
    virsh(machine, "save", "g1", "/run/g1")
    virsh(machine, "restore", "/run/g1")
    with pytest.raises(HostError, match="'g1' has ended or was started anew"):
        host.settings()
    host.restore(snapshot)
    left = host.settings()
    assert (left.placement, left.weight) == (found.placement, found.weight)
    assert (left.bridge, left.side_cores) == ("stock", ())
    (vif,) = (g.vifs[0] for g in host.describe().guests if g.name == "g1")
    more = lab.into(machine, vif) + 10**6
    machine.wait(lambda: lab.into(machine, vif) > more, "no flow into a restored guest")
