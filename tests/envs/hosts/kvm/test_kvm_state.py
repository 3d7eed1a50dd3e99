"""Settings on hosts that no test machine is: vhost, cgroup version 2, interrupts, refusals."""

import json

import msgspec
import pytest
from fake_kvm import FakeKvm

from envs.errors import CommandFailed, HostError, NotApplied
from envs.host import Settings
from envs.hosts import linux
from envs.hosts.kvm.host import KvmHost
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.transport import Result

PID, WORKERS = 100, (190, 191)


@pytest.fixture
def fake() -> FakeKvm:
    return populated(FakeKvm())


def populated(made: FakeKvm) -> FakeKvm:
    """With two guests, vhost and an interrupt."""
    made.add("vm", PID, vhost=WORKERS)
    made.add("db", 200, tap="vnet1")
    made.interrupts = "eth0 yes 10000 0 41\n"
    made.files["/proc/irq/41/smp_affinity_list"] = "0-3\n"
    return made


@pytest.fixture
def host(fake: FakeKvm) -> KvmHost:
    opened = KvmHost.open("qemu:///system", fake)
    opened.describe()
    return opened


def with_(settings: Settings, **changes: object) -> Settings:
    return msgspec.structs.replace(settings, **changes)


def side_core(found: Settings) -> Settings:
    """Workers and emulators on core 0, reserved; VCPUs on the others."""
    backend = {k for k in found.placement if "vhost" in k or k.endswith("emulator")}
    place = {key: (0,) if key in backend else (1, 2, 3) for key in found.placement}
    return with_(found, placement=place, side_cores=(0,))


def test_each_vhost_worker_goes_where_it_is_placed(fake: FakeKvm, host: KvmHost) -> None:
    found = host.settings()
    target = with_(found, placement={**found.placement, "vm/vhost-0": (2,), "vm/vhost-1": (3,)})
    host.apply(target)
    assert host.settings() == target
    assert [fake.cores_of(tid) for tid in WORKERS] == [(2,), (3,)]
    assert fake.cores_of(PID) == (0, 1, 2, 3)  # the emulator beside them stays where it was


def test_on_a_side_core_there_are_backends_alone(fake: FakeKvm, host: KvmHost) -> None:
    host.apply(side_core(host.settings()))
    assert host.settings().side_cores == (0,)
    assert [fake.cores_of(tid) for tid in WORKERS] == [(0,), (0,)]
    others = (PID, PID + 1, PID + 2, PID + 10, PID + 11)
    assert {fake.cores_of(tid) for tid in others} == {(1, 2, 3)}


def test_interrupts_follow_the_backends_and_come_back_with_them(
    fake: FakeKvm, host: KvmHost
) -> None:
    found, before = host.settings(), fake.files.copy()
    host.apply(side_core(found))
    assert fake.files["/proc/irq/41/smp_affinity_list"] == "0\n"
    host.apply(found)
    assert host.settings() == found
    assert {f: fake.files[f].strip() for f in before if "irq" in f} == {
        "/proc/irq/41/smp_affinity_list": "0,1,2,3"
    }


def test_a_weight_of_version_2_is_the_scope_s(fake: FakeKvm, host: KvmHost) -> None:
    found = host.settings()
    assert found.weight == {"host": 100, "vm": 100, "db": 100}
    host.apply(with_(found, weight={**found.weight, "vm": 800}))
    assert (
        fake.files[r"/sys/fs/cgroup/machine.slice/machine-qemu\x2d100.scope/cpu.weight"] == "800\n"
    )


@pytest.mark.parametrize("way", ["apply", "restore", "restoring"])
def test_every_way_back_is_exact_a_set_that_was_inherited_included(
    fake: FakeKvm, host: KvmHost, way: str
) -> None:
    found, snapshot, before = host.settings(), host.snapshot(), fake.files.copy()
    host.apply(side_core(found))
    assert fake.files != before
    if way == "apply":
        host.apply(found)
    elif way == "restore":
        host.restore(snapshot)
    else:
        for command in host.restoring(snapshot):
            guarded = command[2].startswith("\npid=") if command[0] == "sh" else False
            fake.run(command[6:] if guarded else command)
    assert host.snapshot() == snapshot
    assert {f: t for f, t in fake.files.items() if "cpuset.cpus" in f} == {
        f: t for f, t in before.items() if "cpuset.cpus" in f
    }


def test_libvirt_is_told_only_of_pins_in_groups_that_have_cores_of_their_own(
    fake: FakeKvm,
) -> None:
    """To give a group some could not be taken back."""
    fake.run(Libvirt(uri="qemu:///system").pin(fake.uuids[1], "vcpu", "0", "0-2"))
    host = KvmHost.open("qemu:///system", fake)
    snapshot, stock = host.snapshot(), host.settings()
    asked = len(fake.asked)
    host.apply(with_(stock, placement={**stock.placement, "vm/0": (3,), "db/0": (1,)}))
    assert (fake.cores_of(PID + 10), fake.cores_of(210)) == ((3,), (1,))
    pins = [argv[4:] for argv in fake.asked[asked:] if argv[0] == "virsh"]
    assert pins == [("vcpupin", fake.uuids[1], "0", "1", "--live")]
    host.restore(snapshot)
    assert host.snapshot() == snapshot


