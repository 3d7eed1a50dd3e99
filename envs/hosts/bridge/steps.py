"""The commands from one state of a bridge to another.

The classifier is u32, which every kernel with ``tc`` has; flower and matchall are not everywhere.
Sources: bridge(8), ip-link(8), tc-u32(8).
"""

from collections.abc import Iterator, Sequence

import msgspec

from envs.hosts.bridge.state import PREFERENCES, BridgeState, Plug, PortFlags
from envs.hosts.bridge.watch import start, stop
from envs.hosts.change import Command
from envs.hosts.iproute import Redirect
from envs.hosts.transport import write_file

_UNFILTER = r"""
tc filter show dev "$1" ingress 2>/dev/null |
    sed -n 's/.*protocol all pref \([0-9]*\) u32.*/\1/p' | sort -u | while read -r pref; do
        if [ "$pref" -ge "$2" ] && [ "$pref" -le "$3" ]; then
            tc filter del dev "$1" ingress pref "$pref" protocol all u32
        fi
    done
"""
_UNHOOK = 'test -n "$(tc filter show dev "$1" ingress)" || tc qdisc del dev "$1" ingress'


def commands(bridge: str, before: BridgeState, after: BridgeState) -> tuple[Command, ...]:
    """The commands from one state to another; none where there is nothing to do.

    At no moment is an address relied on that is not pinned and watched. Ports that are gone
    ``before`` are passed over.
    """
    pinned = [e for e in after.static if e not in before.static and e[1] in before.ports]
    freed = [entry for entry in before.static if entry not in after.static]
    rewatched = after.watch != before.watch
    return (
        *_static("replace", pinned),
        *((stop(bridge),) if before.watch and after.watch and rewatched else ()),
        *((start(bridge, after.watch),) if after.watch and rewatched else ()),
        *_flags(bridge, before, after),
        *_filters(before, after),
        *((stop(bridge),) if before.watch and not after.watch else ()),
        *_static("del", freed),
    )


def restoring(bridge: str, then: BridgeState, plugs: Sequence[Plug]) -> tuple[Command, ...]:
    """The commands that put a bridge back as it was ``then``, whatever mode it is in by now.

    Each of them is harmless where its subject is gone, or as it should be already.
    """
    pinned = {(plug.mac, plug.port) for plug in plugs} - set(then.static)
    ports = sorted({*then.ports, *(plug.port for plug in plugs)})
    opposite = {
        port: PortFlags(learning=not flags.learning, flood=not flags.flood)
        for port, flags in then.ports.items()
    }
    return (
        *_static("replace", then.static),
        *_flags(bridge, BridgeState(ports=opposite), then),
        *map(_unfilter, ports),
        stop(bridge),
        *((start(bridge, then.watch),) if then.watch else ()),
        *_filters(msgspec.structs.replace(then, redirects=()), then),
        *(_unhook(port) for port in ports if port not in then.ingress),
        *_static("del", sorted(pinned)),
    )


def _flags(bridge: str, before: BridgeState, after: BridgeState) -> Iterator[Command]:
    for port, flags in after.ports.items():
        if port in before.ports and flags != before.ports[port]:
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
    wanted = [r for r in after.redirects if {r.port, r.to} <= before.ports.keys()]
    for port in sorted({r.port for r in (*before.redirects, *wanted)}):
        old = [r for r in before.redirects if r.port == port]
        new = [r for r in wanted if r.port == port]
        if old == new:
            continue
        if old:
            yield _unfilter(port)
        if new and port not in before.ingress:
            yield ("tc", "qdisc", "add", "dev", port, "ingress")
        yield from map(_filter, new)
    for port in before.ingress:
        if port not in after.ingress:
            yield _unhook(port)


def _unfilter(port: str) -> Command:
    """Take all our redirects from a port."""
    return ("sh", "-c", _UNFILTER, "sh", port, str(PREFERENCES[0]), str(PREFERENCES[-1]))


def _unhook(port: str) -> Command:
    """Take an ingress hook away, unless somebody has put a filter there since."""
    return ("sh", "-c", _UNHOOK, "sh", port)


def _filter(redirect: Redirect) -> Command:
    """The redirect as u32 sees it: the Ethernet header lies 14 bytes before the offset 0."""
    target, source = (mac.replace(":", "") for mac in (redirect.target, redirect.source))
    words = (
        *("match", "u16", f"0x{target[:4]}", "0xffff", "at", "-14"),
        *("match", "u32", f"0x{target[4:]}", "0xffffffff", "at", "-12"),
        *("match", "u32", f"0x{source[:8]}", "0xffffffff", "at", "-8"),
        *("match", "u16", f"0x{source[8:]}", "0xffff", "at", "-4"),
    )
    where = ("dev", redirect.port, "ingress", "protocol", "all", "pref")
    action = ("action", "mirred", "egress", "redirect", "dev", redirect.to)
    return ("tc", "filter", "add", *where, str(redirect.preference), "u32", *words, *action)


def _static(verb: str, entries: Sequence[tuple[str, str]]) -> Iterator[Command]:
    for mac, port in entries:
        command = ("bridge", "fdb", verb, mac, "dev", port, "master")
        yield (*command, "static") if verb == "replace" else command


def _on(flag: bool) -> str:
    return "on" if flag else "off"
