"""The interfaces that carry our own connection to the host: what must never be changed.

Whoever controls a host over SSH, or sits there in an SSH session, has sshd's ``SSH_CONNECTION`` in
the environment of the command or, behind ``sudo``, of one that started it. The route back to its
peer names the interface; below that, and on the way to the peer's own port, lies the rest.
Sources: ssh(1), ip-route(8).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from envs.hosts.change import Command
from envs.hosts.iproute import Entry, Link
from envs.hosts.unexpected import decoded

_ROUTE = r"""
pid=$$ files=''
while [ "${pid:-0}" -gt 0 ]; do
    files="$files /proc/$pid/environ"
    parent=0
    while read -r key value; do
        case $key in PPid:) parent=$value ;; esac
    done <"/proc/$pid/status"
    pid=$parent
done 2>/dev/null
peer=$(grep -sazhm1 '^SSH_CONNECTION=' $files | tr '\0' '\n' |
    sed -n '1s/^SSH_CONNECTION=\([^ ]*\) .*/\1/p')
case $peer in
    '') ;;
    *%*) ip -j route get "${peer%%%*}" oif "${peer#*%}" ;;
    *) ip -j route get "$peer" ;;
esac 2>/dev/null
true
"""
"""Asks the environments of this command and of its ancestors, the nearest first."""


class _Way(msgspec.Struct, frozen=True):
    dst: str
    dev: str = "lo"
    gateway: str = ""


class _Neighbour(msgspec.Struct, frozen=True):
    dst: str
    lladdr: str = ""


def questions() -> tuple[Command, ...]:
    """What must be asked to know by which way we came."""
    return (("sh", "-c", _ROUTE), ("ip", "-j", "neigh", "show"))


def carriers(
    route: str, neighbours: str, links: Mapping[str, Link], table: Sequence[Entry]
) -> frozenset[str]:
    """The interfaces of our connection, none where we did not come through the network.

    They are the one the route names, what that sits on, and, where it crosses the bridge whose
    forwarding table is ``table``, the port behind which the next hop is.
    """
    ways = decoded("ip route", route or "[]", list[_Way])
    if not ways or ways[0].dev == "lo":
        return frozenset()
    found = set(_below(ways[0].dev, links))
    hop = ways[0].gateway or ways[0].dst
    known = decoded("ip neigh", neighbours or "[]", list[_Neighbour])
    addresses = {neighbour.lladdr for neighbour in known if neighbour.dst == hop}
    behind = {e.ifname for e in table if e.mac in addresses and e.ifname in links}
    return frozenset(found | {port for port in behind if links[port].master in found})


def _below(name: str, links: Mapping[str, Link]) -> Iterator[str]:
    """An interface, what it sits on or is tied to, and the members of a bond, all the way down."""
    seen, left = set[str](), [name]
    while left:
        here = left.pop()
        if here in seen or here not in links:
            continue
        seen.add(here)
        yield here
        left.append(links[here].link)
        if links[here].linkinfo.info_kind != "bridge":
            left.extend(name for name, link in links.items() if link.master == here)
