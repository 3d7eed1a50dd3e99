"""What a host is made of and stays as it is while it is tuned: read once, in three round trips."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from envs.errors import HostError
from envs.host import Core, Record
from envs.hosts import cgroup, iproute, linux, uplink
from envs.hosts.bridge import Plug
from envs.hosts.cgroup import Controller
from envs.hosts.change import Command
from envs.hosts.iproute import Link
from envs.hosts.kvm import libvirt, qemu
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.kvm.qemu import Process
from envs.hosts.transport import Result, Transport, files_read, printed, reading
from envs.hosts.uplink import Adapter

PATIENCE = 60.0
"""Seconds that all questions together may take: a busy host with many guests is slow to answer."""

DRIVER = "host"
"""The driver domain: this Linux. It has no weight of its own."""

_LINKS: Command = ("ip", "-j", "-d", "link", "show")
_MOUNTS, _ISOLATED = "/proc/mounts", "/sys/devices/system/cpu/isolated"

_STRANGERS = 8
"""The most addresses behind the uplink that a bridge may know for frames to be redirected there."""


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
    ``backends``, then the rest. ``macs`` are the addresses behind its vifs, where they are known.
    ``weight_file`` is empty where it has no weight of its own, and ``why_no_weight`` says why.
    """

    name: str
    uuid: str
    pid: int
    start: int
    vcpus: tuple[str, ...]
    backends: tuple[str, ...]
    threads: Mapping[str, str]
    vifs: tuple[str, ...]
    macs: Mapping[str, str] = {}
    groups: tuple[Group, ...] = ()
    weight_file: str = ""
    why_no_weight: str = ""


class Site(Record, frozen=True):
    """What stays as it is while a host is tuned.

    ``cores`` are those that may be used: online, not isolated from the scheduler unless a guest
    is there already, and inside every guest's cpuset; ``immovable`` is why threads cannot be
    placed, empty where they can. ``bridge`` is the one that most vifs are ports of, empty where
    there is none, and ``plugs`` the addresses known behind its ports.
    """

    uri: str
    folder: str
    libvirt: Libvirt | None
    guests: tuple[Guest, ...]
    cores: tuple[Core, ...]
    immovable: str
    cpu: Controller | None
    bridge: str
    plugs: tuple[Plug, ...]
    uplink: Adapter
    softirq_in_tasks: bool

    @property
    def kept_file(self) -> str:
        """Where the state as found is, while it is another."""
        return f"{self.folder}/found.json"

    @property
    def threads(self) -> Mapping[str, str]:
        """The folder of every thread of every guest by its key."""
        return {key: folder for guest in self.guests for key, folder in guest.threads.items()}

    @property
    def vcpus(self) -> tuple[str, ...]:
        """The keys of all VCPUs."""
        return tuple(key for guest in self.guests for key in guest.vcpus)

    @property
    def backends(self) -> tuple[str, ...]:
        """The keys of all backends."""
        return tuple(key for guest in self.guests for key in guest.backends)

    @property
    def irq_files(self) -> tuple[str, ...]:
        """The files that hold the cores of the uplink's interrupts."""
        return tuple(f"/proc/irq/{number}/smp_affinity_list" for number in self.uplink.irqs)


