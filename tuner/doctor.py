"""What a host is found to be, what can be set on it, and what stands in the way.

A diagnosis is a pure reading of the host's description and of the answers to a few questions,
which travel together and change nothing.
"""

import getpass
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from envs.errors import HostError
from envs.host import Host, HostSpec, Knob, Limits, Record, Settings
from envs.hosts import linux
from envs.hosts.change import Command
from envs.hosts.transport import Result
from tuner.state import LiveHost

_TOOLS = {
    "lab": ("ip", "bridge", "tc", "nsenter", "taskset", "setsid"),
    "kvm": ("ip", "bridge", "tc", "taskset", "setsid"),
    "xen": ("xl", "ip", "bridge", "tc", "taskset", "setsid"),
}
_VERSIONS: Mapping[str, tuple[str, Command]] = {
    "kvm": ("libvirt", ("virsh", "--version")),
    "xen": ("Xen", ("xl", "info", "xen_version")),
}
"""By kind of host: what it runs, and the command that prints nothing but its version."""

_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 23: "CAP_SYS_NICE"}
"""By bit, from linux/capability.h: bridges and queues, namespaces and cgroups, affinities."""

_RIVALS = {
    "irqbalance": (
        "moves interrupts away from the cores where they are placed",
        "systemctl stop irqbalance, or ban the cores in IRQBALANCE_BANNED_CPULIST",
    ),
    "numad": (
        "moves guests and their memory to nodes of its own choice",
        "systemctl stop numad",
    ),
    "tuned": (
        "sets affinities, schedulers and interrupts anew when its profile is applied",
        "keep its profile, or run: tuned-adm off",
    ),
    "ksmtuned": (
        "takes CPU time in bursts, which measurements see as the setting's",
        "systemctl stop ksmtuned",
    ),
}
"""By the name of its process: what it does to a tuned host, and what to do about it."""

_IPROUTE = re.compile(r"iproute2-[\w.]+")
"""The part of what ``ip -V`` prints that is its version."""

_MISSING = 'for tool; do command -v "$tool" >/dev/null || echo "$tool"; done'
_RUNNING = 'grep -shxE -e"$1" /proc/[0-9]*/comm; true'


class KnobFound(Record, frozen=True):
    """A knob: whether the agent may set it, within what, and else why not."""

    knob: Knob
    settable: bool
    within: str
    why_not: str = ""


class Rival(Record, frozen=True):
    """What would fight the tuner: what it is, what it does, what to do about it."""

    name: str
    does: str
    remedy: str


class Diagnosis(Record, frozen=True):
    """All that was found.

    ``spec`` and ``settings`` are the host as the agent sees it, None where it could not be opened
    for the reason in ``trouble``. ``versions`` are of what it runs, ``missing`` the programs and
    privileges it lacks, ``sudoers`` the lines that would grant the latter.
    """

    host: str
    spec: HostSpec | None = None
    settings: Settings | None = None
    knobs: tuple[KnobFound, ...] = ()
    versions: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()
    missing: tuple[str, ...] = ()
    sudoers: tuple[str, ...] = ()
    trouble: str = ""


def diagnose(uri: str, host: Host) -> Diagnosis:
    """Examine a host; nothing is changed. Raises HostError where it cannot be read."""
    spec = host.describe()
    found = Diagnosis(host=uri, spec=spec, settings=host.settings(), knobs=tuple(knobs(spec)))
    if not isinstance(host, LiveHost):
        return found
    answers = host.transport.run_all(questions(spec.kind))
    return examined(found, spec.kind, answers)


def questions(kind: str) -> tuple[Command, ...]:
    """What to ask a live host of a kind."""
    return (
        ("id", "-un"),
        ("grep", "^CapEff:", "/proc/self/status"),
        ("sh", "-c", _MISSING, "sh", *_TOOLS[kind]),
        ("sh", "-c", _RUNNING, "sh", "|".join(_RIVALS)),
        ("xl", "cpupool-list") if kind == "xen" else ("true",),
        ("uname", "-sr"),
        ("ip", "-V"),
        *([_VERSIONS[kind][1]] if kind in _VERSIONS else []),
    )


