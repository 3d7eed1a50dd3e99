"""A bridge as it is: questions to the host, and a pure reading of the answers.

The questions are commands that change nothing and do not need each other's answers, so a backend
sends them in one round trip together with its own.
Sources: ip-link(8), bridge(8), tc(8), ``Documentation/networking/bridge.rst``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from envs.errors import HostError
from envs.host import Record
from envs.hosts import iproute
from envs.hosts.bridge import connection, filters, watch
from envs.hosts.bridge.state import (
    NETFILTER,
    NO_OTHERS,
    OPTIONS,
    PREFERENCES,
    BridgeState,
    Others,
    PortFlags,
    in_order,
)
from envs.hosts.change import Command
from envs.hosts.iproute import Entry, Link
from envs.hosts.transport import Result, files_read, printed, reading
from envs.hosts.unexpected import natural, unexpected

_FILTERS = """
ip -o link show master "$1" | while IFS=" :" read -r _ port _; do
  shown=$(tc -j filter show dev "$port" ingress 2>/dev/null) || {
    port=${port%@*}
    shown=$(tc -j filter show dev "$port" ingress 2>/dev/null) || continue
  }
  printf "%s %s\\n" "$port" "$shown"
done
"""
"""Prints each port of the bridge ``$1`` with its ingress filters, a line for each.

A name holds no blank and no colon, but ``ip`` prints ``name@link`` where there is a link, and a
name may hold an ``@`` as well: the whole is tried first. A port without an answer is noticed.
"""


class BridgeFound(Record, frozen=True):
    """A bridge as found.

    ``links`` are all interfaces of its network namespace. ``others`` is what a mode must leave as
    it is. ``obstacles`` are the reasons why no mode but stock can be set, none where it can.
    ``ours`` are the interfaces that carry our own connection to the host: never to be changed.
    """

    state: BridgeState
    links: Mapping[str, Link]
    others: Others = NO_OTHERS
    obstacles: tuple[str, ...] = ()
    ours: frozenset[str] = frozenset()


def questions(bridge: str) -> tuple[Command, ...]:
    """What must be asked of the host to know a bridge; each answer stands by itself."""
    return (
        ("ip", "-j", "-d", "link", "show"),
        ("bridge", "-j", "fdb", "show", "br", bridge),
        ("bridge", "-j", "-d", "mdb", "show", "dev", bridge),
        ("tc", "-j", "qdisc", "show"),
        ("sh", "-c", _FILTERS, "sh", bridge),
        reading(NETFILTER),
        watch.question(bridge),
        *connection.questions(),
        *filters.questions(bridge),
    )


def found(bridge: str, answers: Sequence[Result], *, bypass_filters: bool = False) -> BridgeFound:
    """The bridge out of the answers to its questions, in their order.

    ``bypass_filters``: the operator says that filters, VLANs and isolation are no obstacle.
    Raises HostError where the bridge is gone, CommandFailed where a question that must be answered
    was not.
    """
    link, fdb, mdb, qdisc, filtered, netfilter, watcher, route, neighbours, nft, saved = answers
    links = iproute.links(printed(link))
    if bridge not in links:
        raise HostError(f"the bridge {bridge!r} is gone")
    kind = links[bridge].linkinfo.info_kind
    if kind != "bridge":
        ours = connection.carriers(route.out, neighbours.out, links, ())
        reason = f"{bridge} is no Linux bridge ({kind or 'unknown kind'}) and is left as it is"
        return BridgeFound(state=BridgeState(), links=links, obstacles=(reason,), ours=ours)
    table = iproute.entries(printed(fdb))
    ports = {n: link for n, link in links.items() if link.master == bridge}
    shown = dict(line.split(" ", 1) for line in filtered.out.splitlines() if " " in line)
    on_ports = {n: iproute.filters(n, shown[n], PREFERENCES) for n in ports if n in shown}
    hooked = set(iproute.with_ingress(printed(qdisc)))
    ours = connection.carriers(route.out, neighbours.out, links, table)
    rules = (
        *_rules(bridge, links, ports),
        *(f"port {n} has tc filters of others" for n, f in on_ports.items() if f.others),
        *filters.reasons(nft, saved, ports),
    )
    return BridgeFound(
        state=BridgeState(
            options=_options(links[bridge]),
            netfilter=_switches(files_read(netfilter)),
            ports={n: _flags(link) for n, link in sorted(ports.items())},
            static=tuple(sorted({(e.mac, e.ifname) for e in table if e.state == "static"})),
            ingress=tuple(sorted(hooked & ports.keys())),
            redirects=tuple(
                sorted((r for f in on_ports.values() for r in f.redirects), key=in_order)
            ),
            watch=watch.watched(bridge, watcher.out),
        ),
        links=links,
        others=Others(
            multicast=_queried(links[bridge]) or iproute.has_multicast_router(printed(mdb)),
            bridges=sum(link.linkinfo.info_kind == "bridge" for link in links.values()) > 1,
            tagged=tuple(sorted(ports.keys() & _below_vlans(links))),
            still=tuple(sorted(n for n, link in ports.items() if not _forwards(link))),
            learned={n: _learned(n, table) for n in sorted(ports)},
        ),
        obstacles=(
            *_always(bridge, ports, on_ports.keys(), ours),
            *(() if bypass_filters else rules),
        ),
        ours=ours,
    )


def _options(bridge: Link) -> Mapping[str, int]:
    data = bridge.linkinfo.info_data
    return {name: natural("ip link", str(data[name])) for name in OPTIONS if name in data}


def _switches(texts: Mapping[str, str]) -> Mapping[str, str]:
    for path in texts:
        if path not in NETFILTER:
            raise unexpected("grep", path)
    return {path: str(natural(path, text.strip())) for path, text in texts.items()}


def _flags(port: Link) -> PortFlags:
    data = port.linkinfo.info_slave_data
    return PortFlags(learning=data.learning, flood=data.flood)


def _queried(bridge: Link) -> bool:
    return bool(bridge.linkinfo.info_data.get("mcast_querier"))


def _forwards(port: Link) -> bool:
    return port.linkinfo.info_slave_data.state == "forwarding"


def _learned(port: str, table: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(sorted({e.mac for e in table if e.ifname == port and not e.state}))


def _below_vlans(links: Mapping[str, Link]) -> set[str]:
    return {link.link for link in links.values() if link.linkinfo.info_kind == "vlan"}


def _rules(bridge: str, links: Mapping[str, Link], ports: Mapping[str, Link]) -> Iterator[str]:
    """What decides about frames besides the forwarding table, packet filters apart."""
    if links[bridge].linkinfo.info_data.get("vlan_filtering"):
        yield f"{bridge} filters VLANs"
    for name, link in ports.items():
        port = link.linkinfo.info_slave_data
        if port.isolated or port.locked:
            yield f"port {name} is isolated or locked"
        if link.xdp:
            yield f"port {name} runs an XDP program"


def _always(
    bridge: str, ports: Mapping[str, Link], readable: Collection[str], ours: Collection[str]
) -> Iterator[str]:
    """Why no mode can be set whatever the operator says."""
    carried = sorted({bridge, *ports} & set(ours))
    if carried:
        yield f"{bridge} carries our own connection to this host (through {', '.join(carried)})"
    for name, link in ports.items():
        if not link.linkinfo.info_slave_data.learning:
            yield f"port {name} does not learn: its addresses are set by somebody else"
        if name not in readable or "@" in name:
            yield f"the filters of port {name!r} cannot be read"