def look(transport: Transport, uri: str, folder: str, via: Libvirt | None) -> Site:
    """What the host is made of. Raises HostError where there is nothing to tune, or no libvirt."""
    asked = (
        *(qemu.FIND, qemu.VHOST, linux.TOPOLOGY, ("uname", "-r"), _LINKS),
        reading((_MOUNTS, _ISOLATED)),
        *((via.running,) if via else ()),
    )
    found, workers, topology, release, shown, files, *listed = transport.run_all(
        asked, timeout=PATIENCE
    )
    wanted = libvirt.uuids(listed[0]) if listed else None
    links = iproute.links(printed(shown))
    mounts = files_read(files)[_MOUNTS]
    processes, addresses, controllers = _ask(
        transport, qemu.pids(found), qemu.workers(workers), mounts, via, wanted
    )
    cpu, cpuset = (cgroup.find(mounts, controllers, name) for name in ("cpu", "cpuset"))
    if wanted is not None:
        processes = [p for p in processes if p.uuid in wanted]
    names = _unique([p.name for p in processes])
    guests = tuple(
        _guest(name, process, links, addresses.get(process.uuid, {}), via, cpu, cpuset)
        for name, process in zip(names, processes, strict=True)
    )
    if not any(guest.vifs for guest in guests):
        what = "no guest has a tap" if guests else "no guest runs there"
        raise HostError(f"{what}: there is nothing to tune")
    bridge = _bridge(links, guests)
    vifs = {vif for guest in guests for vif in guest.vifs}
    outward = [n for n, link in links.items() if bridge and link.master == bridge and n not in vifs]
    every = tuple(dict.fromkeys(_cpuset_file(process, cpuset) for process in processes))
    limits, alone, adapters, irq, fdb, affinity = transport.run_all(
        (
            reading((*every, _ISOLATED)),
            reading(
                tuple(
                    {f"{_folder(g.weight_file)}/cgroup.procs": 0 for g in guests if g.weight_file}
                )
                or ("/dev/null",)
            ),
            uplink.question(outward),
            linux.irq_time_query(printed(release).strip()),
            ("bridge", "-j", "fdb", "show", "br", bridge or "lo"),
            reading([f"{folder}/status" for g in guests for folder in g.threads.values()]),
        ),
        timeout=PATIENCE,
    )
    adapter = uplink.uplink(adapters.out, bridge)
    procs = files_read(alone)
    used = {c for status in files_read(affinity).values() for c in linux.affinity(status)}
    cores, immovable = _cores(printed(topology), files_read(limits), every, used, guests)
    return Site(
        uri=uri,
        folder=folder,
        libvirt=via,
        guests=tuple(_weighed(g, procs, via) for g in guests),
        cores=cores,
        immovable=immovable,
        cpu=cpu,
        bridge=bridge,
        plugs=tuple(_plugs(guests, links, bridge, adapter.name, fdb)),
        uplink=adapter,
        softirq_in_tasks=linux.softirq_in_tasks(irq.out),
    )


def _ask(
    transport: Transport,
    pids: Sequence[int],
    workers: Mapping[int, Sequence[int]],
    mounts: str,
    via: Libvirt | None,
    wanted: Sequence[str] | None,
) -> tuple[list[Process], Mapping[str, Mapping[str, str]], Mapping[str, str]]:
    """Each process, each guest's addresses by UUID, and the controllers of each v2 tree."""
    trees = cgroup.trees(mounts)
    commands = [
        reading(("/dev/null", *(f"{tree}/cgroup.controllers" for tree in trees))),
        *(via.interfaces(uuid) for uuid in wanted or () if via),
        *(question for pid in pids for question in qemu.questions(pid)),
    ]
    answers = list(transport.run_all(commands, timeout=PATIENCE))
    texts = files_read(answers.pop(0))
    addresses = {uuid: libvirt.addresses(answers.pop(0)) for uuid in wanted or ()}
    each = len(qemu.questions(0))
    found = [
        qemu.process(pid, answers[number * each : (number + 1) * each], workers.get(pid, ()))
        for number, pid in enumerate(pids)
    ]
    return (
        [process for process in found if process is not None],
        addresses,
        {tree: texts.get(f"{tree}/cgroup.controllers", "") for tree in trees},
    )


def _unique(names: Sequence[str]) -> list[str]:
    """The names, told apart by a number where two are equal, or one is the driver domain's."""
    taken = {DRIVER}
    unique = []
    for name in names:
        free = name
        for number in range(2, len(names) + 2):
            if free not in taken:
                break
            free = f"{name} ({number})"
        taken.add(free)
        unique.append(free)
    return unique


