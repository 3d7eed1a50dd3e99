"""The commands from one state of a KVM host to another, and those that put one back blindly."""

from collections.abc import Iterator, Sequence

from envs.hosts import bridge, kept
from envs.hosts.change import Change, Command, Part, single, undoing
from envs.hosts.kvm.guests import Group, Guest
from envs.hosts.kvm.site import Site
from envs.hosts.kvm.state import Cores, KvmState, Values, bridge_mode
from envs.hosts.linux import as_list
from envs.hosts.transport import write_file

_IF_SAME = """
pid=$1 start=$2
shift 2
stat=$(cat "/proc/$pid/stat") || exit 0
stat=${stat##*) }
set -f
[ "$(echo $stat | cut -d" " -f20)" = "$start" ] || exit 0
exec "$@"
"""
"""Runs a command only while a process is the one that it was: pids are used again."""


def changes(site: Site, before: KvmState, after: KvmState) -> tuple[Change, ...]:
    """What differs, in the order it is to be changed.

    The state as found is on file for as long as anything of it is another. Guests leave a core
    before backends come, and these before the interrupts that feed them.
    """
    filed = tuple(kept.filed(site.kept_file, before.kept, after.kept))
    values = (
        *_placement(site, before.now, after.now),
        *_irqs(before.now, after.now),
        *_weights(site, before.now, after.now),
        *_queues(before.now, after.now),
        *_bridge(site, before, after),
    )
    return (*filed, *values) if after.kept else (*values, *filed)


def restoring(
    site: Site, then: KvmState, others: Sequence[KvmState] | None = None
) -> tuple[Command, ...]:
    """The commands that put a host back as it was ``then``, whatever state it is in by now.

    With ``others``, only what differs in one of these. Each is harmless where its subject is gone,
    and where it has been run before.
    """
    parts = None if others is None else [tuple(_parts(site, other)) for other in others]
    return undoing(tuple(_parts(site, then)), parts)


def _parts(site: Site, then: KvmState) -> Iterator[Part]:
    """Where a guest's threads may run is one part: libvirt and their groups have a say in it."""
    now = then.now
    for guest in site.guests:
        if_same = ("sh", "-c", _IF_SAME, "sh", str(guest.pid), str(guest.start))
        placing = _placing(site, guest, tuple(guest.threads), now, whole=True)
        yield tuple((*if_same, *command) for command in placing)
        if guest.name in now.weight:
            yield ((*if_same, *_weigh(site, guest, now.weight[guest.name])),)
        for vif in guest.vifs:
            if vif in now.tx_queue:
                yield ((*if_same, *_queue(vif, now.tx_queue[vif])),)
    for file in site.irq_files:
        if file in now.irqs:
            yield (write_file(file, as_list(now.irqs[file])),)
    if now.bridge and site.bridge:
        yield bridge.restoring(site.bridge, bridge.among(now.bridge, site.ports), site.plugs)
    yield kept.file(site.kept_file, then.kept)


def _placement(site: Site, before: Values, after: Values) -> Iterator[Change]:
    """VCPUs first, backends last: a group of libvirt's at a time."""
    units = [
        (guest, keys, group)
        for guest in site.guests
        for keys, group in (
            *((group.members, group) for group in _groups(guest, after)),
            *(((key,), None) for key in _ungrouped(guest, after)),
        )
    ]
    backends = set(site.backends)
    for guest, keys, group in sorted(units, key=lambda unit: not backends.isdisjoint(unit[1])):
        moved = [
            k for k in keys if k in before.affinity and before.affinity[k] != after.affinity[k]
        ]
        if not moved and (
            group is None or before.cpuset.get(group.key) == after.cpuset.get(group.key)
        ):
            continue
        subject = next((key for key in moved if key in backends), [*moved, keys[0]][0])
        yield Change(
            knob="placement" if subject in (*site.vcpus, *backends) else "side_cores",
            subject=subject,
            before=as_list(before.affinity[subject]),
            after=as_list(after.affinity[subject]),
            do=tuple(_placing(site, guest, keys, after)),
            undo=tuple(_placing(site, guest, keys, before)),
        )


