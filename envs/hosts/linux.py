"""What Linux says of cores, processes and interfaces: commands, and parsers of what they print.

Formats: proc(5), ``Documentation/scheduler/sched-stats.rst`` for ``schedstat``, lscpu(1).
"""

from collections.abc import Iterable, Mapping

from envs.errors import HostError
from envs.host import Core, Port, Record, Traffic

JIFFIES = 100.0
"""USER_HZ, the unit of /proc/stat: 100 a second on every architecture Linux runs Xen or KVM on."""

TOPOLOGY = ("lscpu", "-p=CPU,CORE,SOCKET,NODE,CACHE")


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


def core_list(text: str) -> tuple[int, ...]:
    """The cores of a kernel list such as ``0-3,8``, ascending."""
    cores: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        cores.update(range(int(first), int(last if dash else first) + 1))
    return tuple(sorted(cores))


def as_list(cores: Iterable[int]) -> str:
    """The list of cores as ``taskset -c`` takes it."""
    return ",".join(str(core) for core in sorted(cores))


def topology(text: str, allowed: Iterable[int]) -> tuple[Core, ...]:
    """The cores out of what ``TOPOLOGY`` printed, those in ``allowed`` only.

    The last cache column is the last level; where lscpu knows no caches, cores of a socket are
    taken to share one.
    """
    wanted = set(allowed)
    cores = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        cpu, core, socket, node, *caches = line.replace(":", ",").split(",")
        if int(cpu) in wanted:
            llc = caches[-1] if caches and caches[-1] else socket
            cores.append(
                Core(id=int(cpu), llc=int(llc or 0), node=int(node or 0), sibling=int(core or cpu))
            )
    if not cores:
        raise HostError("lscpu names none of the cores this host may use")
    return tuple(sorted(cores, key=lambda core: core.id))


def task(stat: str, schedstat: str = "") -> Task:
    """A process out of ``/proc/PID/stat``; CPU seconds exact where ``schedstat`` is there.

    The name in parentheses may itself hold spaces and parentheses: fields start after the last.
    """
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    exact = schedstat.split()
    ticks = (int(fields[11]) + int(fields[12])) / JIFFIES
    return Task(
        pid=int(head.split(" ", 1)[0]),
        state=fields[0],
        start=int(fields[19]),
        cpu=int(exact[0]) * 1e-9 if exact and exact[0] != "0" else ticks,
    )


def affinity(status: str) -> tuple[int, ...]:
    """The cores a process may run on, out of ``/proc/PID/status``."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list":
            return core_list(value)
    raise HostError("a process status names no allowed cores")


def core_times(stat: str) -> Mapping[int, CoreTime]:
    """Each core's time out of ``/proc/stat``."""
    times = {}
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq = (int(f) for f in fields[:7])
            busy = user + nice + system + irq + softirq
            times[int(name[3:])] = CoreTime(busy=busy / JIFFIES, softirq=softirq / JIFFIES)
    return times


def interfaces(dev: str) -> Mapping[str, Port]:
    """Counters since creation out of ``/proc/PID/net/dev``, as ``Port`` of a vif.

    What the kernel sends on a vif goes towards its guest, and what it receives comes from there.
    """
    ports = {}
    for line in dev.splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        values = [int(field) for field in rest.split()]
        received = Traffic(bytes=values[0], packets=values[1], drops=values[3])
        sent = Traffic(bytes=values[8], packets=values[9], drops=values[11])
        ports[name.strip()] = Port(inward=sent, outward=received)
    return ports


def irq_time_query(release: str) -> tuple[str, ...]:
    """The command that asks whether the kernel takes interrupt time out of task time."""
    files = ("/proc/config.gz", f"/boot/config-{release}")
    return ("zgrep", "-s", "-h", "^CONFIG_IRQ_TIME_ACCOUNTING=", *files)


def softirq_in_tasks(answer: str) -> bool:
    """Whether interrupt work is inside task time, as it is unless the kernel says otherwise."""
    return "CONFIG_IRQ_TIME_ACCOUNTING=y" not in answer