def _guest(
    name: str,
    process: Process,
    links: Mapping[str, Link],
    addresses: Mapping[str, str],
    via: Libvirt | None,
    cpu: Controller | None,
    cpuset: Controller | None,
) -> Guest:
    tasks = f"/proc/{process.pid}/task"
    vifs = tuple(tap for tap in process.taps if tap in links)
    vcpus = {f"{name}/{number}": f"{tasks}/{tid}" for number, tid in process.vcpus.items()}
    emulator = {f"{name}/emulator": f"{tasks}/{process.pid}"}
    workers = {f"{name}/vhost-{n}": folder for n, folder in enumerate(process.vhost)}
    backends = (workers or emulator) if vifs else {}
    others = {f"{name}/thread-{tid}": f"{tasks}/{tid}" for tid in process.rest[1:]}
    iothreads = {_io(name, alias): f"{tasks}/{tid}" for alias, tid in process.iothreads.items()}
    path = cgroup.membership(process.cgroups, cpu) if cpu else "/"
    machine = libvirt.machine_group(path) if via else path
    return Guest(
        name=name,
        uuid=process.uuid,
        pid=process.pid,
        start=process.start,
        vcpus=tuple(vcpus),
        backends=tuple(backends),
        threads={**vcpus, **backends, **emulator, **workers, **others, **iothreads},
        vifs=vifs,
        macs={vif: mac for vif, mac in {**process.macs, **addresses}.items() if vif in vifs},
        groups=tuple(_groups(name, process, (*emulator, *workers, *others), cpuset)) if via else (),
        weight_file=f"{cpu.root}{machine}/{cpu.weight_file}" if cpu and machine != "/" else "",
    )


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


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _cpuset_file(process: Process, cpuset: Controller | None) -> str:
    """The file with the cores that a guest's whole cpuset lets it use."""
    if cpuset is None:
        return "/dev/null"
    path = libvirt.machine_group(cgroup.membership(process.cgroups, cpuset, "cpuset"))
    name = "cpuset.cpus.effective" if cpuset.version == 2 else "cpuset.effective_cpus"
    return f"{cpuset.root}{path}/{name}"


def _cores(
    topology: str,
    limits: Mapping[str, str],
    cpusets: Sequence[str],
    used: set[int],
    guests: Sequence[Guest],
) -> tuple[tuple[Core, ...], str]:
    """The cores that may be used, and why threads cannot be placed on them, if they cannot."""
    online = {int(line.split(",")[0]) for line in topology.splitlines() if line[:1].isdigit()}
    text = limits.get(_ISOLATED, "").strip()
    isolated = set(linux.core_list(text)) if text else set()
    usable = (online - isolated) | (used & online)
    reach = [set(linux.core_list(limits[path])) for path in cpusets if limits.get(path, "").strip()]
    common = usable.intersection(*reach) if reach else usable
    immovable = ""
    if not used <= common:
        immovable, common = "guests are confined to different sets of cores (cpusets)", usable
    unnamed = [guest.name for guest in guests if not guest.vcpus]
    if unnamed:
        immovable = (
            f"the VCPUs of {unnamed[0]!r} cannot be told from its other threads: "
            "start QEMU with -name NAME,debug-threads=on"
        )
    return linux.topology(topology, common), immovable


def _weighed(guest: Guest, procs: Mapping[str, str], via: Libvirt | None) -> Guest:
    """The guest; without its weight where that would be the weight of others as well."""
    reason = ""
    if not guest.weight_file:
        reason = f"{guest.name} has no cgroup of its own with the CPU controller"
    elif via is None:
        text = procs.get(f"{_folder(guest.weight_file)}/cgroup.procs", "")
        inside = {int(pid) for pid in text.split()}
        own = {int(folder.split("/")[2]) for folder in guest.threads.values()}
        if not inside <= own or guest.pid not in inside:
            reason = f"{guest.name} shares its cgroup with other processes"
    if not reason:
        return guest
    return msgspec.structs.replace(guest, weight_file="", why_no_weight=reason)


def _bridge(links: Mapping[str, Link], guests: Sequence[Guest]) -> str:
    """The bridge that most vifs are ports of, empty where there is none."""
    masters = Counter(links[vif].master for guest in guests for vif in guest.vifs)
    del masters[""]
    return max(sorted(masters), key=lambda name: masters[name], default="")


def _plugs(
    guests: Sequence[Guest], links: Mapping[str, Link], bridge: str, out: str, fdb: Result
) -> Iterator[Plug]:
    """What is known behind the ports of the bridge: guests, and who is reached by the uplink."""
    for guest in guests:
        for vif, mac in guest.macs.items():
            if bridge and links[vif].master == bridge:
                yield Plug(port=vif, mac=mac)
    learned = [
        entry.mac
        for entry in (iproute.entries(fdb.out) if fdb.rc == 0 else ())
        if entry.ifname == out and not entry.state
    ]
    if len(learned) <= _STRANGERS:
        yield from (Plug(port=out, mac=mac, guest=False) for mac in sorted(set(learned)))
