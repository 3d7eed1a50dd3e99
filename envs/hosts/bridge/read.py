"""A bridge as it is: questions to the host, and a pure reading of the answers.

The questions are commands that change nothing and do not need each other's answers, so a backend
sends them in one round trip together with its own.
Sources: ip-link(8), bridge(8), tc(8), ``Documentation/networking/bridge.rst``.
"""

from collections.abc import Iterator, Mapping, Sequence

from envs.errors import HostError
from envs.host import Record
from envs.hosts import iproute
from envs.hosts.bridge.state import NETFILTER, OPTIONS, PRIORITY, BridgeState, PortFlags, in_order
from envs.hosts.change import Command
from envs.hosts.iproute import Link
from envs.hosts.transport import Result, files_read, printed, reading

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

    ``links`` are all interfaces of its network namespace. ``obstacles`` are the reasons why no
    other mode than stock can be set, none where it can.
    """

    state: BridgeState
    links: Mapping[str, Link]
    obstacles: tuple[str, ...] = ()


def questions(bridge: str) -> tuple[Command, ...]:
    """What must be asked of the host to know a bridge; each answer stands by itself."""
    return (
        ("ip", "-j", "-d", "link", "show"),
        ("bridge", "-j", "fdb", "show", "br", bridge),
        ("tc", "-j", "qdisc", "show"),
        ("sh", "-c", _FILTERS, "sh", bridge),
        reading(NETFILTER),
    )


def found(bridge: str, answers: Sequence[Result]) -> BridgeFound:
    """The bridge out of the answers to its questions, in their order.

    Raises HostError where it is gone, CommandFailed where a question could not be answered.
    """
    link, fdb, qdisc, filters, netfilter = answers
    links = iproute.links(printed(link))
    if bridge not in links:
        raise HostError(f"the bridge {bridge!r} is gone")
    data = links[bridge].linkinfo.info_data
    ports = {n: link.linkinfo.info_slave_data for n, link in links.items() if link.master == bridge}
    hooked = set(iproute.with_ingress(printed(qdisc))) & set(ports)
    shown = dict(line.split(" ", 1) for line in filters.out.splitlines() if " " in line)
    redirects = [r for port in hooked for r in iproute.redirects(port, shown[port], PRIORITY)]
    static = iproute.static_entries(printed(fdb))
    state = BridgeState(
        options={name: int(data[name]) for name in OPTIONS if name in data},
        netfilter={path: text.strip() for path, text in files_read(netfilter).items()},
        ports={n: PortFlags(learning=p.learning, flood=p.flood) for n, p in sorted(ports.items())},
        static=tuple(entry for entry in static if entry[1] in ports),
        ingress=tuple(sorted(hooked)),
        redirects=tuple(sorted(redirects, key=in_order)),
    )
    return BridgeFound(state=state, links=links, obstacles=tuple(_obstacles(bridge, links)))


def _obstacles(bridge: str, links: Mapping[str, Link]) -> Iterator[str]:
    """Why ``lean`` and ``direct`` would let frames past a rule of this bridge, if they would."""
    if links[bridge].linkinfo.info_data.get("vlan_filtering"):
        yield f"{bridge} filters VLANs"
    for name, link in links.items():
        if link.master == bridge:
            port = link.linkinfo.info_slave_data
            if port.isolated or port.locked:
                yield f"port {name} is isolated or locked"
            elif port.state != "forwarding":
                yield f"port {name} is not forwarding"
