"""What a host is made of, out of what commands print: threads, taps, names, cores, weights."""

import contextlib

import msgspec
import pytest
from fake_kvm import FakeKvm
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError, IllegalSetting, Unprivileged
from envs.host import HostSpec, Port, Sample, Traffic
from envs.hosts import cgroup
from envs.hosts.cgroup import Controller
from envs.hosts.kvm import libvirt, qemu
from envs.hosts.kvm.counters import misses
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.roles import roles_of
from envs.hosts.transport import Result
from envs.hosts.uplink import Adapter, uplink

HOSTILE = ["$(reboot)", "a b", "-x", "a;b", "'\"", "a,b=c,,d", "line\nline", "gäst"]
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


def described(fake: FakeKvm) -> HostSpec:
    return KvmHost.open("qemu:///system", fake).describe()


def confine(fake: FakeKvm, pid: int, cores: str) -> None:
    """Let all threads of a process run on these cores."""
    for file in fake.files:
        if file.startswith(f"/proc/{pid}/") and file.endswith("/status"):
            fake.files[file] = f"Cpus_allowed_list:\t{cores}\n"


def apart() -> FakeKvm:
    """Two guests with cpusets of their own."""
    fake = FakeKvm()
    for pid, cores in ((100, "0-1"), (200, "2-3")):
        fake.add(f"vm{pid}", pid, tap=f"tap{pid}")
        confine(fake, pid, cores)
        for file in fake.files:
            if f"x2d{pid}." in file and file.endswith("effective"):
                fake.files[file] = cores + "\n"
    return fake


@given(names)
def test_a_name_comes_through_the_command_line_as_it_is(name: str) -> None:
    text = f"guest={name.replace(',', ',,')},debug-threads=on"
    assert qemu.properties(text)["guest"] == name


@given(st.text(max_size=60))
def test_any_option_is_read_or_refused_with_a_clear_error(text: str) -> None:
    with contextlib.suppress(HostError):
        assert all(isinstance(value, str) for value in qemu.properties(text, "first").values())


def test_an_option_may_begin_with_its_value_or_be_json() -> None:
    assert qemu.properties("vm,debug-threads=on", "guest") == {
        "guest": "vm",
        "debug-threads": "on",
    }
    assert qemu.properties('{"driver":"virtio-net-pci","mq":true}')["driver"] == "virtio-net-pci"


