"""A KVM host's state as one value, and what a setting makes of it.

A backend is a vhost worker, or QEMU's emulator where there is no vhost. The interrupts of the
uplink follow the backends: once these are placed differently from how they were found, interrupts
go where backends may run. What moves nothing (an emulator beside vhost, I/O threads) stays where it
is, but off the side-cores.

What was found is kept in a file on the host while anything of it is another. So a setting that
is what was found brings back all of it to the byte, also what no setting tells.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from envs.errors import HostError
from envs.host import BridgeMode, Record, Settings
from envs.hosts import bridge, linux
from envs.hosts.bridge import BridgeFound, BridgeState
from envs.hosts.change import Command
from envs.hosts.iproute import QueueLength
from envs.hosts.kept import Kept, on_file
from envs.hosts.kvm.guests import DRIVER
from envs.hosts.kvm.site import Site
from envs.hosts.transport import Result, files_read, reading
from envs.hosts.unexpected import natural

V = TypeVar("V")
Cores = tuple[linux.CoreId, ...]

_IRQ_FILE = re.compile(r"/proc/irq/[0-9]+/smp_affinity_list")

NO_WEIGHT = 1024
"""What stands for a weight where cgroups have none: the share of a task without a group."""


class Values(Record, frozen=True):
    """The values that a setting changes.

    ``affinity`` is by thread and ``cpuset`` by group of libvirt's, where nothing means as the
    group above; ``irqs`` by file. Cores are ascending.
    """

    affinity: Mapping[str, Cores]
    cpuset: Mapping[str, Cores]
    weight: Mapping[str, linux.Weight]
    tx_queue: Mapping[str, QueueLength]
    irqs: Mapping[str, Cores]
    bridge: BridgeState | None

    def __post_init__(self) -> None:
        """Refuse files of other things: what is kept of a host is a file. Raises ValueError."""
        if others := [file for file in self.irqs if not _IRQ_FILE.fullmatch(file)]:
            raise ValueError(f"no files of interrupts: {sorted(others)}")


class KvmState(Record, frozen=True):
    """Everything that ``apply`` may touch: the values as they are, and what is on file."""

    now: Values
    kept: Kept[Values] | None = None

    @property
    def found(self) -> Values:
        """The values as they were before we changed any."""
        return self.kept.found if self.kept else self.now

    @property
    def side_cores(self) -> Cores:
        """The cores that a setting of ours reserved."""
        return self.kept.side_cores if self.kept else ()


def questions(site: Site) -> tuple[Command, ...]:
    """What must be asked of the host to know its state."""
    files = (
        *(f"/proc/{guest.pid}/stat" for guest in site.guests),
        *(f"{folder}/status" for folder in site.threads.values()),
        *(group.file for guest in site.guests for group in guest.groups if group.file),
        *(guest.weight_file for guest in site.guests if guest.weight_file),
        *site.irq_files,
        site.kept_file,
    )
    return (reading(files), *bridge.questions(site.bridge or "lo"))


def answered(
    site: Site, answers: tuple[Result, ...], *, bypass_filters: bool
) -> tuple[KvmState, BridgeFound]:
    """The state out of the answers. Raises HostError where a guest or a thread of it is gone."""
    texts = files_read(answers[0])
    _same_guests(site, texts)
    found = bridge.found(site.bridge or "lo", answers[1:], bypass_filters=bypass_filters)
    kept = texts.get(site.kept_file)
    groups = [group for guest in site.guests for group in guest.groups if site.libvirt]
    affinity = dict(_affinities(site, texts))
    state = KvmState(
        now=Values(
            affinity=affinity,
            cpuset={
                group.key: linux.core_list(texts.get(group.file, ""), group.file)
                if group.file
                else affinity[group.members[0]]
                for group in groups
                if group.file or group.members[0] in affinity
            },
            weight={g.name: _weight(g.weight_file, texts) for g in site.guests if g.weight_file},
            tx_queue={vif: _length(vif, found) for guest in site.guests for vif in guest.vifs},
            irqs={f: linux.core_list(texts[f], f) for f in site.irq_files if f in texts},
            bridge=found.state if site.bridge else None,
        ),
        kept=on_file(site.kept_file, kept, Kept[Values]) if kept else None,
    )
    return state, found


def bridge_mode(site: Site, state: KvmState) -> BridgeMode:
    """The mode the bridge is in."""
    if state.now.bridge is None or state.kept is None:
        return "stock"
    return bridge.mode_of(state.kept.found.bridge, state.now.bridge, site.plugs)


def settings(site: Site, state: KvmState) -> Settings:
    """The five knobs in a state.

    A side-core that a guest may run on (someone moved it there, or it is new), or where no
    backend may, is not reserved any more.
    """
    keys = (*site.vcpus, *site.backends)
    placement = {key: site.placed(state.now.affinity[key]) for key in keys}
    trespassed = {core for key in site.vcpus for core in placement[key]}
    served = {core for key in site.backends for core in placement[key]}
    usual = site.cpu.default if site.cpu else NO_WEIGHT
    return Settings(
        placement=placement,
        weight={DRIVER: usual} | {g.name: state.now.weight.get(g.name, usual) for g in site.guests},
        tx_queue=dict(state.now.tx_queue),
        bridge=bridge_mode(site, state),
        side_cores=tuple(c for c in state.side_cores if c in served and c not in trespassed),
    )


def wanted(site: Site, state: KvmState, present: BridgeFound, target: Settings) -> KvmState:
    """The state that a setting means, from the state that is."""
    found = remembered(state.now, state.found)
    if target == settings(site, KvmState(now=found)):
        return KvmState(now=found)
    affinity = _placed(site, found, target)
    return KvmState(
        now=Values(
            affinity=affinity,
            cpuset=_cpusets(site, found, affinity),
            weight={name: target.weight[name] for name in state.now.weight},
            tx_queue=dict(target.tx_queue),
            irqs=_irqs(site, found, affinity),
            bridge=_bridge(site, state, found, present, target.bridge),
        ),
        kept=Kept(found=found, side_cores=target.side_cores),
    )


def remembered(now: Values, then: Values) -> Values:
    """The values of then of all that is there now; what is new keeps those it has."""

    def both(here: Mapping[str, V], there: Mapping[str, V]) -> dict[str, V]:
        return {key: there.get(key, value) for key, value in here.items()}

    return Values(
        affinity=both(now.affinity, then.affinity),
        cpuset=both(now.cpuset, then.cpuset),
        weight=both(now.weight, then.weight),
        tx_queue=both(now.tx_queue, then.tx_queue),
        irqs=both(now.irqs, then.irqs),
        bridge=now.bridge and then.bridge and bridge.carried(then.bridge, now.bridge),
    )


def _placed(site: Site, found: Values, target: Settings) -> dict[str, Cores]:
    """Where each thread may run: as the setting says; the others as found, but off side-cores.

    Where that leaves nothing they go wherever else their guest may be, or stay if that is nowhere.
    """

    def off(cores: Cores) -> Cores:
        return tuple(core for core in cores if core not in target.side_cores)

    every = tuple(core.id for core in site.cores)
    affinity = dict(found.affinity)
    for key, cores in affinity.items():
        if key in target.placement:
            new = tuple(sorted(target.placement[key]))
            affinity[key] = cores if new == site.placed(cores) else new
        else:
            affinity[key] = off(cores) or off(site.reach.get(key, every)) or cores
    return affinity


def _cpusets(site: Site, found: Values, affinity: Mapping[str, Cores]) -> dict[str, Cores]:
    """Each group's cores: as found while its threads are, else all that its threads may use.

    One that has none of its own gets none.
    """
    sets = dict(found.cpuset)
    for group in (group for guest in site.guests for group in guest.groups):
        members = [key for key in group.members if key in affinity]
        if sets.get(group.key) and any(affinity[key] != found.affinity[key] for key in members):
            sets[group.key] = tuple(sorted({core for key in members for core in affinity[key]}))
    return sets


def _irqs(site: Site, found: Values, affinity: Mapping[str, Cores]) -> Mapping[str, Cores]:
    if all(affinity[key] == found.affinity[key] for key in site.backends):
        return found.irqs
    feeding = tuple(sorted({core for key in site.backends for core in affinity[key]}))
    return dict.fromkeys(found.irqs, feeding)


def _bridge(
    site: Site, state: KvmState, found: Values, present: BridgeFound, mode: BridgeMode
) -> BridgeState | None:
    if found.bridge is None or mode == bridge_mode(site, state) != "stock":
        return state.now.bridge
    return bridge.in_mode(mode, found.bridge, site.plugs, present.others)


def _same_guests(site: Site, texts: Mapping[str, str]) -> None:
    for guest in site.guests:
        stat = texts.get(f"/proc/{guest.pid}/stat")
        if stat is None or linux.task(stat).start != guest.start:
            raise HostError(f"guest {guest.name!r} has ended or was started anew: run this again")


def _affinities(site: Site, texts: Mapping[str, str]) -> Iterator[tuple[str, Cores]]:
    """Where each thread may run. Of those that are not placed, some come and go."""
    placed = {*site.vcpus, *site.backends}
    for key, folder in site.threads.items():
        status = texts.get(f"{folder}/status")
        if status is not None:
            yield key, linux.affinity(status)
        elif key in placed:
            raise HostError(f"the thread {key!r} has ended: run this again")


def _length(vif: str, found: BridgeFound) -> int:
    if vif not in found.links:
        raise HostError(f"the vif {vif!r} is gone: run this again")
    return found.links[vif].txqlen


def _weight(file: str, texts: Mapping[str, str]) -> int:
    return natural(file, texts[file].strip())
