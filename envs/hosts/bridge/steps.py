"""The commands from one state of a bridge to another.

The classifier is u32, which every kernel with ``tc`` has; flower and matchall are not everywhere.
Sources: bridge(8), ip-link(8), tc-u32(8).
"""

from collections.abc import Iterator, Sequence

import msgspec

from envs.hosts.bridge.state import PRIORITY, BridgeState, Plug
from envs.hosts.change import Command
from envs.hosts.iproute import Redirect
from envs.hosts.transport import write_file

_UNHOOK = 'test -n "$(tc filter show dev "$1" ingress)" || tc qdisc del dev "$1" ingress'


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


def restoring(bridge: str, then: BridgeState, plugs: Sequence[Plug]) -> tuple[Command, ...]:
    """The commands that put a bridge back as it was ``then``, whatever mode it is in by now.

    Each of them is harmless where its subject is gone, or as it should be already.
    """
    ours = {(plug.mac, plug.port) for plug in plugs} - set(then.static)
    ports = sorted({*then.ports, *(plug.port for plug in plugs)})
    bare = msgspec.structs.replace(then, redirects=())
    return (
        *_static("replace", then.static),
        *_flags(bridge, BridgeState(), then),
        *(_unfilter(port) for port in ports),
        *_filters(bare, then),
        *(_unhook(port) for port in ports if port not in then.ingress),
        *_static("del", sorted(ours)),
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
            yield _unfilter(port)
        if port in after.ingress and port not in before.ingress:
            yield ("tc", "qdisc", "add", "dev", port, "ingress")
        for redirect in new:
            yield _filter(redirect)
    for port in before.ingress:
        if port not in after.ingress:
            yield _unhook(port)


def _unfilter(port: str) -> Command:
    pref = ("pref", str(PRIORITY), "protocol", "all", "u32")
    return ("tc", "filter", "del", "dev", port, "ingress", *pref)


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
    where = ("dev", redirect.port, "ingress", "protocol", "all", "pref", str(PRIORITY))
    action = ("action", "mirred", "egress", "redirect", "dev", redirect.to)
    return ("tc", "filter", "add", *where, "u32", *words, *action)


def _static(verb: str, entries: Sequence[tuple[str, str]]) -> Iterator[Command]:
    for mac, port in entries:
        command = ("bridge", "fdb", verb, mac, "dev", port, "master")
        yield (*command, "static") if verb == "replace" else command


def _on(flag: bool) -> str:
    return "on" if flag else "off"
