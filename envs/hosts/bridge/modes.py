"""What a bridge is in each of its modes: a pure function of the bridge as found.

``stock`` is the bridge as found. ``lean`` makes it do less for every frame: no calls into
netfilter, no multicast snooping, and the ports of guests, whose addresses are known, neither
learn nor are flooded. ``direct`` leaves the bridge as it is and redirects frames between known
addresses from port to port before the bridge sees them; all else (ARP, broadcast, strangers)
goes through the bridge. A redirect takes only frames that come from the port's own address, so
it cannot carry what the bridge would not have learned.
"""

from collections.abc import Sequence

import msgspec

from envs.host import BRIDGE_MODES, BridgeMode
from envs.hosts.bridge.state import BridgeState, Plug, PortFlags, in_order
from envs.hosts.iproute import Redirect


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
        redirects=tuple(sorted(found, key=in_order)),
    )


def in_mode(mode: BridgeMode, stock: BridgeState, plugs: Sequence[Plug]) -> BridgeState:
    """What the bridge that was found as ``stock`` is in a mode."""
    if mode == "lean":
        return lean(stock, plugs)
    return direct(stock, plugs) if mode == "direct" else stock


def mode_of(stock: BridgeState | None, now: BridgeState, plugs: Sequence[Plug]) -> BridgeMode:
    """The mode a bridge is in: one of ours only if all of it is as we set it.

    ``stock`` is the bridge as it was found before we changed it, None where we did not.
    """
    for mode in BRIDGE_MODES[1:]:
        if stock is not None and in_mode(mode, stock, plugs) == now:
            return mode
    return "stock"
