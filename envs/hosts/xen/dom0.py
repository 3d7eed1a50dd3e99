"""What dom0's kernel says of netback: vifs, their threads and interrupts, and what queues obey.

A vif has one or more queues. Each has two kernel threads (``vif1.0-q0-guest-rx`` carries packets
to the guest, ``-dealloc`` gives its pages back) and two interrupts by which the guest rings
(``-tx`` runs the guest's packets through the bridge, ``-rx`` wakes the first thread).

The scripts here are constants; what they work on comes as arguments. Names of interfaces may hold
anything but blanks, slashes and colons.
Sources: ``drivers/net/xen-netback`` of Linux, ``Documentation/ABI/testing/sysfs-kernel-irq``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from envs.host import Record
from envs.hosts import iproute, linux
from envs.hosts.change import Command
from envs.hosts.iproute import Link
from envs.hosts.transport import Result, files_read, printed
from envs.hosts.unexpected import decoded, unexpected

COMM = 15
"""The length of a thread's name on kernels before 5.17; later ones show it whole."""

_VIFS = """
for path in /sys/bus/xen-backend/devices/vif-*/net/*; do
  [ -e "$path" ] || continue
  printf "%s\\n" "$path"
  id=${path%/net/*}
  id=${id##*/vif-}
  set -- "$@" "/local/domain/0/backend/vif/${id%-*}/${id#*-}/mac"
done
[ $# = 0 ] || xenstore-read -p "$@" || for key; do xenstore-read -p "$key"; done
true
"""
VIFS: Command = ("sh", "-c", _VIFS)
"""Prints a path with domain, device and interface for each vif that dom0 serves, then MACs."""

_THREADS = """
for comm in /proc/[0-9]*/comm; do
  read -r name <"$comm" || continue
  case $name in *-q[0-9]*) set -- "$@" "$comm" "${comm%comm}status" ;; esac
done 2>/dev/null
[ $# != 0 ] && exec grep -sHZ "" -- "$@"
"""
THREADS: Command = ("sh", "-c", _THREADS)
"""Prints name and status of every process that might be a thread of netback."""

_IRQS = 'grep -sHZ "" /sys/kernel/irq/[0-9]*/actions /proc/irq/[0-9]*/smp_affinity_list'
IRQS: Command = ("sh", "-c", _IRQS)
"""Prints name and affinity of every interrupt."""

_PIN_THREAD = """
read -r name <"/proc/$1/comm" && [ "$name" = "$2" ] && exec taskset -p -c "$3" "$1"
"""
_PIN_IRQ = """
read -r name <"/sys/kernel/irq/$1/actions" && [ "$name" = "$2" ] &&
  printf "%s\\n" "$3" >"/proc/irq/$1/smp_affinity_list"
"""

QDISCS: Command = ("tc", "-s", "-j", "qdisc", "show")

LINKS: Command = ("ip", "-j", "-d", "link", "show")

MAX_QUEUES = 64
"""More queues than any vif has: netback makes one for each of dom0's VCPUs, at most."""

_KTHREADD = "2"
"""The parent of every kernel thread, and of nothing else."""

_OF_THREAD = re.compile(r"/proc/(?P<pid>[0-9]{1,10})/(?P<file>comm|status)")
_OF_IRQ = re.compile(
    r"/sys/kernel/irq/(?P<actions>[0-9]{1,9})/actions|/proc/irq/[0-9]{1,9}/smp_affinity_list"
)
_PATH = re.compile(r"/sys/bus/xen-backend/devices/vif-([0-9]{1,9})-([0-9]{1,9})/net/([^/]+)")
_ADDRESS = re.compile(
    r"/local/domain/0/backend/vif/([0-9]+)/([0-9]+)/mac: ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})"
)
_OF_VIF = "/local/domain/0/backend/vif/"
"""What a line about a vif begins with that has no address, or none of Ethernet."""
_IRQ = re.compile(r"(?:-q(\d+))?(?:-(?:tx|rx))?")


class Vif(Record, frozen=True):
    """A vif: the domain and device number it belongs to, its interface, and the guest's MAC."""

    domid: int
    device: int
    name: str
    mac: str = ""


class Feed(Record, frozen=True):
    """A thread or an interrupt of the driver domain that moves packets.

    ``number`` is its pid or its interrupt's, ``cores`` the list of dom0's VCPUs it may run on, as
    the kernel prints it: dom0's kernel takes its VCPUs for cores.
    """

    thread: bool
    number: int
    name: str
    cores: str


class Queue(Record, frozen=True):
    """The queue of an interface: the kinds of qdisc it is made of, and the packets dropped."""

    kinds: frozenset[str] = frozenset()
    drops: int = 0

    @property
    def obeys(self) -> bool:
        """Whether the interface's ``txqueuelen`` is its limit, also when that changes.

        A pfifo takes the length it finds when it is made, others have limits of their own.
        """
        return self.kinds == {"pfifo_fast"}


