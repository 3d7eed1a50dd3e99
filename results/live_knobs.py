"""Each knob of a KVM or a Xen host: what tools that are not ours read under it, and what it does.

    export PYTHONPATH=.:tests:tests/tuner/faults:tests/envs/hosts/kvm
    sudo -E .venv/bin/python results/live_knobs.py kvm | tee results/live/kvm-knobs.txt
    sudo -E .venv/bin/python results/live_knobs.py xen | tee results/live/xen-knobs.txt
    sudo -E .venv/bin/python results/live_knobs.py plain | tee results/live/kvm-plain.txt
    sudo -E .venv/bin/python results/live_knobs.py server | tee results/live/kvm-server.txt

The hosts are the labs, in ``plain`` with guests that libvirt does not run (``kvm:``): real
hypervisors, but emulated, so that speeds compare with each other at most. Under each setting stands
what virsh, taskset, xl, cgroup files, ip, bridge and tc print otherwise than before (- before,
+ now), and after it whether they print the same as before again. Then all settings in turn, round
after round: medians, lowest and highest. In ``server``, the tests' KVM server, guests are idle and
nothing is measured: there every thread of it is emulated, KVM's guests as well.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import pairwise

import kvm_lab as plain_lab
from kvm_readings import EVERYTHING
from kvm_server import Server
from kvm_subject import KvmSubject
from msgspec.structs import replace
from subject import Readings, lines
from xen_subject import XenSubject

from envs.host import HostSpec, Settings
from envs.hosts.kvm import lab as kvm_lab
from envs.hosts.kvm.host import LAB, KvmHost
from envs.hosts.kvm.lab.machine import GuestPlan, address
from envs.hosts.transport import RecordingTransport
from envs.hosts.xen import lab as xen_lab
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import machine as xen_machine
from envs.reward import bandwidth, cores_used

ROUNDS, SECONDS, SETTLE = 5, 2.0, 1.0
LONG = 160
"""Characters of a line of which only what differs is shown."""
Read = Callable[[], Readings]
Made = tuple[KvmHost | XenHost, RecordingTransport, str]
"""A host, how it is reached, and a script that prints the readings."""
PLAIN = """
    for number in 1 2 3; do
        for task in /proc/$(cat /run/plain-$number.pid)/task/*; do
            case $(cat $task/comm) in
                qemu-*|CPU*) echo "$(cat $task/comm) on $(taskset -c -p ${task##*/})" ;;
            esac
        done | sed "s/pid.*list: //; s/^/g$number /"
    done
    for group in GROUPS; do grep -H . $group/cpu.weight $group/cpu.shares 2>/dev/null; done
""" + "".join(KvmSubject.script.partition("ip -o -d")[1:]).replace("vnet0 vnet1", "tap1 tap2 tap3")
"""As ``KvmSubject.script``, of guests that virsh does not know."""


def main() -> None:
    """Show the knobs of the host that is asked for."""
    kinds: Mapping[str, Callable[[], AbstractContextManager[Made]]] = {
        "kvm": kvm,
        "xen": xen,
        "plain": plain,
        "server": server,
    }
    with kinds[sys.argv[1]]() as (host, transport, script):

        def read() -> Readings:
            return lines(transport.run(["sh", "-c", script], timeout=120.0).out)

        show(host, transport, read, 0 if sys.argv[1] == "server" else ROUNDS)


@contextmanager
def kvm() -> Iterator[tuple[KvmHost, RecordingTransport, str]]:
    """Two guests, one of which sends to the other, and one that computes."""
    made = kvm_lab.up()
    try:
        made.boot(GuestPlan(name="g3", number=3, vcpus=2, busy=2))
        transport = RecordingTransport(made.transport)
        script = KvmSubject.script.replace("g1 g2", "g1 g2 g3")
        yield KvmHost.open(LAB, transport), transport, script
    finally:
        made.down()


@contextmanager
def plain() -> Iterator[tuple[KvmHost, RecordingTransport, str]]:
    """The same three guests, run by QEMU alone, each in a cgroup of its own."""
    guests = (
        GuestPlan(name="g1", number=1, vcpus=2),
        GuestPlan(name="g2", number=2, to=(address(1),)),
        GuestPlan(name="g3", number=3, vcpus=2, busy=2),
    )
    made = kvm_lab.find()
    made.up()
    try:
        for guest in guests:
            plain_lab.run_plain(made, guest)
        transport = RecordingTransport(made.transport)
        groups = " ".join(plain_lab.group(guest) for guest in guests)
        yield KvmHost.open("kvm:", transport), transport, PLAIN.replace("GROUPS", groups)
    finally:
        made.down()
        for guest in guests:
            made.wait(partial(plain_lab.remove_group, guest), "a guest's cgroup stays")


@contextmanager
def xen() -> Iterator[tuple[XenHost, RecordingTransport, str]]:
    """Two guests, one of which sends to the other all it can, and one that computes."""
    made = xen_machine.up(xen_lab.Kind(guests=("pv", "pv", "pv")))
    try:
        xen_lab.flow(made, 0)
        xen_lab.compute(made, 3)
        transport = RecordingTransport(made.transport)
        yield XenHost.open("lab:xen", transport), transport, XenSubject.script
    finally:
        made.down()


@contextmanager
def server() -> Iterator[tuple[KvmHost, RecordingTransport, str]]:
    """Two guests of libvirt's, over SSH, on cgroups v2."""
    made = Server()
    made.up()
    try:
        transport = RecordingTransport(made.transport)
        yield KvmHost.open(made.uri, transport), transport, EVERYTHING
    finally:
        made.down()


