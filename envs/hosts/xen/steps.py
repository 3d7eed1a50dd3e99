"""The commands from one state of a Xen host to another, and those that put one back blindly.

``xl`` is told domains by their numbers, never by their names: a name may be a number as well.
"""

from collections.abc import Iterator, Sequence

from envs.hosts import bridge, kept
from envs.hosts.change import Change, Command, Part, single, undoing
from envs.hosts.xen import dom0, xl
from envs.hosts.xen.ports import by_name, plugs
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import Site
from envs.hosts.xen.state import Found, XenState, bridge_mode, vcpu_key

_KEEP_SOFT = "-"
"""What ``xl vcpu-pin`` takes to leave an affinity as it is."""

_ON_DOMAIN = """
uuid=$1 sched=$2 weight=$3
shift 3
domid=$(xl list -v | awk -v uuid="$uuid" '$(NF - 2) == uuid { print $(NF - 7) }')
case $domid in "" | *[!0-9]*) exit 0 ;; esac
[ -z "$weight" ] || xl "$sched" -d "$domid" -w "$weight"
while [ $# -gt 1 ]; do
  xl vcpu-pin "$domid" "$1" "$2" -
  shift 2
done
"""
"""Sets weight and hard affinities of the domain with a UUID, whatever its number is by now."""


def changes(site: Site, present: Present, before: XenState, after: XenState) -> tuple[Change, ...]:
    """What differs, in the order it is to be changed.

    The state as found is on file for as long as anything of it is another. Guests leave a core
    before dom0's VCPUs come, and these before their feeds.
    """
    filed = tuple(kept.filed(site.kept_file, before.kept, after.kept))
    values = (
        *_affinities(present, before.now, after.now),
        *_feeds(present, before.now, after.now),
        *_weights(site, present, before.now, after.now),
        *_queues(present, before.now, after.now),
        *_bridge(site, present, before, after),
    )
    return (*filed, *values) if after.kept else (*values, *filed)


def restoring(
    site: Site, present: Present, then: XenState, others: Sequence[XenState] | None = None
) -> tuple[Command, ...]:
    """The commands that put a host back as it was ``then``, whatever state it is in by now.

    With ``others``, only what differs in one of these. Each is harmless where its subject is gone,
    and where it has been run before.
    """
    parts = None if others is None else [tuple(_parts(site, present, other)) for other in others]
    return undoing(tuple(_parts(site, present, then)), parts)


def _parts(site: Site, present: Present, then: XenState) -> Iterator[Part]:
    stock, was, feeds = then.now.bridge, then.now.tx_queue, then.now.feeds
    yield from ((_on_domain(site, present, uuid, then.now),) for uuid in present.domids)
    yield from ((dom0.pin(f, feeds[k]),) for k, f in present.feeds.items() if k in feeds)
    yield from ((_queue(v.name, was[k]),) for k, v in present.vifs.items() if k in was)
    if stock and present.bridge:
        own = bridge.among(by_name(present, stock), present.bridge.state.ports)
        yield bridge.restoring(site.bridge, own, plugs(present))
    yield kept.file(site.kept_file, then.kept)


def _on_domain(site: Site, present: Present, uuid: str, then: Found) -> Command:
    pins = [
        word
        for vcpu in present.vcpus
        if vcpu.domid == present.domids[uuid] and vcpu_key(present, vcpu) in then.affinity
        for word in (str(vcpu.index), then.affinity[vcpu_key(present, vcpu)])
    ]
    sched = xl.SCHEDULERS.get(site.pool.scheduler, "")
    weight = str(then.weight.get(uuid, ""))
    return ("sh", "-c", _ON_DOMAIN, "sh", uuid, sched, weight, *pins)


def _affinities(present: Present, before: Found, after: Found) -> Iterator[Change]:
    """The guests' VCPUs, then dom0's."""
    for vcpu in sorted(present.vcpus, key=lambda vcpu: vcpu.domid == xl.DOM0):
        key = vcpu_key(present, vcpu)
        subject = f"{present.names[present.uuids[vcpu.domid]]}/{vcpu.index}"
        old, new = before.affinity[key], after.affinity[key]
        pin = ("xl", "vcpu-pin", str(vcpu.domid), str(vcpu.index))
        do, undo = ((*pin, cores, _KEEP_SOFT) for cores in (new, old))
        yield from single("placement", subject, (old, undo), (new, do))


def _feeds(present: Present, before: Found, after: Found) -> Iterator[Change]:
    for key, feed in present.feeds.items():
        old, new = before.feeds[key], after.feeds[key]
        pins = dom0.pin(feed, old), dom0.pin(feed, new)
        yield from single("placement", feed.name, (old, pins[0]), (new, pins[1]))


def _weights(site: Site, present: Present, before: Found, after: Found) -> Iterator[Change]:
    for uuid, domid in present.domids.items():
        if uuid in before.weight:
            old, new = str(before.weight[uuid]), str(after.weight[uuid])
            command = ("xl", xl.SCHEDULERS[site.pool.scheduler], "-d", str(domid), "-w")
            do, undo = (*command, new), (*command, old)
            yield from single("weight", present.names[uuid], (old, undo), (new, do))


def _queues(present: Present, before: Found, after: Found) -> Iterator[Change]:
    for key, vif in present.vifs.items():
        old, new = before.tx_queue[key], after.tx_queue[key]
        do, undo = _queue(vif.name, new), _queue(vif.name, old)
        yield from single("tx_queue", vif.name, (str(old), undo), (str(new), do))


def _queue(interface: str, length: int) -> Command:
    return ("ip", "link", "set", "dev", interface, "txqueuelen", str(length))


def _bridge(site: Site, present: Present, before: XenState, after: XenState) -> Iterator[Change]:
    if before.now.bridge is None or after.now.bridge is None:
        return
    old, new = (by_name(present, b) for b in (before.now.bridge, after.now.bridge))
    do = bridge.commands(site.bridge, old, new)
    if do:
        yield Change(
            knob="bridge",
            subject=site.bridge,
            before=bridge_mode(present, before),
            after=bridge_mode(present, after),
            do=do,
            undo=bridge.commands(site.bridge, new, old),
        )