def examined(found: Diagnosis, kind: str, answers: Sequence[Result]) -> Diagnosis:
    """A diagnosis with what the questions brought to light."""
    user, capabilities, tools, running, pools, *versions = answers
    kernel, ip, *rest = (line.out.strip() if line.rc == 0 else "" for line in versions)
    told = (kernel, *_IPROUTE.findall(ip)[:1], *(f"{_VERSIONS[kind][0]} {v}" for v in rest if v))
    listed = _pools(pools.out) if kind == "xen" else ()
    lacks = () if kind == "lab" else tuple(_lacking(capabilities.out))
    missing = (*(f"{tool} is not installed" for tool in tools.out.split()), *lacks)
    return Diagnosis(
        host=found.host,
        spec=found.spec,
        settings=found.settings,
        knobs=found.knobs,
        versions=(*filter(None, told), *(f"scheduler {p.scheduler}" for p in listed if p.ours)),
        rivals=(*_rivals(running.out), *(_apart(pool) for pool in listed if not pool.ours)),
        missing=missing,
        sudoers=(sudoers(found.host, user.out.strip()),) if lacks else (),
    )


def without(uri: str, trouble: HostError) -> Diagnosis:
    """The diagnosis of a host that could not be opened for want of privileges."""
    line = sudoers(uri, getpass.getuser())
    return Diagnosis(host=uri, missing=("root",), sudoers=(line,), trouble=str(trouble))


def sudoers(uri: str, user: str) -> str:
    """The one line for sudoers that lets a user control the host.

    Over SSH everything runs under one program, ``timeout``; on this machine it is the tuner.
    """
    scheme, _, rest = uri.partition(":")
    if scheme.endswith("+ssh"):
        named = re.match(r"//([^@/]+)@", rest)
        return f"{named[1] if named else user} ALL=(root) NOPASSWD: /usr/bin/timeout"
    return f"{user} ALL=(root) NOPASSWD: {Path(sys.argv[0]).resolve()}"


def knobs(spec: HostSpec) -> Iterator[KnobFound]:
    """Each knob as the agent may use it."""
    limits = spec.limits
    placed = [
        name for name, can in (("backends", limits.backends), ("guests", limits.guests)) if can
    ]
    low, high = limits.weight
    cores = f"up to {limits.side_cores} of {len(spec.cores)} cores; backends "
    within: dict[Knob, str] = {
        "placement": " and ".join(placed) + (_bound(limits) if placed else ""),
        "weight": f"{', '.join(limits.weights)}: {low} to {high}" if limits.weights else "",
        "tx_queue": "{} to {} packets".format(*limits.tx_queue) if limits.tx_queue else "",
        "bridge": ", ".join(limits.bridge) if len(limits.bridge) > 1 else "",
        "side_cores": cores + ("may poll there" if limits.polling else "sleep there when idle")
        if limits.side_cores
        else "",
    }
    for knob in get_args(Knob):
        why_not = limits.why_not.get(knob, "")
        yield KnobFound(
            knob=knob, settable=bool(within[knob]), within=within[knob], why_not=why_not
        )


def _bound(limits: Limits) -> str:
    """Who may be placed on some cores only; with many, the first of them."""
    told = [f"{key} on {linux.as_list(cores)} only" for key, cores in limits.reach.items()]
    more = [f"{len(told) - 3} more on some only"] if len(told) > 3 else []
    return "".join(f"; {one}" for one in (*told[:3], *more))


def _lacking(text: str) -> Iterator[str]:
    """The capabilities that ``CapEff`` of /proc/self/status does not hold."""
    words = text.split()
    held = int(words[1], 16) if len(words) == 2 else 0
    for bit, name in _CAPABILITIES.items():
        if not held & 1 << bit:
            yield name


def _rivals(running: str) -> Iterator[Rival]:
    for name in dict.fromkeys(running.split()):
        does, remedy = _RIVALS[name]
        yield Rival(name=name, does=does, remedy=remedy)


class _Pool(Record, frozen=True):
    """A pool of Xen: its cores are its guests' alone. dom0, and so what is tuned, is in Pool-0."""

    name: str
    cores: int
    scheduler: str

    @property
    def ours(self) -> bool:
        return self.name == "Pool-0"


def _pools(listed: str) -> tuple[_Pool, ...]:
    """The pools out of ``xl cpupool-list``: a name, which may hold blanks, then four columns."""
    rows = (line.rsplit(maxsplit=4) for line in listed.splitlines()[1:])
    return tuple(
        _Pool(name=row[0], cores=int(row[1]), scheduler=row[2])
        for row in rows
        if len(row) == 5 and row[1].isdecimal()
    )


def _apart(pool: _Pool) -> Rival:
    cores = "1 core" if pool.cores == 1 else f"{pool.cores} cores"
    return Rival(
        name=f"cpupool {pool.name}",
        does=f"keeps {cores} and its guests to itself",
        remedy="nothing, if it is meant so: they are left alone",
    )
