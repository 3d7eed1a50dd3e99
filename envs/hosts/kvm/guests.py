"""A guest as it is tuned: its threads by key, its vifs, libvirt's groups of it, its weight."""

from collections.abc import Container, Iterator, Mapping, Sequence

import msgspec

from envs.host import Record
from envs.hosts import cgroup
from envs.hosts.cgroup import Controller
from envs.hosts.iproute import Link
from envs.hosts.kvm import libvirt
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.kvm.qemu import Process
from envs.hosts.unexpected import natural

SHARERS = """
for file; do
    while read -r pid; do
        [ ! -e "/proc/$pid/exe" ] || { found=yes; printf "%s\\0%s\\n" "$file" "$pid"; }
    done <"$file"
done 2>/dev/null
[ "$found" ]
"""
"""Prints, as ``grep -HZ``, the processes in files such as ``cgroup.procs``.

Threads of the kernel's, which have no program, are left out: they are in a group because whom they
work for is. KVM has one for each guest.
"""

DRIVER = "host"
"""The driver domain: this Linux. It has no weight of its own."""

_NO_GROUP = "it has no cgroup of its own with the CPU controller"


class Group(Record, frozen=True):
    """A cgroup of libvirt's with a set of cores of its own, that libvirt must be asked to change.

    ``kind`` and ``number`` are what virsh calls it by; ``members`` are the keys of its threads.
    ``file`` holds the cores, empty where libvirt uses no cpusets.
    """

    key: str
    kind: str
    number: str
    members: tuple[str, ...]
    file: str = ""


class Guest(Record, frozen=True):
    """A guest: its process, its threads and its vifs.

    ``threads`` maps every key to the thread's folder in ``/proc``: first the ``vcpus``, then the
    ``backends``, then the rest. ``nodes`` are those that a VCPU's memory is bound to by QEMU
    itself, where it is. ``macs`` are the addresses behind its vifs, where they are known.
    ``weight_file`` is empty where it has no weight of its own, and ``why_no_weight`` says why;
    ``unit`` is the unit of systemd's that it is the weight of, if it is.
    """

    name: str
    uuid: str
    pid: int
    start: int
    vcpus: tuple[str, ...]
    backends: tuple[str, ...]
    threads: Mapping[str, str]
    vifs: tuple[str, ...]
    nodes: Mapping[str, tuple[int, ...]] = {}
    macs: Mapping[str, str] = {}
    groups: tuple[Group, ...] = ()
    weight_file: str = ""
    why_no_weight: str = ""
    unit: str = ""

    @property
    def statuses(self) -> Mapping[str, str]:
        """The file that tells where each thread may run, by its key."""
        return {key: f"{folder}/status" for key, folder in self.threads.items()}


def unique(names: Sequence[str]) -> list[str]:
    """The names, told apart by a number where two are equal, or one is the driver domain's."""
    taken, named = {DRIVER}, []
    for name in names:
        free = name
        for number in range(2, len(names) + 2):
            if free not in taken:
                break
            free = f"{name} ({number})"
        taken.add(free)
        named.append(free)
    return named


def guest_of(
    name: str,
    process: Process,
    links: Mapping[str, Link],
    addresses: Mapping[str, str],
    via: Libvirt | None,
    cpu: Controller | None,
    cpuset: Controller | None,
) -> Guest:
    """The guest of that name that a process runs, with the ``addresses`` that libvirt tells."""
    tasks = f"/proc/{process.pid}/task"
    vifs = tuple(tap for tap in process.taps if tap in links)
    vcpus = {f"{name}/{number}": f"{tasks}/{tid}" for number, tid in process.vcpus.items()}
    emulator = {f"{name}/emulator": f"{tasks}/{process.pid}"}
    workers = {f"{name}/vhost-{n}": folder for n, folder in enumerate(process.vhost)}
    backends = (workers or emulator) if vifs else {}
    others = {f"{name}/thread-{tid}": f"{tasks}/{tid}" for tid in process.rest[1:]}
    iothreads = {_io(name, alias): f"{tasks}/{tid}" for alias, tid in process.iothreads.items()}
    return Guest(
        name=name,
        uuid=process.uuid,
        pid=process.pid,
        start=process.start,
        vcpus=tuple(vcpus),
        backends=tuple(backends),
        threads={**vcpus, **backends, **emulator, **workers, **others, **iothreads},
        vifs=vifs,
        nodes={f"{name}/{number}": nodes for number, nodes in process.nodes.items()},
        macs={vif: mac for vif, mac in {**process.macs, **addresses}.items() if vif in vifs},
        groups=tuple(_groups(name, process, (*emulator, *workers, *others), cpuset)),
        **_weight(process, via, cpu),
    )


def _weight(process: Process, via: Libvirt | None, cpu: Controller | None) -> dict[str, str]:
    """The file that holds the weight of the whole guest, or why there is none."""
    path = cgroup.membership(process.cgroups, cpu) if cpu else "/"
    machine = libvirt.machine_group(path)
    if cpu is None or machine == "/":
        return {"why_no_weight": _NO_GROUP}
    if via is None and machine != path:
        return {"why_no_weight": "it has its weight from libvirt: name the host qemu:///system"}
    unit = machine.rpartition("/")[2] if cpu.version == 2 else ""
    return {
        "weight_file": f"{cpu.root}{machine}/{cpu.weight_file}",
        "unit": unit if unit.endswith((".scope", ".service")) else "",
    }


def _io(name: str, alias: str) -> str:
    """The key of an I/O thread, whose name is anybody's choice."""
    return f"{name}/iothread-{alias}"


def _groups(
    name: str, process: Process, emulator: Sequence[str], cpuset: Controller | None
) -> Iterator[Group]:
    """A guest's groups, as libvirt makes them."""
    path = cgroup.membership(process.cgroups, cpuset, "cpuset") if cpuset else ""
    head = path.removesuffix("/emulator")
    here = f"{cpuset.root}{head}" if cpuset and head != path else ""

    def group(kind: str, number: str, members: Sequence[str]) -> Group:
        return Group(
            key=members[0] if len(members) == 1 else f"{name}/{kind}",
            kind=kind,
            number=number,
            members=tuple(members),
            file=f"{here}/{kind}{number}/cpuset.cpus" if here else "",
        )

    for number in process.vcpus:
        yield group("vcpu", str(number), [f"{name}/{number}"])
    yield group("emulator", "", emulator)
    for alias in process.iothreads:
        digits = alias.removeprefix("iothread")
        if digits.isdecimal():
            yield group("iothread", digits, [_io(name, alias)])


def procs_file(guest: Guest) -> str:
    """The file that tells which processes have the guest's weight."""
    return guest.weight_file.rpartition("/")[0] + "/cgroup.procs"


def weighed(
    guest: Guest, procs: Mapping[str, str], weights: Container[str], via: Libvirt | None
) -> Guest:
    """The guest; without its weight where there is none, or it would be others' as well.

    ``procs`` are the texts of the ``procs_file`` of guests, as ``SHARERS`` prints them, ``weights``
    the weight files that there are.
    """
    file = procs_file(guest)
    inside = {natural(file, pid) for pid in procs.get(file, "").split()}
    why = ""
    if guest.weight_file and guest.weight_file not in weights:
        why = _NO_GROUP
        if guest.unit:
            why += f": systemctl set-property --runtime {guest.unit} CPUWeight=100"
    elif guest.weight_file and via is None and inside != {guest.pid}:
        why = "it shares its cgroup with other processes"
    if not why:
        return guest
    return msgspec.structs.replace(guest, weight_file="", why_no_weight=why)
