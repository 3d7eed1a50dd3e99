"""What Linux says of cores, processes and interfaces: commands, and parsers of what they print.

Formats: proc(5), ``Documentation/scheduler/sched-stats.rst`` for ``schedstat``, lscpu(1).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from envs.errors import HostError
from envs.host import Core, Port, Record, Traffic
from envs.hosts.unexpected import natural, unexpected

JIFFIES = 100.0
"""USER_HZ, the unit of /proc/stat: 100 a second on every architecture Linux runs Xen or KVM on."""

CoreId = Annotated[int, msgspec.Meta(ge=0, lt=100_000)]
"""The number of a core, in a file that should hold one."""

Weight = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""A domain's or a group's weight, in a file that should hold one."""

TOPOLOGY = ("lscpu", "-p=CPU,CORE,SOCKET,NODE,CACHE")

_CORES = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_TASK = re.compile(r"([0-9]{1,10}) \(.*\) ([A-Za-z])((?: -?[0-9]{1,20}){20,})\s*", re.DOTALL)
_SCHEDSTAT = re.compile(r"([0-9]{1,20}) [0-9]+ [0-9]+\s*")
_CORE_TIME = re.compile(r"cpu([0-9]{1,5})((?: [0-9]{1,20}){7,})\s*")
NAME = r"[^ \t-\r/:]+"
"""An interface's name: the kernel allows all but its own blanks, ``/`` and ``:``."""
_NO_LLC = 1_000_000
"""The LLC domains of cores that have none are numbered from here, apart from all others."""
_INTERFACE = re.compile(rf" *({NAME}): *([0-9]{{1,20}}(?: +[0-9]{{1,20}}){{15}})")


class Task(Record, frozen=True):
    """A process: its state letter, start time (jiffies since boot) and CPU seconds so far.

    A pid together with its start time is one process, and never another after it.
    """

    pid: int
    state: str
    start: int
    cpu: float


class CoreTime(Record, frozen=True):
    """Seconds a core was busy since boot, and those of them in softirq."""

    busy: float
    softirq: float


def core_list(text: str, source: str = "the kernel") -> tuple[int, ...]:
    """The cores, or nodes, of a list such as ``0-3,8``, ascending; an empty list has none.

    Raises HostError for anything else, naming the ``source`` of the text.
    """
    cores: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        run = _CORES.fullmatch(part)
        first, last = (int(run[1]), int(run[2] or run[1])) if run else (1, 0)
        if first > last:
            raise HostError(f"{source} printed a list that cannot be read: {text!r:.80}")
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


def as_list(cores: Iterable[int]) -> str:
    """The list of cores as ``taskset -c`` takes it."""
    return ",".join(str(core) for core in sorted(cores))


def online(text: str) -> tuple[Core, ...]:
    """The cores that are online, out of what ``TOPOLOGY`` printed.

    The last cache column is the last level; where lscpu knows no caches, cores of a socket are
    taken to share one. A core that lacks the last level, which others have, shares none: lscpu
    leaves the column out.
    """
    rows = [
        line.replace(":", ",").split(",")
        for line in text.splitlines()
        if line and not line.startswith("#")
    ]
    widest = max(map(len, rows), default=0)
    found: dict[int, Core] = {}
    for row in rows:
        if len(row) < 4:
            raise unexpected("lscpu", ",".join(row))
        cpu, core, socket, node, *caches = row
        llc = caches[-1] if caches and caches[-1] else socket
        ids = [natural("lscpu", word) for word in (cpu, llc or "0", node or "0", core or cpu)]
        if len(row) < widest:
            ids[1] = _NO_LLC + ids[0]
        found[ids[0]] = Core(id=ids[0], llc=ids[1], node=ids[2], sibling=ids[3])
    return tuple(found[cpu] for cpu in sorted(found))


def topology(text: str, allowed: Iterable[int]) -> tuple[Core, ...]:
    """The cores that are ``online`` and ``allowed``. Raises HostError where there is none."""
    wanted = set(allowed)
    found = tuple(core for core in online(text) if core.id in wanted)
    if not found:
        raise HostError("lscpu names none of the cores this host may use")
    return found