def test_only_what_differs_is_put_back_where_that_is_told(host: KvmHost) -> None:
    found, snapshot = host.settings(), host.snapshot()
    assert host.restoring(snapshot, [snapshot]) == ()
    host.apply(with_(found, tx_queue={**found.tx_queue, "vnet0": 64}))
    commands = host.restoring(snapshot, [snapshot, host.snapshot()])
    assert [command[6:] for command in commands if "vnet0" in command] == [
        ("ip", "link", "set", "dev", "vnet0", "txqueuelen", "1000")
    ]
    assert {command[0] for command in commands if "vnet0" not in command} == {"rm"}  # what is kept


def test_a_refused_value_puts_back_what_was_changed(fake: FakeKvm, host: KvmHost) -> None:
    found, snapshot = host.settings(), host.snapshot()
    fake.refused = lambda argv: "schedinfo" in argv
    target = side_core(with_(found, weight={**found.weight, "vm": 800}))
    with pytest.raises(CommandFailed, match="it is refused"):
        host.apply(target)
    fake.refused = lambda _: False
    assert host.snapshot() == snapshot


def test_a_return_code_is_not_trusted(fake: FakeKvm, host: KvmHost) -> None:
    found = host.settings()
    fake.links["vnet0"] = Stubborn(fake.links["vnet0"])
    with pytest.raises(NotApplied, match=r"tx_queue of 'vnet0' did not take '64', it is '1000'"):
        host.apply(with_(found, tx_queue={**found.tx_queue, "vnet0": 64}))


class Stubborn(dict[str, object]):
    """A link that says yes and does nothing."""

    def __setitem__(self, key: str, value: object) -> None:
        pass


def test_a_guest_that_was_started_anew_is_not_taken_for_the_old_one(
    fake: FakeKvm, host: KvmHost
) -> None:
    found = host.settings()
    stat = f"/proc/{PID}/stat"
    fake.files[stat] = fake.files[stat].replace(f" {PID * 100} ", " 99999 ")
    with pytest.raises(HostError, match="'vm' has ended or was started anew: run this again"):
        host.apply(side_core(found))


def test_a_thread_that_comes_and_goes_is_no_reason_to_stop(fake: FakeKvm, host: KvmHost) -> None:
    target = side_core(host.settings())
    for file in [f for f in fake.files if f.startswith(f"/proc/{PID}/task/{PID + 2}/")]:
        del fake.files[file]
    fake.members["00000000-0000-0000-0000-000000000100", "emulator"][1].remove(PID + 2)
    host.apply(target)
    assert host.settings() == target
    assert host.measure(0.1).guest_cpu["vm"] == 0.0


def test_another_guest_s_core_on_a_side_core_ends_the_reservation(
    fake: FakeKvm, host: KvmHost
) -> None:
    host.apply(side_core(host.settings()))
    fake.run(Libvirt(uri="qemu:///system").pin(fake.uuids[1], "vcpu", "0", "0,1"))
    assert host.settings().side_cores == ()


def test_all_is_set_in_two_round_trips_and_measured_in_one(fake: FakeKvm, host: KvmHost) -> None:
    target = side_core(host.settings())
    before = fake.trips
    host.apply(target)
    assert fake.trips - before == 2
    host.measure(0.1)
    assert fake.trips - before == 3


class Silent(FakeKvm):
    """One command, the ``number``-th, says that it has worked, does nothing and prints nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def _run(self, argv: tuple[str, ...]) -> Result:
        done = super()._run(argv) if len(self.asked) != self.number else None
        if done is None:
            self.asked.append(argv)
        return done or Result(argv=argv, rc=0)


def knobs(fake: FakeKvm) -> tuple[object, ...]:
    placed = {f: linux.affinity(text) for f, text in fake.files.items() if f.endswith("/status")}
    shares = {f: text for f, text in fake.files.items() if f.endswith("cpu.weight")}
    return placed, shares, json.dumps(fake.links)


def test_a_command_that_says_nothing_is_an_error_or_no_matter() -> None:
    """Whichever it is; and what was set without an error is put back without one."""
    number, said = 0, set()
    while True:
        fake = populated(Silent(number))
        found = knobs(fake)
        try:
            opened = KvmHost.open("qemu:///system", fake)
            opened.describe()
            snapshot = opened.snapshot()
            opened.apply(side_core(opened.settings()))
            opened.measure(0.1)
            opened.restore(snapshot)
            assert knobs(fake) == found
        except HostError as error:
            said.add(str(error))
        if len(fake.asked) <= number:
            break
        number += 1
    assert "qemu:///system: date: this is no time: ''" in said