def _placing(
    site: Site, guest: Guest, keys: Sequence[str], values: Values, *, whole: bool = False
) -> Iterator[Command]:
    """Put some of a guest's threads where ``values`` has them: with libvirt group by group.

    libvirt gives all threads of a group the group's cores; those that are to have fewer get them
    by themselves. So do all where the group has no cores of its own, as it is on version 2 until
    somebody pins: libvirt would give it some, and the kernel takes none away from a group that has
    threads.
    """
    for group in _groups(guest, values):
        if site.libvirt is None or set(keys).isdisjoint(group.members):
            continue
        members = [key for key in group.members if key in values.affinity]
        if not members:
            continue
        cpuset = values.cpuset[group.key]
        yield site.libvirt.pin(guest.uuid, group.kind, group.number, as_list(cpuset))
        for key in members:
            if whole or values.affinity[key] != cpuset or len(members) > 1:
                yield _pin(guest, key, values.affinity[key])
    for key in _ungrouped(guest, values):
        if key in keys and key in values.affinity:
            yield _pin(guest, key, values.affinity[key])


def _groups(guest: Guest, values: Values) -> tuple[Group, ...]:
    """The groups of libvirt's that have cores of their own."""
    return tuple(group for group in guest.groups if values.cpuset.get(group.key))


def _ungrouped(guest: Guest, values: Values) -> tuple[str, ...]:
    """The threads that are in no such group."""
    grouped = {key for group in _groups(guest, values) for key in group.members}
    return tuple(key for key in guest.threads if key not in grouped)


def _pin(guest: Guest, key: str, cores: Cores) -> Command:
    tid = guest.threads[key].rpartition("/")[2]
    return ("taskset", "-c", "-p", as_list(cores), tid)


def _irqs(before: Values, after: Values) -> Iterator[Change]:
    for file, cores in before.irqs.items():
        old, new = as_list(cores), as_list(after.irqs.get(file, cores))
        subject = f"interrupt {file.split('/')[3]}"
        yield from single(
            "placement", subject, (old, write_file(file, old)), (new, write_file(file, new))
        )


def _weights(site: Site, before: Values, after: Values) -> Iterator[Change]:
    for guest in site.guests:
        if guest.name in before.weight:
            old, new = before.weight[guest.name], after.weight[guest.name]
            undo, do = _weigh(site, guest, old), _weigh(site, guest, new)
            yield from single("weight", guest.name, (str(old), undo), (str(new), do))


def _weigh(site: Site, guest: Guest, weight: int) -> Command:
    """A unit's weight is systemd's to set: written to the file alone, it lasts until a reload."""
    if site.libvirt is not None:
        return site.libvirt.weigh(guest.uuid, str(weight))
    if guest.unit:
        return ("systemctl", "set-property", "--runtime", guest.unit, f"CPUWeight={weight}")
    return write_file(guest.weight_file, str(weight))


def _queues(before: Values, after: Values) -> Iterator[Change]:
    for vif, old in before.tx_queue.items():
        new = after.tx_queue[vif]
        undo, do = _queue(vif, old), _queue(vif, new)
        yield from single("tx_queue", vif, (str(old), undo), (str(new), do))


def _queue(vif: str, length: int) -> Command:
    return ("ip", "link", "set", "dev", vif, "txqueuelen", str(length))


def _bridge(site: Site, before: KvmState, after: KvmState) -> Iterator[Change]:
    old, new = before.now.bridge, after.now.bridge
    if old != new and old is not None and new is not None:
        yield Change(
            knob="bridge",
            subject=site.bridge,
            before=bridge_mode(site, before),
            after=bridge_mode(site, after),
            do=bridge.commands(site.bridge, old, new),
            undo=bridge.commands(site.bridge, new, old),
        )
