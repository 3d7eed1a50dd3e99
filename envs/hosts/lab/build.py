"""A lab's network: namespaces, taps, the bridge. Held by the descriptors of one process.

    driver domain                          guest g1 (a namespace)
    br0 ── vif1 (tap) ══ relay1 ══ (tap) eth0
     ├──── vif2 (tap) ══ relay2 ══ (tap) eth0 of g2
     └── uplink (tap) ══ uplink ══ (tap) eth0 of the outside

Nothing here is persistent: when the process ends, however it ends, the kernel removes it all. The
uplink is a tap with a relay of its own, for with a veth the outside's receive stack would run in,
and be billed to, whichever backend sends there.
"""

from collections.abc import Mapping

from pyroute2 import IPRoute

from envs.host import Record
from envs.hosts.lab import namespaces
from envs.hosts.lab.config import BRIDGE, OUTSIDE, UPLINK, Plan

_NODAD = 0x02
"""IFA_F_NODAD: addresses of our own need no search for duplicates."""


class Network(Record, frozen=True):
    """Descriptors: ``spaces`` by guest or outside, ``taps`` by port (its end, the far end)."""

    spaces: Mapping[str, int]
    taps: Mapping[str, tuple[int, int]]


def build(plan: Plan, tx_queue: int | None) -> Network:
    """Make the network; this process becomes the driver domain's namespace. Raises OSError."""
    namespaces.unshare(namespaces.CLONE_NEWNET)
    names = [*(guest.name for guest in plan.guests), OUTSIDE]
    spaces = {name: namespaces.new_network() for name in names}
    taps = {}
    with IPRoute() as ip:
        ip.link("add", ifname=BRIDGE, kind="bridge")
        bridge = _up(ip, BRIDGE)
        _up(ip, "lo")
        for guest in plan.guests:
            far = _end(spaces[guest.name], guest.mac, guest.ip, guest.ip6)
            taps[guest.vif] = (_port(ip, bridge, guest.vif, tx_queue), far)
        far = _end(spaces[OUTSIDE], plan.outside_mac, plan.outside_ip, plan.outside_ip6)
        taps[UPLINK] = (_port(ip, bridge, UPLINK, None), far)
    return Network(spaces=spaces, taps=taps)


def _port(ip: IPRoute, bridge: int, name: str, tx_queue: int | None) -> int:
    """A tap on the bridge."""
    tap = namespaces.open_tap(name)
    index = _index(ip, name)
    if tx_queue is not None:
        ip.link("set", index=index, txqlen=tx_queue)
    ip.link("set", index=index, master=bridge)
    _up(ip, name)
    return tap


def _end(space: int, mac: str, address: str, address6: str) -> int:
    """The far end: a tap in a guest's namespace, with its addresses."""
    with namespaces.inside(space):
        tap = namespaces.open_tap("eth0")
        with IPRoute() as ip:
            index = _index(ip, "eth0")
            ip.link("set", index=index, address=mac)
            _up(ip, "lo")
            _up(ip, "eth0")
            ip.addr("add", index=index, address=address, prefixlen=16, broadcast="10.0.255.255")
            ip.addr("add", index=index, address=address6, prefixlen=64, flags=_NODAD)
    return tap


def _up(ip: IPRoute, name: str) -> int:
    index = _index(ip, name)
    ip.link("set", index=index, state="up")
    return index


def _index(ip: IPRoute, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise OSError(f"interface {name} did not appear")
    return int(found[0])
