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

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from envs.errors import HostError
from envs.host import BridgeMode, Record
from envs.hosts.change import Command
from envs.hosts.iproute import Link, Redirect
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


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def _order(redirect: Redirect) -> tuple[str, str, str, str]:
    return (redirect.port, redirect.source, redirect.target, redirect.to)