def test_where_the_addresses_of_taps_stand_on_the_command_line() -> None:
    words = [
        *("qemu", "-netdev", '{"type":"tap","fd":"29","id":"h0"}'),
        *("-device", '{"driver":"virtio-net-pci","netdev":"h0","mac":"52:54:00:00:00:01"}'),
        *("-netdev", "tap,id=h1,fds=30:31,vhost=on"),
        *("-device", "virtio-net-pci,mac=52:54:00:00:00:0B,netdev=h1,id=n1"),
        *("-netdev", "type=tap,id=h2,ifname=tap9,script=/etc/up"),
        *("-device", "virtio-net-pci,mac=BC:24:11:00:00:02,netdev=h2"),
        *("-nic", "tap,ifname=tap8,mac=52:54:00:00:00:04"),
        *("-netdev", "user,id=h3", "-device", "virtio-net-pci,netdev=h3"),
    ]
    arguments = tuple(qemu._arguments(words))
    assert qemu._macs(arguments, {29: "vnet0", 30: "vnet1", 31: "vnet1"}) == {
        "vnet0": "52:54:00:00:00:01",
        "vnet1": "52:54:00:00:00:0b",
        "tap9": "bc:24:11:00:00:02",
        "tap8": "52:54:00:00:00:04",
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_names_and_nothing_else(name: str) -> None:
    scripts = {}
    for each in (name, "vm"):
        fake = FakeKvm()
        fake.add(each, 100)
        assert [guest.name for guest in described(fake).guests] == [each]
        scripts[each] = [argv[2] for argv in fake.asked if argv[:2] == ("sh", "-c")]
    assert scripts[name] == scripts["vm"]


def test_guests_of_one_name_are_told_apart() -> None:
    fake = FakeKvm()
    for pid in (100, 200, 300):
        fake.add("vm", pid, tap=f"tap{pid}")
    fake.add("host", 400, tap="tap400")
    named = [guest.name for guest in described(fake).guests]
    assert named == ["vm", "vm (2)", "vm (3)", "host (2)"]


def test_without_vhost_the_emulator_is_the_backend_and_with_it_each_worker() -> None:
    fake = FakeKvm()
    fake.add("plain", 100, tap="vnet0")
    fake.add("fast", 200, tap="vnet1", vhost=(290, 291))
    assert {b.name: b.vifs for b in described(fake).backends} == {
        "plain/emulator": ("vnet0",),
        "fast/vhost-0": ("vnet1",),
        "fast/vhost-1": ("vnet1",),
    }


def test_a_worker_that_is_a_thread_of_qemu_is_found_too() -> None:
    fake = FakeKvm()
    fake.add("new", 100)
    fake._thread(100, 170, "vhost-100")
    fake.members["00000000-0000-0000-0000-000000000100", "emulator"][1].append(170)
    assert [b.name for b in described(fake).backends] == ["new/vhost-0"]


def test_isolated_cores_are_left_alone_unless_a_guest_is_there() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    fake.files["/sys/devices/system/cpu/isolated"] = "2-3\n"
    for status in [f for f in fake.files if f.endswith("/status")]:
        fake.files[status] = "Cpus_allowed_list:\t0-1\n"
    assert described(fake).core_ids == (0, 1)
    fake.files[fake._status(110)] = "Cpus_allowed_list:\t3\n"
    assert described(fake).core_ids == (0, 1, 3)


def test_cores_that_are_offline_are_none_although_affinities_name_them() -> None:
    fake = FakeKvm(cores=2)
    fake.add("vm", 100)
    for status in [f for f in fake.files if f.endswith("/status")]:
        fake.files[status] = "Cpus_allowed_list:\t0-63\n"
    host = KvmHost.open("qemu:///system", fake)
    found, snapshot = host.settings(), host.snapshot()
    assert set(found.placement.values()) == {(0, 1)}
    place = {**found.placement, "vm/0": (1,)}
    host.apply(msgspec.structs.replace(found, placement=place))
    assert (fake.cores_of(110), fake.cores_of(111)) == ((1,), tuple(range(64)))
    host.apply(found)
    assert host.snapshot() == snapshot


def test_cores_outside_a_guest_s_cpuset_are_left_alone() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    (effective,) = [f for f in fake.files if f.endswith("effective")]
    fake.files[effective] = "0-2\n"
    for status in [f for f in fake.files if f.endswith("/status")]:
        fake.files[status] = "Cpus_allowed_list:\t0-2\n"
    assert described(fake).core_ids == (0, 1, 2)


def test_a_cpuset_above_a_guest_s_own_group_is_seen() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    confine(fake, 100, "2-3")
    (effective,) = [f for f in fake.files if f.endswith("effective")]
    del fake.files[effective]
    fake.files["/sys/fs/cgroup/machine.slice/cpuset.cpus.effective"] = "2-3\n"
    fake.files["/sys/fs/cgroup/cpuset.cpus.effective"] = "0-3\n"
    assert described(fake).core_ids == (2, 3)


def test_an_isolated_core_is_its_guest_s_alone() -> None:
    fake = FakeKvm()
    fake.files["/sys/devices/system/cpu/isolated"] = "3\n"
    for pid in (100, 200):
        fake.add(f"vm{pid}", pid, tap=f"tap{pid}")
        confine(fake, pid, "0-2")
    fake.files[fake._status(110)] = "Cpus_allowed_list:\t3\n"
    spec = described(fake)
    assert spec.core_ids == (0, 1, 2, 3)
    assert spec.limits.reach == dict.fromkeys(("vm200/0", "vm200/1", "vm200/emulator"), (0, 1, 2))


def test_what_is_not_placed_leaves_a_side_core_within_its_guest_s_cpuset() -> None:
    fake = apart()
    fake.files[fake._status(101)] = "Cpus_allowed_list:\t0\n"
    host = KvmHost.open("qemu:///system", fake)
    found = host.settings()
    place = {"vm100/emulator": (0,), "vm100/0": (1,), "vm100/1": (1,)}
    host.apply(
        msgspec.structs.replace(found, placement={**found.placement, **place}, side_cores=(0,))
    )
    assert fake.cores_of(101) == fake.cores_of(102) == (1,)
    host.apply(found)
    assert fake.cores_of(101) == (0,)


def test_guests_that_are_kept_apart_by_cpusets_are_placed_within_their_own() -> None:
    fake = apart()
    host = KvmHost.open("qemu:///system", fake)
    assert host.describe().limits.reach == {
        **dict.fromkeys(("vm100/0", "vm100/1", "vm100/emulator"), (0, 1)),
        **dict.fromkeys(("vm200/0", "vm200/1", "vm200/emulator"), (2, 3)),
    }
    found = host.settings()
    host.apply(msgspec.structs.replace(found, placement={**found.placement, "vm100/0": (1,)}))
    assert fake.cores_of(110) == (1,)
    with pytest.raises(IllegalSetting, match=r"'vm100/0' leaves .* bound to: cores 0, 1"):
        host.apply(msgspec.structs.replace(found, placement={**found.placement, "vm100/0": (2,)}))


def test_without_libvirt_the_sets_that_it_gave_its_groups_are_kept() -> None:
    fake = FakeKvm()
    uuid = fake.add("vm", 100)
    fake.run(Libvirt(uri="qemu:///system").pin(uuid, "vcpu", "0", "0-2"))
    assert KvmHost.open("kvm:", fake).describe().limits.reach == {"vm/0": (0, 1, 2)}
    assert described(fake).limits.reach == {}


MAIN = ("-machine", "pc-i440fx-9.2,usb=off,memory-backend=r", "-object")
DIMM = ("-object", "memory-backend-file,id=dimm,host-nodes=1,policy=bind")


@pytest.mark.parametrize(
    ("words", "reach"),
    [
        ([], {}),
        ([*MAIN, "memory-backend-ram,id=r,host-nodes=1,policy=bind"], {0: (2, 3), 1: (2, 3)}),
        (
            [*MAIN, '{"qom-type":"memory-backend-ram","id":"r","host-nodes":[1],"policy":"bind"}'],
            {0: (2, 3), 1: (2, 3)},
        ),
        ([*MAIN, "memory-backend-ram,id=r,host-nodes=0-1,policy=bind"], {}),
        ([*MAIN, "memory-backend-ram,id=r,host-nodes=0,host-nodes=1,policy=bind"], {}),
        ([*MAIN, "memory-backend-ram,id=r,host-nodes=1,policy=interleave"], {}),
        (DIMM, {}),
        ([*MAIN, "memory-backend-ram,id=r", *DIMM], {}),
        (
            [*DIMM, "-numa", "node,cpus=0,memdev=dimm", "-numa", "node,cpus=1,memdev=free"],
            {0: (2, 3)},
        ),
        ([*DIMM, "-numa", "node,memdev=dimm", "-numa", "cpu,node-id=0,socket-id=0"], {}),
        (
            [
                *("-object", "memory-backend-ram,id=low,host-nodes=0,policy=bind"),
                *("-numa", "node,nodeid=0,cpus=0,memdev=low"),
                *("-object", "memory-backend-ram,id=high,host-nodes=1,policy=preferred"),
                *("-numa", "node,nodeid=1,cpus=1-3,cpus=5,memdev=high"),
            ],
            {0: (0, 1), 1: (2, 3)},
        ),
    ],
)
def test_vcpus_are_kept_at_their_memory_where_qemu_binds_it(
    words: list[str], reach: dict[int, tuple[int, ...]]
) -> None:
    fake = FakeKvm()
    fake.nodes = 2
    fake.files["/sys/devices/system/node/has_memory"] = "0-1\n"
    fake.add("vm", 100)
    fake.files["/proc/100/cmdline"] += "\0".join([*words, ""])
    expected = {f"vm/{vcpu}": cores for vcpu, cores in reach.items()}
    assert described(fake).limits.reach == expected


@pytest.mark.parametrize(("memory", "reach"), [("0-1", {"vm/0": (0, 1)}), ("0", {}), ("", {})])
def test_vcpus_are_kept_at_their_memory_where_a_cpuset_binds_it(
    memory: str, reach: dict[str, tuple[int, ...]]
) -> None:
    fake = FakeKvm()
    fake.nodes = 2
    fake.add("vm", 100, vcpus=1)
    fake.files["/sys/devices/system/node/has_memory"] = memory + "\n"
    fake.files[fake._status(110)] = "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0\n"
    assert described(fake).limits.reach == reach


def test_what_was_found_out_of_reach_may_go_back_while_all_else_is_changed() -> None:
    fake = FakeKvm()
    fake.nodes = 2
    fake.add("vm", 100, vcpus=1)
    fake.links["vnet0"]["txqlen"] = 10000
    fake.files["/sys/devices/system/node/has_memory"] = "0-1\n"
    fake.files[fake._status(110)] = "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0\n"
    host = KvmHost.open("qemu:///system", fake)
    found = host.settings()
    short = {"vnet0": 512}
    near = {**found.placement, "vm/0": (1,)}
    for tx_queue, placement in ((short, near), (short, found.placement), (found.tx_queue, near)):
        target = msgspec.structs.replace(found, tx_queue=tx_queue, placement=placement)
        host.apply(target)
        assert host.settings() == target
    with pytest.raises(IllegalSetting, match="'vm/0' leaves what its guest is bound to"):
        host.apply(msgspec.structs.replace(found, placement={**near, "vm/0": (2, 3)}))


def test_vcpus_that_have_no_names_are_not_placed() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    for comm in [f for f, text in fake.files.items() if text.startswith("CPU ")]:
        fake.files[comm] = "qemu-system-x86\n"
    limits = described(fake).limits
    assert not limits.guests
    assert "debug-threads=on" in limits.why_not["placement"]


def test_a_guest_without_a_cgroup_of_its_own_has_no_weight() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    fake.files["/proc/100/cgroup"] = "0::/\n"
    limits = described(fake).limits
    assert limits.weights == ()
    assert limits.why_not["weight"] == "vm: it has no cgroup of its own with the CPU controller"


def test_a_weight_that_others_share_is_not_set_where_there_is_no_libvirt() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    fake.files["/proc/100/cgroup"] = "0::/user.slice\n"
    fake.files["/sys/fs/cgroup/user.slice/cpu.weight"] = "100\n"
    fake.files["/sys/fs/cgroup/user.slice/cgroup.procs"] = "100\n4711\n"
    fake.files["/proc/4711/cmdline"] = "bash\0"
    limits = KvmHost.open("kvm:", fake).describe().limits
    assert limits.weights == ()
    assert "shares its cgroup with other processes" in limits.why_not["weight"]
    fake.files["/sys/fs/cgroup/user.slice/cgroup.procs"] = "100\n"
    assert KvmHost.open("kvm:", fake).describe().limits.weights == ("vm",)


SCOPE = "/sys/fs/cgroup/qemu.slice/100.scope"


def alone() -> FakeKvm:
    """A guest in a scope of systemd's, as Proxmox VE runs it, with KVM's thread for it."""
    fake = FakeKvm()
    fake.add("vm", 100, vhost=(190,))
    fake.files["/proc/100/cgroup"] = "0::/qemu.slice/100.scope\n"
    fake.files[f"{SCOPE}/cgroup.procs"] = "100\n188\n190\n"
    fake.files["/proc/188/comm"] = "kvm-nx-lpage-recovery-100\n"
    return fake


def test_a_guest_shares_its_weight_with_threads_of_the_kernel_s_that_work_for_it() -> None:
    fake = alone()
    fake.files[f"{SCOPE}/cpu.weight"] = "100\n"
    host = KvmHost.open("kvm:", fake)
    assert host.describe().limits.weights == ("vm",)


def test_a_unit_s_weight_is_set_by_systemd_which_else_would_set_it_back() -> None:
    fake = alone()
    fake.files[f"{SCOPE}/cpu.weight"] = "100\n"
    host = KvmHost.open("kvm:", fake)
    found = host.settings()
    host.apply(msgspec.structs.replace(found, weight={**found.weight, "vm": 800}))
    assert fake.files[f"{SCOPE}/cpu.weight"] == "800\n"
    asked = ("systemctl", "set-property", "--runtime", "100.scope", "CPUWeight=800")
    assert asked in fake.asked


def test_a_scope_that_has_no_weight_has_none_and_the_reason_tells_how_to_give_it_one() -> None:
    limits = KvmHost.open("kvm:", alone()).describe().limits
    assert limits.weights == ()
    assert limits.why_not["weight"].endswith(
        "with the CPU controller: systemctl set-property --runtime 100.scope CPUWeight=100"
    )


def test_a_weight_of_libvirt_s_is_left_to_libvirt() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    limits = KvmHost.open("kvm:", fake).describe().limits
    assert limits.why_not["weight"].endswith("from libvirt: name the host qemu:///system")


def test_without_a_bridge_of_linux_its_modes_are_out_and_the_reason_says_so() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    limits = described(fake).limits
    assert limits.bridge == ("stock",)
    assert limits.why_not["bridge"] == "no vif is a port of a Linux bridge"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Result(argv=("virsh",), rc=127, err="virsh: not found"), "there is no virsh"),
        (
            Result(argv=("virsh",), rc=1, err="error: failed to connect\nerror: No such file\n"),
            "libvirt does not answer: No such file",
        ),
        (Result(argv=("virsh",), rc=0, out="-u\n"), "something unexpected"),
    ],
)
def test_libvirt_that_does_not_answer_is_one_clear_line(answer: Result, complaint: str) -> None:
    with pytest.raises(HostError, match=complaint):
        libvirt.uuids(answer)


