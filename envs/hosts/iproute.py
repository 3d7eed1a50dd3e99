"""What ``ip``, ``bridge`` and ``tc`` print as JSON, read into plain values.

They print ``[]`` where they have nothing to list (seen with iproute2 6.1). So nothing at all is no
answer: taken for an empty list, it would hide what is there.

Sources: ip-link(8), bridge(8), tc-u32(8).
"""

import json
from collections.abc import Container, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from envs.errors import HostError
from envs.host import Record
from envs.hosts.unexpected import decoded, unexpected

T = TypeVar("T")

Mac = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")]
"""An Ethernet address, in text that should hold one."""

QueueLength = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**32)]
"""A TX queue length, in a file that should hold one; ip prints the largest as -1."""


class Redirect(Record, frozen=True):
    """Frames that enter ``port`` from ``source`` to ``target`` leave by ``to`` at once.

    ``preference`` is tc's, lower ones first; ``to`` is ``*`` where that interface is gone.
    """

    port: str
    source: Mac
    target: Mac
    to: str
    preference: Annotated[int, msgspec.Meta(ge=1, lt=2**16)]


class Filters(Record, frozen=True):
    """The ingress filters of a port: the redirects that are ours, and how many are not."""

    redirects: tuple[Redirect, ...] = ()
    others: int = 0


class _PortData(msgspec.Struct, frozen=True):
    state: str = ""
    learning: bool = True
    flood: bool = True
    isolated: bool = False
    locked: bool = False


class _Info(msgspec.Struct, frozen=True):
    info_kind: str = ""
    info_data: dict[str, Any] = {}
    info_slave_data: _PortData = _PortData()


class Link(msgspec.Struct, frozen=True):
    """An interface as ``ip -j -d link`` shows it.

    ``master`` is the bridge or bond it belongs to, ``link`` the interface it sits on (a VLAN
    interface) or its other end (veth), ``xdp`` the program that sees its frames first.
    """

    ifname: str
    txqlen: QueueLength = 0
    master: str = ""
    link: str = ""
    xdp: dict[str, Any] = {}
    linkinfo: _Info = _Info()


class Entry(msgspec.Struct, frozen=True):
    """An address that a bridge knows, as ``bridge -j fdb`` shows it; ``state`` is empty if learned.

    ``flags`` hold ``self`` where it is not the bridge's entry but one of the interface itself.
    """

    mac: Mac
    ifname: str = ""
    state: str = ""
    flags: list[str] = []


class _Multicast(msgspec.Struct, frozen=True):
    router: dict[str, Any] = {}


class _Qdisc(msgspec.Struct, frozen=True):
    kind: str
    dev: str = ""


def links(shown: str) -> Mapping[str, Link]:
    """The interfaces that ``ip -j -d link show`` printed."""
    return {link.ifname: link for link in _listed("ip link", shown, list[Link])}


def with_ingress(shown: str) -> tuple[str, ...]:
    """The interfaces with a hook for ingress filters, out of ``tc -j qdisc show``."""
    found = _listed("tc qdisc", shown, list[_Qdisc])
    return tuple(sorted({q.dev for q in found if q.kind in ("ingress", "clsact")}))


def entries(shown: str) -> tuple[Entry, ...]:
    """The forwarding table of a bridge, out of ``bridge -j fdb show br NAME``."""
    found = _listed("bridge fdb", shown, list[Entry])
    return tuple(entry for entry in found if "self" not in entry.flags)


def has_multicast_router(shown: str) -> bool:
    """Whether a bridge knows a multicast router, out of ``bridge -j -d mdb show dev NAME``."""
    return any(found.router for found in _listed("bridge mdb", shown, list[_Multicast]))


def filters(port: str, shown: str, preferences: Container[int]) -> Filters:
    """The filters of a port, out of ``tc -j filter show dev PORT ingress``.

    Ours are redirects of known form at one of our preferences. u32 repeats the key ``match`` for
    each word it compares, so the objects are read as pairs. Raises HostError for what is no JSON.
    """
    ours, others = [], 0
    for entry in _pairs(shown):
        options = entry.first("options")
        if not isinstance(options, _Pairs) or options.first("ht_divisor") is not None:
            continue  # the head of a list or table, not a filter
        redirect = _redirect(port, entry.first("pref"), options)
        if redirect is not None and redirect.preference in preferences:
            ours.append(redirect)
        else:
            others += 1
    return Filters(redirects=tuple(ours), others=others)


def _redirect(port: str, preference: int, options: "_Pairs") -> Redirect | None:
    """The redirect that the options of a filter make, None if they make anything else."""
    actions = options.first("actions")
    try:
        (action,) = actions
        source, target = _addresses(options.all("match"))
        does = [action.first(key) for key in ("kind", "mirred_action", "direction")]
        to = action.first("to_dev")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    if does != ["mirred", "redirect", "egress"] or not isinstance(to, str):
        return None
    return Redirect(port=port, source=source, target=target, to=to, preference=preference)


def _pairs(shown: str) -> "list[_Pairs]":
    try:
        found = json.loads(_some("tc filter", shown), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise unexpected("tc filter", str(error)) from error
    if isinstance(found, _Pairs) or not isinstance(found, list):
        raise unexpected("tc filter", shown)
    for entry in found:
        if not isinstance(entry, _Pairs):
            raise unexpected("tc filter", repr(entry))
    return found


def _addresses(words: "list[_Pairs]") -> tuple[str, str]:
    """Source and target address out of the four words that a redirect compares."""
    value = {(w.first("off"), w.first("mask")): int(w.first("value"), 16) for w in words}
    if len(value) != 4:
        raise ValueError("not the words of a redirect")
    target = value[-16, "ffff"] << 32 | value[-12, "ffffffff"]
    source = value[-8, "ffffffff"] << 16 | value[-4, "ffff0000"] >> 16
    return _mac(source), _mac(target)


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object that keeps repeated keys."""

    def all(self, key: str) -> list[Any]:
        return [value for name, value in self if name == key]

    def first(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return next(iter(self.all(key)), None)


def _listed(command: str, shown: str, kind: type[T]) -> T:
    return decoded(command, _some(command, shown), kind)


def _some(command: str, shown: str) -> str:
    if not shown.strip():
        raise HostError(f"{command} succeeded but printed nothing, not even an empty list")
    return shown
