"""QEMU processes as ``/proc`` shows them: threads by what they do, taps, and the command line.

QEMU names its threads if it is run with ``debug-threads=on``, as libvirt and Proxmox VE do:
``CPU n/KVM`` a VCPU, ``IO name`` an I/O thread, all others the emulator. vhost workers are named
``vhost-PID`` after their owner: kernel threads of their own before Linux 6.4, threads of QEMU
since. A descriptor of ``/dev/net/tun`` tells in ``fdinfo`` which tap it is.
Sources: qemu(1), ``vhost_task_create`` in ``kernel/vhost_task.c``, ``tun_chr_show_fdinfo`` in
``drivers/net/tun.c``.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from envs.errors import HostError
from envs.host import Record
from envs.hosts.change import Command
from envs.hosts.linux import task
from envs.hosts.transport import Result, files_read, reading
from envs.hosts.unexpected import decoded, unexpected

FIND: Command = (
    *("find", "/proc", "-maxdepth", "2", "-path", "/proc/[0-9]*/exe"),
    *("(", "-lname", "*/qemu-system-*", "-o", "-lname", "*/qemu-kvm*", ")"),
)
"""Finds the QEMU processes. Its complaints about processes that end meanwhile mean nothing."""

VHOST: Command = ("sh", "-c", 'grep -sHZ "^vhost-" /proc/[0-9]*/comm')
"""Finds the vhost workers that are processes of their own."""

_TASKS = 'grep -sHZ "" /proc/"$1"/task/*/comm'
_TAPS = 'grep -sHZ "^iff:" /proc/"$1"/fdinfo/*'

_EXE = re.compile(r"/proc/([0-9]{1,10})/exe")
_COMM = re.compile(r"/proc/([0-9]{1,10})/comm")
_TASK = re.compile(r"/proc/[0-9]+/task/([0-9]{1,10})/comm")
_DESCRIPTOR = re.compile(r"/proc/[0-9]+/fdinfo/([0-9]{1,10})")
_FD = re.compile(r"[0-9]{1,10}")
_VCPU = re.compile(r"CPU ([0-9]{1,5})/\w+")
_IOTHREAD = re.compile(r"IO (?!mon_)(\S+)")
_RUN = re.compile(r"\b([0-9]{1,4})(?:-([0-9]{1,4}))?\b")
_CPUS = re.compile(rf"(?:^|,)cpus={_RUN.pattern}")
_NODES = re.compile(rf"(?:^|,)host-nodes={_RUN.pattern}")
_MAX_NODE = 127  # MAX_NODES in include/sysemu/numa.h is one more
_VHOST_TASK = re.compile(r"vhost-\d+")
_VHOST_OWNER = re.compile(r"vhost-([0-9]{1,10})")


class Process(Record, frozen=True):
    """A QEMU process: its threads by number or name, and its taps.

    ``start`` is in jiffies since boot: with it a pid is one process for ever. ``vhost`` are the
    folders in ``/proc`` of its workers. ``rest`` are the emulator's threads, the main one first.
    ``taps`` are in the order of their descriptors; ``macs`` names the addresses that are known.
    ``nodes`` are those of the host that a VCPU's memory is bound to, where it is.
    ``cgroups`` is the text of ``/proc/PID/cgroup``.
    """

    pid: int
    start: int
    name: str
    uuid: str
    vcpus: Mapping[int, int]
    iothreads: Mapping[str, int]
    vhost: tuple[str, ...]
    rest: tuple[int, ...]
    taps: tuple[str, ...]
    macs: Mapping[str, str]
    nodes: Mapping[int, tuple[int, ...]]
    cgroups: str


def pids(found: Result) -> tuple[int, ...]:
    """The pids out of the answer to ``FIND``."""
    paths = filter(None, found.out.split("\n"))
    return tuple(sorted(_in_path(_EXE, "find", path) for path in paths))


def workers(found: Result) -> Mapping[int, tuple[int, ...]]:
    """The vhost workers of each owner out of the answer to ``VHOST``, oldest first."""
    owned: dict[int, list[int]] = {}
    for path, name in files_read(found).items():
        # Anybody may call a process of theirs like that: what has no number in it is none of ours.
        if owner := _VHOST_OWNER.fullmatch(name.strip()):
            tid = _in_path(_COMM, "grep", path)
            owned.setdefault(int(owner[1]), []).append(tid)
    return {owner: tuple(sorted(tids)) for owner, tids in owned.items()}


def questions(pid: int) -> tuple[Command, ...]:
    """What must be asked of the host to know a QEMU process."""
    folder = f"/proc/{pid}"
    return (
        ("cat", f"{folder}/cmdline"),
        reading((f"{folder}/stat", f"{folder}/cgroup")),
        ("sh", "-c", _TASKS, "sh", str(pid)),
        ("sh", "-c", _TAPS, "sh", str(pid)),
    )


def process(pid: int, answers: Sequence[Result], kernel_workers: Sequence[int]) -> Process | None:
    """A process out of the answers to its questions, None if it has ended meanwhile."""
    words = answers[0].out.split("\0")
    texts, threads, taps = (files_read(answer) for answer in answers[1:])
    folder = f"/proc/{pid}"
    if f"{folder}/stat" not in texts or not threads:
        return None
    names = {_in_path(_TASK, "grep", path): name.strip("\n") for path, name in threads.items()}
    vcpus = {int(m[1]): tid for tid, name in names.items() if (m := _VCPU.fullmatch(name))}
    iothreads = {m[1]: tid for tid, name in names.items() if (m := _IOTHREAD.fullmatch(name))}
    own_workers = [tid for tid, name in names.items() if _VHOST_TASK.fullmatch(name)]
    known = {*vcpus.values(), *iothreads.values(), *own_workers}
    by_descriptor = {
        _in_path(_DESCRIPTOR, "grep", p): t.split()[1] for p, t in taps.items() if t.split()[1:]
    }
    arguments = tuple(_arguments(words))
    return Process(
        pid=pid,
        start=task(texts[f"{folder}/stat"]).start,
        name=_value(arguments, "-name", "guest") or f"pid-{pid}",
        uuid=_value(arguments, "-uuid", ""),
        vcpus=dict(sorted(vcpus.items())),
        iothreads=dict(sorted(iothreads.items())),
        vhost=(
            *(f"/proc/{tid}/task/{tid}" for tid in sorted(kernel_workers)),
            *(f"{folder}/task/{tid}" for tid in sorted(own_workers)),
        ),
        rest=(pid, *sorted(set(names) - known - {pid})),
        taps=tuple(dict.fromkeys(by_descriptor[fd] for fd in sorted(by_descriptor))),
        macs=_macs(arguments, by_descriptor),
        nodes=_nodes(arguments, vcpus),
        cgroups=texts.get(f"{folder}/cgroup", ""),
    )


def properties(text: str, implied: str = "") -> Mapping[str, str]:
    """The properties of an option, ``a=1,b=2`` or JSON; a comma in a value is doubled.

    A first word without ``=`` is the value of ``implied``. JSON that is none has no properties: no
    QEMU would run with it, but anybody may call a process of theirs so.
    """
    if text.startswith("{"):
        try:
            values = decoded("the command line of QEMU", text, dict[str, object])
        except HostError:
            return {}
        return {key: str(value) for key, value in values.items()}
    found = {}
    for number, part in enumerate(re.findall(r"(?:[^,]|,,)+", text)):
        key, equals, value = part.replace(",,", ",").partition("=")
        if equals:
            found[key] = value
        elif number == 0:
            found[implied] = key
    return found


def _in_path(form: re.Pattern[str], command: str, path: str) -> int:
    """The number in a path of ``/proc``, which a command printed."""
    found = form.fullmatch(path)
    if found is None:
        raise unexpected(command, path)
    return int(found[1])


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option with the word after it."""
    for option, value in pairwise(words[1:]):
        if option.startswith("-"):
            yield "-" + option.lstrip("-"), value