def test_a_host_without_guests_or_without_a_tap_has_nothing_to_tune() -> None:
    fake = FakeKvm()
    with pytest.raises(HostError, match=r"^kvm: no guest runs there: there is nothing to tune"):
        KvmHost.open("kvm:", fake)
    fake.add("vm", 100)
    fake.files["/proc/100/fdinfo/30"] = "iff:\tgone\n"
    with pytest.raises(HostError, match="no guest has a tap"):
        KvmHost.open("kvm:", fake)


def test_who_is_not_root_is_told_so() -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    fake.user = 1000
    with pytest.raises(Unprivileged, match=r"^qemu:///system: only root may"):
        KvmHost.open("qemu:///system", fake)


def test_the_addresses_that_virsh_lists() -> None:
    shown = (
        " vnet0   bridge    br0          virtio   52:54:00:77:00:01\n"
        " vnet1   network   my own net   virtio   52:54:00:77:00:0A\n"
        " -       user      -            virtio   52:54:00:77:00:02\n\n"
    )
    assert libvirt.addresses(Result(argv=("virsh",), rc=0, out=shown)) == {
        "vnet0": "52:54:00:77:00:01",
        "vnet1": "52:54:00:77:00:0a",
        "-": "52:54:00:77:00:02",
    }


@pytest.mark.parametrize(
    ("path", "machine"),
    [
        ("/machine/qemu-1-g1.libvirt-qemu/emulator", "/machine/qemu-1-g1.libvirt-qemu"),
        (r"/machine.slice/machine-a.scope/libvirt/emulator", "/machine.slice/machine-a.scope"),
        (r"/machine.slice/machine-a.scope/libvirt/vcpu12", "/machine.slice/machine-a.scope"),
        ("/qemu.slice/100.scope", "/qemu.slice/100.scope"),
    ],
)
def test_the_group_of_a_whole_guest(path: str, machine: str) -> None:
    assert libvirt.machine_group(path) == machine


