"""A Xen host's counters, read in one round trip, and the sample between two readings.

Xen tells CPU time by VCPU, in tenths of a second, and not by core: what a VCPU used is told of
the cores it may run on, in equal parts, which is exact where it is pinned to one.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from envs.errors import HostError
from envs.host import HostSpec, Port, Record, Sample
from envs.hosts import linux
from envs.hosts.transport import Result, files_read, printed, reading
from envs.hosts.unexpected import unexpected
from envs.hosts.xen import dom0, xl
from envs.hosts.xen.dom0 import Queue
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import Site
from envs.hosts.xen.state import backends, vif_names
from envs.hosts.xen.xl import Vcpu

_UPTIME, _DEV = "/proc/uptime", "/proc/net/dev"
_UPTIME_TEXT = re.compile(r"([0-9]{1,12}\.[0-9]{2}) [0-9]+\.[0-9]{2}\n")

QUESTIONS = (reading((_UPTIME, _DEV)), xl.VCPUS, dom0.QDISCS)


class Counters(Record, frozen=True):
    """Everything measured, since boot or creation, at one moment (seconds since dom0 booted)."""

    at: float
    ports: Mapping[str, Port]
    queues: Mapping[str, Queue]
    vcpus: tuple[Vcpu, ...]


def count(answers: Sequence[Result]) -> Counters:
    """The counters out of the answers to ``QUESTIONS``."""
    read, vcpus, qdiscs = answers
    texts = files_read(read)
    return Counters(
        at=_seconds(texts[_UPTIME]),
        ports=linux.interfaces(texts[_DEV]),
        queues=dom0.queues(qdiscs),
        vcpus=xl.vcpus(printed(vcpus)),
    )


def sample(
    site: Site, present: Present, spec: HostSpec, before: Counters, after: Counters
) -> Sample:
    """What happened between two readings of the domains and vifs that were ``present`` before.

    Raises HostError where one of them is gone, rebooted or migrated since.
    """
    _none_gone(present, before, after)
    used = _cpu(before.vcpus, after.vcpus)
    domids = {name: present.domids[uuid] for uuid, name in present.names.items()}
    keys = vif_names(present)
    uplink = _between(before, after, site.uplink.name) if site.uplink.name else Port()
    return Sample(
        seconds=linux.seconds_between(before.at, after.at),
        vifs={n: _between(before, after, present.vifs[keys[n]].name) for n in spec.vifs},
        # towards the bridge is outward for a vif, and inward for the uplink
        uplink=Port(inward=uplink.outward, outward=uplink.inward),
        guest_cpu={
            guest.name: sum(s for (d, _), s in used.items() if d == domids[guest.name])
            for guest in spec.guests
        },
        backend_cpu={name: _of_dom0(used, n) for name, n in backends(present).items()},
        core_busy=_busy(site, used, [v for v in after.vcpus if v.domid in present.uuids]),
    )


def _seconds(uptime: str) -> float:
    found = _UPTIME_TEXT.fullmatch(uptime)
    if found is None:
        raise unexpected(_UPTIME, uptime)
    return float(found[1])


def _of_dom0(used: Mapping[tuple[int, int], float], vcpu: int) -> float:
    if (xl.DOM0, vcpu) not in used:
        raise HostError(f"xl vcpu-list names no VCPU {vcpu} of dom0 any more")
    return used[xl.DOM0, vcpu]


def _none_gone(present: Present, before: Counters, after: Counters) -> None:
    for counters in (before, after):
        domids = {vcpu.domid for vcpu in counters.vcpus}
        for domain in present.domains:
            if domain.domid not in domids:
                raise HostError(f"guest {domain.name!r} is gone, or was rebooted or migrated")
        for key, vif in present.vifs.items():
            if vif.name not in counters.ports:
                uuid, _, device = key.rpartition("/")
                raise HostError(f"{device} of guest {present.names[uuid]!r} is gone")


def _cpu(before: Sequence[Vcpu], after: Sequence[Vcpu]) -> Mapping[tuple[int, int], float]:
    """CPU seconds of each VCPU that was there both times."""
    then = {(vcpu.domid, vcpu.index): vcpu.seconds for vcpu in before}
    return {
        (vcpu.domid, vcpu.index): vcpu.seconds - then[vcpu.domid, vcpu.index]
        for vcpu in after
        if (vcpu.domid, vcpu.index) in then
    }


def _busy(
    site: Site, used: Mapping[tuple[int, int], float], vcpus: Sequence[Vcpu]
) -> Mapping[int, float]:
    busy = dict.fromkeys(site.pool.cores, 0.0)
    for vcpu in vcpus:
        cores = site.placed(vcpu.hard)
        for core in cores:
            busy[core] += used.get((vcpu.domid, vcpu.index), 0.0) / len(cores)
    return busy


def _between(before: Counters, after: Counters, name: str) -> Port:
    """What crossed an interface. What the kernel sends may be dropped by its queue before."""
    crossed = linux.port_between(before.ports, after.ports, name)
    queued = [counters.queues.get(name, Queue()).drops for counters in (before, after)]
    drops = crossed.inward.drops + max(0, queued[1] - queued[0])
    return replace(crossed, inward=replace(crossed.inward, drops=drops))