class _Qdisc(msgspec.Struct, frozen=True):
    kind: str
    dev: str
    root: bool = False
    drops: int = 0


def vifs(listed: str) -> tuple[Vif, ...]:
    """The vifs that dom0 serves, by domain and device, out of ``VIFS``."""
    macs, found = {}, []
    for line in filter(None, listed.split("\n")):
        if address := _ADDRESS.fullmatch(line):
            macs[address.group(1, 2)] = address[3].lower()
        elif path := _PATH.fullmatch(line):
            found.append(path)
        elif not line.startswith(_OF_VIF):
            raise unexpected("the question for vifs", line)
    vifs = (
        Vif(domid=int(p[1]), device=int(p[2]), name=p[3], mac=macs.get(p.group(1, 2), ""))
        for p in found
    )
    return tuple(sorted(vifs, key=lambda vif: (vif.domid, vif.device)))


def links(answer: Result) -> Mapping[str, Link]:
    """All interfaces of dom0, out of ``LINKS``."""
    return iproute.links(printed(answer))


def threads(answer: Result) -> tuple[Feed, ...]:
    """Kernel threads out of ``THREADS``; a process that only bears such a name is none."""
    texts = files_read(answer)
    found = []
    for path, status in texts.items():
        known = _OF_THREAD.fullmatch(path)
        if known is None:
            raise unexpected("grep", path)
        if known["file"] == "comm":
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        name = texts.get(path.removesuffix("status") + "comm", "").removesuffix("\n")
        cores = fields.get("Cpus_allowed_list", "")
        if name and linux.core_list(cores, path) and fields.get("PPid") == _KTHREADD:
            found.append(Feed(thread=True, number=int(known["pid"]), name=name, cores=cores))
    return tuple(found)


def irqs(answer: Result) -> tuple[Feed, ...]:
    """The interrupts out of ``IRQS`` that one handler has to itself."""
    texts = files_read(answer)
    found = []
    for path, text in texts.items():
        known = _OF_IRQ.fullmatch(path)
        if known is None:
            raise unexpected("grep", path)
        if known["actions"] is None:
            continue
        cores = texts.get(f"/proc/irq/{known['actions']}/smp_affinity_list", "").strip()
        name = text.removesuffix("\n")
        if name and linux.core_list(cores, path):
            number = int(known["actions"])
            found.append(Feed(thread=False, number=number, name=name, cores=cores))
    names = [feed.name for feed in found]
    return tuple(feed for feed in found if names.count(feed.name) == 1)


def feeds_of(vif: Vif, every: Iterable[Feed]) -> Iterator[tuple[int, str, Feed]]:
    """A vif's threads and interrupts: the queue, what is special in the name, and the feed.

    They bear the name that the interface had when the guest connected: that of today, or the
    ``vifD.N`` that it was made with.
    """
    stems = (vif.name, f"vif{vif.domid}.{vif.device}")
    for feed in every:
        for stem in dict.fromkeys(stems):
            rest = _rest(stem, feed)
            if rest is not None:
                yield *rest, feed
                break


def pin(feed: Feed, cores: str) -> Command:
    """Let a feed run on a list of dom0's VCPUs, if its number is still its own."""
    script = _PIN_THREAD if feed.thread else _PIN_IRQ
    return ("sh", "-c", script, "sh", str(feed.number), feed.name, cores)


def queues(answer: Result) -> Mapping[str, Queue]:
    """The queue of each interface, out of ``QDISCS``; of several, one for each of mq's."""
    shown = decoded("tc qdisc", printed(answer), list[_Qdisc])
    found: dict[str, Queue] = {}
    for qdisc in shown:
        if qdisc.kind in ("ingress", "clsact"):
            continue
        known = found.get(qdisc.dev, Queue())
        kinds = known.kinds if qdisc.kind == "mq" else {*known.kinds, qdisc.kind}
        drops = qdisc.drops if qdisc.root else known.drops
        found[qdisc.dev] = Queue(kinds=frozenset(kinds), drops=drops)
    return found


def _rest(stem: str, feed: Feed) -> tuple[int, str] | None:
    """Queue and kind out of a name that begins with ``stem``, None where it is of another."""
    if not feed.thread:
        match = _IRQ.fullmatch(feed.name.removeprefix(stem))
        if feed.name.startswith(stem) and match:
            return int(match[1] or 0), feed.name.removeprefix(stem).removeprefix("-") or "irq"
        return None
    for queue in range(MAX_QUEUES):
        for kind in ("guest-rx", "dealloc"):
            whole = f"{stem}-q{queue}-{kind}"
            if feed.name in (whole, whole[:COMM]):
                return queue, f"q{queue}-{kind}"
    return None