def test_which_group_a_process_is_in() -> None:
    text = "2:cpu,cpuacct:/machine/vm/emulator\n1:name=systemd:/\n0::/machine/vm\n"
    assert cgroup.membership(text, Controller(version=1, root="/c")) == "/machine/vm/emulator"
    assert cgroup.membership(text, Controller(version=2, root="/c")) == "/machine/vm"
    assert cgroup.membership(text, Controller(version=1, root="/c"), "cpuset") == "/"


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        ("12345,,cache-misses,2000000000,100.00,,\n", 12345.0),
        ("<not supported>,,cache-misses,0,100.00,,\n", None),
        ("sh: 1: perf: not found\n", None),
        ("", None),
    ],
)
def test_cache_misses_where_perf_counts_them(shown: str, count: float | None) -> None:
    assert misses(shown) == count


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("eth1 no 0 -1 \neth0 yes 25000 1 41 42\n", Adapter("eth0", 25.0, 1, (41, 42))),
        ("eth1 yes -1 -1 \n", Adapter("eth1")),
        ("veth no 10000 -1 \n", Adapter("veth")),
        ("", Adapter("br0")),
    ],
)
def test_the_uplink_is_hardware_if_there_is_any(answer: str, found: Adapter) -> None:
    assert uplink(answer, "br0") == found