def show(host: KvmHost | XenHost, transport: RecordingTransport, read: Read, rounds: int) -> None:
    """Set, read, put back and read again; then measure."""
    spec, found, snapshot, before = host.describe(), host.settings(), host.snapshot(), read()
    settings = _settings(spec, found)
    for name, setting in settings.items():
        trips, began = transport.trips, time.monotonic()
        host.apply(setting)
        print(f"== {name}: {transport.trips - trips} round trips, {time.monotonic() - began:.1f} s")
        now = read()
        for sign, some, others in (("-", before, now), ("+", now, before)):
            for line in some:
                if line not in others:
                    print(f"  {sign} {_brief(line, others)}")
        host.restore(snapshot)
        print(f"  put back: {'all as before' if read() == before else 'NOT AS BEFORE'}\n")
    if rounds:
        _measure(host, transport, {"as found": found, **settings}, rounds)
        host.restore(snapshot)
    print(f"\nin the end: {'all as before' if read() == before else 'NOT AS BEFORE'}")


def _brief(line: str, others: Readings) -> str:
    """A line; of a long one only its beginning, and the words that the line like it has not."""
    words = line.split()
    alike = [other.split() for other in others if other.split()[:2] == words[:2]]
    known = {pair for other in alike for pair in pairwise(other)}
    if len(line) < LONG or not known:
        return line.strip()
    news = [" ".join(pair) for pair in pairwise(words) if pair not in known]
    return " ".join((*words[:2], "...", *news))


def _settings(spec: HostSpec, found: Settings) -> Mapping[str, Settings]:
    """Each knob away from where it was found."""
    first, *_, last = (core.id for core in spec.cores)
    backends = {backend.name: (first,) for backend in spec.backends}
    guests = {vcpu: (last,) for vcpu in spec.vcpus if vcpu not in backends}
    place = {**found.placement, **guests, **backends}
    io = [guest.name for guest in spec.guests if guest.role == "io"]
    favoured = [domain for domain in spec.limits.weights if domain in (*io, spec.driver_domain)]
    return {
        "placement: backends first, guests last": replace(found, placement=place),
        "weight: eightfold for all but g3": replace(
            found, weight={**found.weight, **{d: 8 * found.weight[d] for d in favoured}}
        ),
        "tx_queue 1": replace(found, tx_queue=dict.fromkeys(found.tx_queue, 1)),
        "bridge lean": replace(found, bridge="lean"),
        "bridge direct": replace(found, bridge="direct"),
        "side-core: the first": replace(found, placement=place, side_cores=(first,)),
    }


def _measure(
    host: KvmHost | XenHost,
    transport: RecordingTransport,
    settings: Mapping[str, Settings],
    rounds: int,
) -> None:
    spec = host.describe()
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in settings}
    trips: list[int] = []
    for _ in range(rounds):
        for name, setting in settings.items():
            host.apply(setting)
            time.sleep(SETTLE)
            before = transport.trips
            sample = host.measure(SECONDS)
            trips.append(transport.trips - before)
            rows[name].append((1e3 * bandwidth(sample), cores_used(spec, setting, sample)))
    print(f"{rounds} rounds of samples of {SECONDS:g} s, {max(trips)} round trips each")
    print(f"{'':40}  Mb/s                   cores used")
    for name, measured in rows.items():
        rates, cores = zip(*measured, strict=True)
        print(f"{name:40}  {_spread(rates, '.0f'):21}  {_spread(cores, '.2f')}")


def _spread(values: tuple[float, ...], how: str) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:{how}} ({least:{how}} to {most:{how}})"


if __name__ == "__main__":
    main()