def _value(arguments: Sequence[tuple[str, str]], option: str, key: str) -> str:
    for name, text in arguments:
        if name == option:
            return properties(text, key).get(key, "") if key else text
    return ""


def _macs(
    arguments: Sequence[tuple[str, str]], by_descriptor: Mapping[int, str]
) -> Mapping[str, str]:
    """The address behind each tap, where the command line tells both."""
    tap_of, mac_of = {}, {}
    for option, text in arguments:
        if option not in ("-netdev", "-device", "-nic"):
            continue
        given = properties(text, "type")
        key = f"nic {text}" if option == "-nic" else given.get("netdev") or given.get("id", "")
        first = re.split(r"[:,]", given.get("fd") or given.get("fds") or "")[0]
        descriptor = int(first) if _FD.fullmatch(first) else -1
        tap = given.get("ifname") or by_descriptor.get(descriptor)
        if tap and option != "-device":
            tap_of[key] = tap
        if "mac" in given:
            mac_of[key] = given["mac"].lower()
    return {tap: mac_of[key] for key, tap in tap_of.items() if key in mac_of}


def _nodes(
    arguments: Sequence[tuple[str, str]], vcpus: Iterable[int]
) -> Mapping[int, tuple[int, ...]]:
    """The nodes that each VCPU's memory is bound to: its cell's, or without cells the machine's.

    Memory that is only preferred there is as good as bound to who does not want to move it.
    """
    bound: dict[str, tuple[int, ...]] = {}
    cells: list[tuple[str, str]] = []
    machine = ""
    for option, text in arguments:
        given = properties(text)
        if option == "-object" and given.get("policy") in ("bind", "preferred"):
            bound[given.get("id", "")] = _host_nodes(text)
        elif option == "-numa":
            cells.append((text, given.get("memdev", "")))
        elif option in ("-machine", "-M"):
            machine = given.get("memory-backend", machine)
    memory = _of_cells(cells, vcpus) if cells else dict.fromkeys(vcpus, machine)
    return {vcpu: bound[name] for vcpu, name in memory.items() if name in bound}


def _of_cells(cells: Iterable[tuple[str, str]], vcpus: Iterable[int]) -> Mapping[int, str]:
    """The memory of each VCPU that is in a cell. QEMU has it in one, so the first is its own.

    No VCPU is looked at twice: anybody may run a process with endless cells and threads.
    """
    memory: dict[int, str] = {}
    left = sorted(vcpus)
    for text, name in cells:
        for run in _CPUS.finditer(text):
            first, last = bisect_left(left, int(run[1])), bisect_right(left, int(run[2] or run[1]))
            memory |= dict.fromkeys(left[first:last], name)
            del left[first:last]
    return memory


def _host_nodes(text: str) -> tuple[int, ...]:
    """The nodes that an object names: JSON has them in one list, else each run has a key."""
    if text.startswith("{"):
        runs = _RUN.finditer(properties(text).get("host-nodes", ""))
    else:
        runs = _NODES.finditer(text)
    nodes: set[int] = set()
    for run in runs:
        nodes.update(range(int(run[1]), min(int(run[2] or run[1]), _MAX_NODE) + 1))
    return tuple(sorted(nodes))
