"""What a host is made of and stays as it is while it is tuned: read once, in three round trips."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from envs.errors import HostError, Unprivileged
from envs.host import Core, Record
from envs.hosts import cgroup, iproute, linux, uplink
from envs.hosts.bridge import Plug
from envs.hosts.cgroup import Controller
from envs.hosts.change import Command
from envs.hosts.iproute import Link
from envs.hosts.kvm import libvirt, qemu
from envs.hosts.kvm.cores import ISOLATED, MEMORY, cpuset_files, inside, reach
from envs.hosts.kvm.guests import SHARERS, Guest, guest_of, procs_file, unique, weighed
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.kvm.qemu import Process
from envs.hosts.transport import Result, Transport, files_read, printed, reading
from envs.hosts.uplink import Adapter

PATIENCE = 60.0
"""Seconds that all questions together may take: a busy host with many guests is slow to answer."""

_LINKS: Command = ("ip", "-j", "-d", "link", "show")
_MOUNTS = "/proc/mounts"

_STRANGERS = 8
"""The most addresses behind the uplink that a bridge may know for frames to be redirected there."""


class Site(Record, frozen=True):
    """What stays as it is while a host is tuned.

    ``cores`` are those that may be used: online, not isolated from the scheduler unless a guest
    is there already, and inside a guest's cpuset; ``reach`` has the cores of each thread, placed
    or not, that may not have them all, and ``immovable`` is why none can be placed, empty where
    they can. ``bridge`` is the one that most vifs are ports of, empty where there is none,
    ``ports`` are its own and ``plugs`` the addresses known behind them.
    """

    uri: str
    folder: str
    libvirt: Libvirt | None
    guests: tuple[Guest, ...]
    cores: tuple[Core, ...]
    reach: Mapping[str, tuple[int, ...]]
    immovable: str
    cpu: Controller | None
    bridge: str
    plugs: tuple[Plug, ...]
    ports: tuple[str, ...]
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

    def placed(self, affinity: Sequence[int]) -> tuple[int, ...]:
        """The usable cores in an affinity, which may also name cores that are offline."""
        known = tuple(core.id for core in self.cores)
        return tuple(core for core in affinity if core in known) or known


def look(transport: Transport, uri: str, folder: str, via: Libvirt | None) -> Site:
    """What the host is made of.

    Raises HostError where there is nothing to tune, or no libvirt, Unprivileged if we are not root.
    """
    asked = (
        *(("id", "-u"), qemu.FIND, qemu.VHOST, linux.TOPOLOGY, ("uname", "-r"), _LINKS),
        reading((_MOUNTS, ISOLATED)),
        *((via.running,) if via else ()),
    )
    identity, found, workers, topology, release, shown, files, *listed = transport.run_all(
        asked, timeout=PATIENCE
    )
    if identity.out.strip() != "0":
        raise Unprivileged("only root may see and set what QEMU runs on: run this as root")
    wanted = libvirt.uuids(listed[0]) if listed else None
    links = iproute.links(printed(shown))
    mounts = files_read(files)[_MOUNTS]
    processes, addresses, controllers = _ask(
        transport, qemu.pids(found), qemu.workers(workers), mounts, via, wanted
    )
    cpu, cpuset = (cgroup.find(mounts, controllers, name) for name in ("cpu", "cpuset"))
    if wanted is not None:
        processes = _of_libvirt(processes, wanted)
    names = unique([p.name for p in processes])
    guests = tuple(
        guest_of(name, process, links, addresses.get(process.uuid, {}), via, cpu, cpuset)
        for name, process in zip(names, processes, strict=True)
    )
    if not any(guest.vifs for guest in guests):
        what = "no guest has a tap" if guests else "no guest runs there"
        raise HostError(f"{what}: there is nothing to tune")
    bridge = _bridge(links, guests)
    vifs = {vif for guest in guests for vif in guest.vifs}
    ports = [name for name, link in links.items() if bridge and link.master == bridge]
    outward = [name for name in ports if name not in vifs]
    cpusets = [cpuset_files(process, cpuset) for process in processes]
    limiting = (
        *chain(*cpusets, *(guest.statuses.values() for guest in guests)),
        *(guest.weight_file for guest in guests if guest.weight_file),
        *(group.file for guest in guests for group in guest.groups if via is None and group.file),
        *(ISOLATED, MEMORY),
    )
    limits, alone, adapters, irq, fdb = transport.run_all(
        (
            reading(tuple(dict.fromkeys(limiting))),
            ("sh", "-c", SHARERS, "sh", *dict.fromkeys(procs_file(guest) for guest in guests)),
            uplink.question(outward),
            linux.irq_time_query(printed(release).strip()),
            ("bridge", "-j", "fdb", "show", "br", bridge or "lo"),
        ),
        timeout=PATIENCE,
    )
    adapter = uplink.uplink(adapters.out, bridge)
    procs, texts = files_read(alone), files_read(limits)
    online = {core.id for core in linux.online(printed(topology))}
    own = [inside(guest, sets, online, texts) for guest, sets in zip(guests, cpusets, strict=True)]
    cores = linux.topology(printed(topology), set().union(*own))
    each = zip(guests, own, strict=True)
    return Site(
        uri=uri,
        folder=folder,
        libvirt=via,
        guests=tuple(weighed(g, procs, texts, via) for g in guests),
        cores=cores,
        reach={k: v for guest, within in each for k, v in reach(guest, within, cores, texts)},
        immovable=next(_immovable(guests), ""),
        cpu=cpu,
        bridge=bridge,
        ports=tuple(ports),
        plugs=tuple(_plugs(guests, links, bridge, adapter.name, fdb)),
        uplink=adapter,
        softirq_in_tasks=linux.softirq_in_tasks(irq.out),
    )


def _immovable(guests: Sequence[Guest]) -> Iterator[str]:
    """Why threads cannot be placed, if they cannot."""
    for guest in guests:
        if not guest.vcpus:
            yield (
                f"the VCPUs of {guest.name!r} cannot be told from its other threads: "
                "start QEMU with -name NAME,debug-threads=on"
            )


def _of_libvirt(processes: Sequence[Process], wanted: Sequence[str]) -> list[Process]:
    """The processes of libvirt's guests. Raises HostError where one of them has none.

    What was not seen would be taken for gone, and not be put back.
    """
    found = [process for process in processes if process.uuid in wanted]
    for uuid in wanted:
        if not any(process.uuid == uuid for process in found):
            raise HostError(f"guest {uuid} runs by libvirt, but has no process: run this again")
    return found


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


def _bridge(links: Mapping[str, Link], guests: Sequence[Guest]) -> str:
    """The bridge that most vifs are ports of, empty where there is none."""
    masters = Counter(links[vif].master for guest in guests for vif in guest.vifs)
    del masters[""]
    return max(sorted(masters), key=lambda name: masters[name], default="")


def _plugs(
    guests: Sequence[Guest], links: Mapping[str, Link], bridge: str, out: str, fdb: Result
) -> Iterator[Plug]:
    """What is known behind the ports of the bridge: guests, and who is reached by the uplink.

    Addresses pinned there are known as well: an earlier tuning may have done that.
    """
    for guest in guests:
        for vif, mac in guest.macs.items():
            if bridge and links[vif].master == bridge:
                yield Plug(port=vif, mac=mac)
    entries = iproute.entries(fdb.out) if fdb.rc == 0 else ()
    learned = {entry.mac for entry in entries if entry.ifname == out and not entry.state}
    pinned = {entry.mac for entry in entries if entry.ifname == out and entry.state == "static"}
    known = next((s for s in (pinned | learned, pinned) if len(s) <= _STRANGERS), set())
    yield from (Plug(port=out, mac=mac, guest=False) for mac in sorted(known))
