"""A Linux bridge and its ports: read as one value, and the commands from one value to another.

Three modes. ``stock`` is the bridge as found. ``lean`` makes it do less for every frame: no calls
into netfilter, no multicast snooping, and the ports of guests, whose addresses are known, neither
learn nor are flooded. ``direct`` leaves the bridge as it is and redirects frames between known
addresses from port to port before the bridge sees them; all else (ARP, broadcast, strangers)
goes through the bridge. A redirect takes only frames that come from the port's own address, so
it cannot carry what the bridge would not have learned.

The classifier is u32, which every kernel with ``tc`` has; flower and matchall are not everywhere.
Sources: bridge(8), ip-link(8), tc-u32(8), ``Documentation/networking/bridge.rst``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from envs.errors import HostError
from envs.host import BridgeMode, Record
from envs.hosts.change import Command
from envs.hosts.transport import write_file

PRIORITY = 7200
"""The tc priority that marks a redirect as ours; no other filter is ever touched."""

NETFILTER = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{t}tables" for t in ("ip", "ip6", "arp"))
"""Each network namespace's switches of bridge netfilter: either they or the bridge's own call."""

_OPTIONS = ("mcast_snooping", "nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables")


class Plug(Record, frozen=True):
    """A port of the bridge and the address behind it. ``guest`` tells a vif from the uplink."""

    port: str
    mac: str
    guest: bool = True


class PortFlags(Record, frozen=True):
    """Whether a port learns addresses, and whether frames to unknown ones are sent to it."""

    learning: bool
    flood: bool


class Redirect(Record, frozen=True):
    """Frames that enter ``port`` from ``source`` to ``target`` leave by ``to`` at once."""

    port: str
    source: str
    target: str
    to: str


class BridgeState(Record, frozen=True):
    """All of a bridge that a mode may change.

    ``options`` are the bridge's own, ``netfilter`` the values of the ``NETFILTER`` files that
    exist, ``static`` the (address, port) pairs set by hand, ``ingress`` the ports that have an
    ingress hook for filters.
    """

    options: Mapping[str, int]
    netfilter: Mapping[str, str]
    ports: Mapping[str, PortFlags]
    static: tuple[tuple[str, str], ...] = ()
    ingress: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()


class _PortData(msgspec.Struct, frozen=True):
    state: str = ""
    learning: bool = True
    flood: bool = True
    isolated: bool = False
    locked: bool = False


class _Info(msgspec.Struct, frozen=True):
    info_data: dict[str, Any] = {}
    info_slave_data: _PortData = _PortData()


class Link(msgspec.Struct, frozen=True):
    """An interface as ``ip -j -d link`` shows it: name, TX queue length, bridge it belongs to."""

    ifname: str
    txqlen: int = 0
    master: str = ""
    linkinfo: _Info = _Info()


class _Fdb(msgspec.Struct, frozen=True):
    mac: str
    ifname: str = ""
    state: str = ""


class _Qdisc(msgspec.Struct, frozen=True):
    kind: str
    dev: str = ""


def links(shown: str) -> Mapping[str, Link]:
    """The interfaces that ``ip -j -d link show`` printed."""
    return {link.ifname: link for link in _decode(shown, list[Link])}


def with_ingress(shown: str) -> tuple[str, ...]:
    """The interfaces with a hook for ingress filters, out of ``tc -j qdisc show``."""
    found = _decode(shown or "[]", list[_Qdisc])
    return tuple(sorted({q.dev for q in found if q.kind in ("ingress", "clsact")}))


def static_entries(shown: str) -> tuple[tuple[str, str], ...]:
    """The addresses set by hand, out of ``bridge -j fdb show br NAME``."""
    found = _decode(shown or "[]", list[_Fdb])
    return tuple(sorted({(e.mac, e.ifname) for e in found if e.state == "static"}))


def redirects(port: str, shown: str) -> tuple[Redirect, ...]:
    """Our redirects, out of ``tc -j filter show dev PORT ingress``.

    u32 repeats the key ``match`` for each word it compares, so the objects are read as pairs.
    """
    found = []
    for entry in json.loads(shown or "[]", object_pairs_hook=_Pairs):
        options = entry.first("options")
        if entry.first("pref") != PRIORITY or not isinstance(options, _Pairs):
            continue
        words = options.all("match")
        if not words:
            continue
        actions = options.first("actions")
        try:
            source, target = _addresses(words)
            to = actions[0].first("to_dev")
        except (KeyError, TypeError, ValueError):
            raise HostError(
                f"a filter at priority {PRIORITY} on {port!r} is not ours: remove it first"
            ) from None
        found.append(Redirect(port=port, source=source, target=target, to=str(to)))
    return tuple(sorted(found, key=_order))


def state(
    bridge: str,
    shown: Mapping[str, Link],
    netfilter: Mapping[str, str],
    static: Sequence[tuple[str, str]],
    hooked: Sequence[str],
    found: Sequence[Redirect],
) -> BridgeState:
    """The state of a bridge out of what the readers above gave."""
    if bridge not in shown:
        raise HostError(f"the bridge {bridge!r} is gone")
    data = shown[bridge].linkinfo.info_data
    ports = {n: link.linkinfo.info_slave_data for n, link in shown.items() if link.master == bridge}
    return BridgeState(
        options={name: int(data[name]) for name in _OPTIONS if name in data},
        netfilter={path: text.strip() for path, text in netfilter.items()},
        ports={n: PortFlags(learning=p.learning, flood=p.flood) for n, p in sorted(ports.items())},
        static=tuple(entry for entry in static if entry[1] in ports),
        ingress=tuple(sorted(set(hooked) & set(ports))),
        redirects=tuple(sorted(found, key=_order)),
    )


def obstacles(bridge: str, shown: Mapping[str, Link]) -> Iterator[str]:
    """Why ``lean`` and ``direct`` would let frames past a rule of this bridge, if they would."""
    if shown[bridge].linkinfo.info_data.get("vlan_filtering"):
        yield f"{bridge} filters VLANs"
    for name, link in shown.items():
        if link.master == bridge:
            port = link.linkinfo.info_slave_data
            if port.isolated or port.locked:
                yield f"port {name} is isolated or locked"
            elif port.state != "forwarding":
                yield f"port {name} is not forwarding"


def lean(stock: BridgeState, plugs: Sequence[Plug]) -> BridgeState:
    """The stock bridge made to do less: see the module."""
    guests = [plug for plug in plugs if plug.guest]
    quiet = {plug.port: PortFlags(learning=False, flood=False) for plug in guests}
    known = {(plug.mac, plug.port) for plug in guests}
    return msgspec.structs.replace(
        stock,
        options=dict.fromkeys(stock.options, 0),
        netfilter=dict.fromkeys(stock.netfilter, "0"),
        ports={**stock.ports, **quiet},
        static=tuple(sorted(known | set(stock.static))),
    )


def direct(stock: BridgeState, plugs: Sequence[Plug]) -> BridgeState:
    """The stock bridge with a redirect from every port's own address to every other port's."""
    found = [
        Redirect(port=here.port, source=here.mac, target=there.mac, to=there.port)
        for here in plugs
        for there in plugs
        if here.port != there.port
    ]
    return msgspec.structs.replace(
        stock,
        ingress=tuple(sorted({*stock.ingress, *(plug.port for plug in plugs)})),
        redirects=tuple(sorted(found, key=_order)),
    )


def in_mode(mode: BridgeMode, stock: BridgeState, plugs: Sequence[Plug]) -> BridgeState:
    """What the bridge that was found as ``stock`` is in a mode."""
    if mode == "lean":
        return lean(stock, plugs)
    return direct(stock, plugs) if mode == "direct" else stock


def commands(bridge: str, before: BridgeState, after: BridgeState) -> tuple[Command, ...]:
    """The commands from one state to another, in an order that never leaves a guest unreachable.

    Known addresses are set before ports stop learning and taken away after they learn again.
    """
    return (
        *_static("replace", sorted(set(after.static) - set(before.static))),
        *_flags(bridge, before, after),
        *_filters(before, after),
        *_static("del", sorted(set(before.static) - set(after.static))),
    )


def _flags(bridge: str, before: BridgeState, after: BridgeState) -> Iterator[Command]:
    for port, flags in after.ports.items():
        if flags != before.ports.get(port):
            switches = ("learning", _on(flags.learning), "flood", _on(flags.flood))
            yield ("ip", "link", "set", "dev", port, "type", "bridge_slave", *switches)
    changed = [(n, str(v)) for n, v in after.options.items() if v != before.options.get(n)]
    if changed:
        words = [word for pair in changed for word in pair]
        yield ("ip", "link", "set", "dev", bridge, "type", "bridge", *words)
    for path, value in after.netfilter.items():
        if value != before.netfilter.get(path):
            yield write_file(path, value)


def _filters(before: BridgeState, after: BridgeState) -> Iterator[Command]:
    for port in sorted({r.port for r in (*before.redirects, *after.redirects)}):
        old = [r for r in before.redirects if r.port == port]
        new = [r for r in after.redirects if r.port == port]
        if old == new:
            continue
        if old:
            pref = ("pref", str(PRIORITY), "protocol", "all", "u32")
            yield ("tc", "filter", "del", "dev", port, "ingress", *pref)
        if port in after.ingress and port not in before.ingress:
            yield ("tc", "qdisc", "add", "dev", port, "ingress")
        for redirect in new:
            yield _filter(redirect)
    for port in before.ingress:
        if port not in after.ingress:
            yield ("tc", "qdisc", "del", "dev", port, "ingress")


def _filter(redirect: Redirect) -> Command:
    """The redirect as u32 sees it: the Ethernet header lies 14 bytes before the offset 0."""
    target, source = (mac.replace(":", "") for mac in (redirect.target, redirect.source))
    words = (
        *("match", "u16", f"0x{target[:4]}", "0xffff", "at", "-14"),
        *("match", "u32", f"0x{target[4:]}", "0xffffffff", "at", "-12"),
        *("match", "u32", f"0x{source[:8]}", "0xffffffff", "at", "-8"),
        *("match", "u16", f"0x{source[8:]}", "0xffff", "at", "-4"),
    )
    where = ("dev", redirect.port, "ingress", "protocol", "all", "pref", str(PRIORITY))
    action = ("action", "mirred", "egress", "redirect", "dev", redirect.to)
    return ("tc", "filter", "add", *where, "u32", *words, *action)


def _static(verb: str, entries: Sequence[tuple[str, str]]) -> Iterator[Command]:
    for mac, port in entries:
        command = ("bridge", "fdb", verb, mac, "dev", port, "master")
        yield (*command, "static") if verb == "replace" else command


def _addresses(words: "list[_Pairs]") -> tuple[str, str]:
    """Source and target address out of the four words that ``_filter`` compares."""
    value = {(w.first("off"), w.first("mask")): int(w.first("value"), 16) for w in words}
    if len(value) != 4:
        raise ValueError("not the words of a redirect")
    target = value[-16, "ffff"] << 32 | value[-12, "ffffffff"]
    source = value[-8, "ffffffff"] << 16 | value[-4, "ffff0000"] >> 16
    return _mac(source), _mac(target)


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def _order(redirect: Redirect) -> tuple[str, str, str, str]:
    return (redirect.port, redirect.source, redirect.target, redirect.to)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object that keeps repeated keys."""

    def all(self, key: str) -> list[Any]:
        return [value for name, value in self if name == key]

    def first(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return next(iter(self.all(key)), None)


def _decode(text: str, kind: type[Any]) -> Any:  # noqa: ANN401 - typed by its callers
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise HostError(f"ip, bridge or tc printed something unexpected: {error}") from error