def task(stat: str, schedstat: str = "") -> Task:
    """A process out of ``/proc/PID/stat``; CPU seconds exact where ``schedstat`` is there.

    The name in parentheses may itself hold spaces and parentheses: fields start after the last.
    """
    found = _TASK.fullmatch(stat)
    exact = _SCHEDSTAT.fullmatch(schedstat or "0 0 0")
    if found is None or exact is None:
        raise unexpected("/proc/PID/stat", stat) if exact else unexpected("schedstat", schedstat)
    fields = [int(field) for field in found[3].split()]
    return Task(
        pid=int(found[1]),
        state=found[2],
        start=fields[18],
        cpu=int(exact[1]) * 1e-9 or (fields[10] + fields[11]) / JIFFIES,
    )


def affinity(status: str) -> tuple[int, ...]:
    """The cores a process may run on, out of ``/proc/PID/status``."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list" and (found := core_list(value, "/proc/PID/status")):
            return found
    raise HostError("/proc/PID/status names no allowed cores")


def memory_nodes(status: str) -> tuple[int, ...]:
    """The nodes a task may have memory on, out of ``/proc/PID/status``; () where it says none."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "Mems_allowed_list":
            return core_list(value, "/proc/PID/status")
    return ()


def core_times(stat: str) -> Mapping[int, CoreTime]:
    """Each core's time out of ``/proc/stat``."""
    times = {}
    for line in stat.splitlines():
        if line.startswith("cpu") and not line.startswith("cpu "):
            found = _CORE_TIME.fullmatch(line)
            if found is None:
                raise unexpected("/proc/stat", line)
            user, nice, system, _idle, _iowait, irq, softirq = map(int, found[2].split()[:7])
            busy = user + nice + system + irq + softirq
            times[int(found[1])] = CoreTime(busy=busy / JIFFIES, softirq=softirq / JIFFIES)
    return times


def seconds_between(before: float, after: float) -> float:
    """The time between two looks at a clock. Raises HostError where it did not go on."""
    if not before < after:
        raise HostError(f"the host's clock went from {before} to {after} s: was it set?")
    return after - before


def core_times_between(
    before: Mapping[int, CoreTime], after: Mapping[int, CoreTime], cores: Iterable[int]
) -> Mapping[int, CoreTime]:
    """What ``cores`` did between two readings. Raises HostError where one is offline."""
    gone = [core for core in cores if core not in before or core not in after]
    if gone:
        raise HostError(f"/proc/stat names no core {gone[0]}: it is offline")
    return {
        core: CoreTime(
            busy=after[core].busy - before[core].busy,
            softirq=after[core].softirq - before[core].softirq,
        )
        for core in cores
    }


def interfaces(dev: str) -> Mapping[str, Port]:
    """Counters since creation out of ``/proc/PID/net/dev``, as ``Port`` of a vif.

    What the kernel sends on a vif goes towards its guest, and what it receives comes from there.
    """
    titles, ports = dev.split("\n")[:2], {}
    if [title.split("|")[0].strip() for title in titles] != ["Inter-", "face"]:
        raise unexpected("/proc/net/dev", titles[0])
    for line in filter(None, dev.split("\n")[2:]):
        found = _INTERFACE.fullmatch(line)
        if found is None:
            raise unexpected("/proc/net/dev", line)
        values = [int(field) for field in found[2].split()]
        received = Traffic(bytes=values[0], packets=values[1], drops=values[3])
        sent = Traffic(bytes=values[8], packets=values[9], drops=values[11])
        ports[found[1]] = Port(inward=sent, outward=received)
    return ports


def port_between(before: Mapping[str, Port], after: Mapping[str, Port], name: str) -> Port:
    """What crossed an interface between two readings. Raises HostError where it is gone."""
    if name not in before or name not in after:
        raise HostError(f"the interface {name!r} is gone: run this again")

    def less(now: Traffic, then: Traffic) -> Traffic:
        return Traffic(
            bytes=now.bytes - then.bytes,
            packets=now.packets - then.packets,
            drops=now.drops - then.drops,
        )

    old, new = before[name], after[name]
    return Port(inward=less(new.inward, old.inward), outward=less(new.outward, old.outward))


def irq_time_query(release: str) -> tuple[str, ...]:
    """The command that asks whether the kernel takes interrupt time out of task time."""
    files = ("/proc/config.gz", f"/boot/config-{release}")
    return ("zgrep", "-s", "-h", "^CONFIG_IRQ_TIME_ACCOUNTING=", *files)


def softirq_in_tasks(answer: str) -> bool:
    """Whether interrupt work is inside task time, as it is unless the kernel says otherwise."""
    return "CONFIG_IRQ_TIME_ACCOUNTING=y" not in answer
