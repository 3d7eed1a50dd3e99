"""A KVM host's counters, and the sample between two readings, all in one round trip.

The interval passes on the host, between the questions before it and those after it, so neither
the link nor this machine adds to it. ``perf`` waits there where it can count.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from envs.errors import CommandFailed, HostError
from envs.host import HostSpec, Port, Record, Sample
from envs.hosts import linux
from envs.hosts.change import Command
from envs.hosts.kvm.guests import Guest
from envs.hosts.kvm.site import Site
from envs.hosts.transport import Result, files_read, printed, reading

_DEV, _STAT = "/proc/net/dev", "/proc/stat"
_CLOCK: Command = ("date", "+%s.%N")
_TIME = re.compile(r"([0-9]{1,12}\.[0-9]*)\n")
_WAIT = """
for pmu in /sys/bus/event_source/devices/cpu* /sys/bus/event_source/devices/arm*; do
  [ -d "$pmu" ] && perf stat -x, -a -e cache-misses -- sleep "$1" && exit
done
exec sleep "$1"
"""
"""Waits, and has the cores' own counters count meanwhile.

Without any, perf would count nothing and yet visit every core, which on a crowded one takes long.
Source: ``Documentation/ABI/testing/sysfs-bus-event_source-devices`` of Linux.
"""


class Counters(Record, frozen=True):
    """Everything measured, since boot or creation, at one moment (seconds by the host's clock).

    ``cpu`` is by thread, ``whole`` the CPU time of all threads of a guest's process.
    """

    at: float
    ports: Mapping[str, Port]
    cpu: Mapping[str, float]
    whole: Mapping[str, float]
    cores: Mapping[int, linux.CoreTime]


def measuring(site: Site, seconds: float) -> tuple[Command, ...]:
    """The commands that measure for some seconds."""
    wait = ("sh", "-c", _WAIT, "sh", f"{seconds:.3f}")
    return (*_questions(site), wait, *_questions(site))


def measured(site: Site, answers: Sequence[Result]) -> tuple[Counters, Counters, float | None]:
    """The counters before and after out of the answers, and the cache misses in between."""
    each = len(_questions(site))
    waited = answers[each]
    return _count(site, answers[:each]), _count(site, answers[each + 1 :]), misses(waited.err)


def misses(shown: str) -> float | None:
    """The cache misses that ``perf stat -x,`` counted, None where it could not.

    The first field is the count; it is in words where the processor has no such counter.
    """
    for line in shown.splitlines():
        count, *rest = line.split(",")
        if "cache-misses" in rest and count.isascii() and count.isdecimal():
            return float(count)
    return None


def sample(
    site: Site, spec: HostSpec, before: Counters, after: Counters, cache_misses: float | None
) -> Sample:
    """What happened between two readings."""
    crossed = partial(linux.port_between, before.ports, after.ports)
    cpu = {key: after.cpu[key] - before.cpu[key] for key in after.cpu if key in before.cpu}
    out = crossed(site.uplink.name) if site.uplink.name else Port()
    cores = linux.core_times_between(before.cores, after.cores, spec.core_ids)
    softirq = sum(core.softirq for core in cores.values())
    # towards the bridge is outward for a vif, and inward for the uplink; a bridge that is its own
    # uplink gives to the host what it receives
    turned = Port(inward=out.outward, outward=out.inward)
    return Sample(
        seconds=linux.seconds_between(before.at, after.at),
        vifs={vif: crossed(vif) for vif in spec.vifs},
        uplink=out if site.uplink.name == site.bridge else turned,
        guest_cpu={g.name: _guest_cpu(g, cpu, before, after) for g in site.guests},
        backend_cpu={key: cpu[key] for key in site.backends},
        core_busy={number: core.busy for number, core in cores.items()},
        softirq=0.0 if spec.softirq_in_tasks else softirq,
        cache_misses=cache_misses,
    )


def _questions(site: Site) -> tuple[Command, ...]:
    folders = (*(f"/proc/{guest.pid}" for guest in site.guests), *site.threads.values())
    each = (f"{folder}/{name}" for folder in folders for name in ("stat", "schedstat"))
    return (_CLOCK, reading((*each, _STAT, _DEV)))


def _count(site: Site, answers: Sequence[Result]) -> Counters:
    clock, read = answers
    texts = files_read(read)
    whole = {guest.name: _whole(guest, texts) for guest in site.guests}
    return Counters(
        at=_seconds(clock),
        ports=linux.interfaces(texts[_DEV]),
        cpu=dict(_cpu(site, texts)),
        whole=whole,
        cores=linux.core_times(texts[_STAT]),
    )


def _seconds(clock: Result) -> float:
    found = _TIME.fullmatch(printed(clock))
    if found is None:
        raise CommandFailed(f"date: this is no time: {clock.out!r:.80}")
    return float(found[1])


def _cpu(site: Site, texts: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """The CPU time of each thread. Of those that are not placed, some come and go."""
    placed = {*site.vcpus, *site.backends}
    for key, folder in site.threads.items():
        stat = texts.get(f"{folder}/stat")
        if stat is not None:
            yield key, linux.task(stat, texts.get(f"{folder}/schedstat", "")).cpu
        elif key in placed:
            raise HostError(f"the thread {key!r} has ended: run this again")


def _whole(guest: Guest, texts: Mapping[str, str]) -> float:
    task = linux.task(texts.get(f"/proc/{guest.pid}/stat", "0 () X" + " 0" * 20))
    if task.start != guest.start:
        raise HostError(f"guest {guest.name!r} has ended or was started anew: run this again")
    return task.cpu


def _guest_cpu(guest: Guest, cpu: Mapping[str, float], before: Counters, after: Counters) -> float:
    """The guest's VCPUs, and what its process used beyond all threads that are known.

    The latter (workers that come and go) is known in jiffies only, so it may seem less than none.
    """
    known = [key for key in guest.threads if key in cpu]
    inside = [key for key in known if guest.threads[key].startswith(f"/proc/{guest.pid}/")]
    rest = after.whole[guest.name] - before.whole[guest.name] - sum(cpu[key] for key in inside)
    return sum(cpu[key] for key in known if key not in guest.backends) + max(0.0, rest)