@pytest.mark.parametrize(
    ("cores", "gbps", "role"),
    [(1.0, 0.001, "cpu"), (1.0, 0.1, "io"), (0.01, 0.0, "io"), (0.2, 0.5, "io"), (2.0, 0.0, "cpu")],
)
def test_a_guest_that_works_and_moves_next_to_nothing_is_cpu_bound(
    cores: float, gbps: float, role: str
) -> None:
    fake = FakeKvm()
    fake.add("vm", 100)
    spec, seconds = described(fake), 2.0
    port = Port(inward=Traffic(bytes=int(gbps * 1e9 / 8 * seconds)))
    seen = Sample(
        seconds=seconds,
        vifs={"vnet0": port},
        uplink=Port(),
        guest_cpu={"vm": cores * seconds},
        backend_cpu={"vm/emulator": 0.0},
        core_busy={},
    )
    assert roles_of(spec, seen) == {"vm": role}
    assert msgspec.json.encode(spec)


def test_a_command_line_of_any_length_is_soon_read() -> None:
    nodes = "memory-backend-ram,id=r,policy=bind" + ",host-nodes=0-9999" * 10_000
    cells = "node,memdev=r" + ",cpus=0-9999" * 10_000
    vcpus = range(3000)
    bound = qemu._nodes([("-object", nodes), ("-numa", cells), ("-numa", cells)], vcpus)
    assert bound == dict.fromkeys(vcpus, tuple(range(128)))


def test_who_only_calls_a_process_vhost_or_qemu_does_not_disturb() -> None:
    comms = "/proc/7/comm\0vhost-5\n/proc/8/comm\0vhost-\u0661\n/proc/9/comm\0vhost-5x\n"
    assert qemu.workers(Result(argv=("grep",), rc=0, out=comms)) == {5: (7,)}
    assert qemu.properties("{x") == {}
