"""What a bridge is in each of its modes: a pure function of the bridge as found.

``stock`` is the bridge as found. ``lean`` makes it do less for every frame: no calls into
netfilter, no multicast snooping, and frames to unknown addresses are not copied to the ports of
guests, whose addresses are known. ``direct`` leaves the bridge as it is and redirects frames
between known addresses from port to port before the bridge sees them; all else (ARP, broadcast,
strangers) goes through the bridge. A redirect takes only frames that come from the port's own
address, so it cannot carry what the bridge would not have learned.

Both pin the addresses they rely on in the forwarding table: redirected frames teach the bridge
nothing, so it would forget who sends them and flood what is sent back. Ports go on learning, and a
watcher takes back what has become doubtful (see ``watch``).
"""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from envs.host import BridgeMode
from envs.hosts.bridge.state import (
    CALLS,
    NO_OTHERS,
    PREFERENCES,
    SNOOPING,
    BridgeState,
    Others,
    Plug,
    in_order,
)
from envs.hosts.iproute import Redirect

_UNICAST = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


def in_mode(
    mode: BridgeMode, stock: BridgeState, plugs: Sequence[Plug], others: Others = NO_OTHERS
) -> BridgeState:
    """What the bridge that was found as ``stock`` is in a mode.

    Plugs of ports that are gone or do not forward are ignored, and so are addresses that two ports
    claim or that are not one interface's.
    """
    claims, ports = Counter(plug.mac for plug in plugs), stock.ports.keys() - set(others.still)
    here = [
        plug
        for plug in plugs
        if plug.port in ports and claims[plug.mac] == 1 and _UNICAST.fullmatch(plug.mac)
    ]
    if mode == "lean":
        return _lean(stock, here, others)
    return _direct(stock, here, others) if mode == "direct" else stock


def mode_of(stock: BridgeState | None, now: BridgeState, plugs: Sequence[Plug]) -> BridgeMode:
    """The mode a bridge is in: one of ours while it is watched and does what the mode is for.

    ``stock`` is the bridge as it was found before we changed it, None where we did not. What the
    watcher has taken back for one guest does not end the mode for the others.
    """
    if stock is None:
        return "stock"
    if now.watch[:1] == ("direct",):
        return "direct" if now.redirects else "stock"
    called = any(now.options.get(call) for call in CALLS)
    quiet = any(p.guest and p.port in now.ports and not now.ports[p.port].flood for p in plugs)
    differs = quiet or (now.options, now.netfilter) != (stock.options, stock.netfilter)
    return "lean" if differs and not called and not (quiet and not now.watch) else "stock"


def _lean(stock: BridgeState, plugs: Sequence[Plug], others: Others) -> BridgeState:
    """The stock bridge made to do less.

    A port stays flooded if anything else was seen behind it: the bridge forgets learned addresses
    in time and then finds them only by flooding.
    """
    alone = [plug for plug in plugs if plug.guest and not _strangers(plug, plugs, others)]
    spared = (SNOOPING,) if others.multicast else ()
    options = {name: value if name in spared else 0 for name, value in stock.options.items()}
    quiet = {p.port: msgspec.structs.replace(stock.ports[p.port], flood=False) for p in alone}
    return msgspec.structs.replace(
        stock,
        options=options,
        netfilter=stock.netfilter if others.bridges else dict.fromkeys(stock.netfilter, "0"),
        ports={**stock.ports, **quiet},
        static=_pinned(stock, alone),
        watch=("lean", *(f"{plug.port}/{plug.mac}/0" for plug in alone)) if alone else (),
    )


def _strangers(plug: Plug, plugs: Sequence[Plug], others: Others) -> bool:
    seen = {*others.learned.get(plug.port, ()), *(p.mac for p in plugs if p.port == plug.port)}
    return seen != {plug.mac}


def _direct(stock: BridgeState, plugs: Sequence[Plug], others: Others) -> BridgeState:
    """The stock bridge with a redirect from every port's own address to every other port's."""
    preference = dict(zip(sorted(plug.mac for plug in plugs), PREFERENCES, strict=False))
    known = [plug for plug in plugs if plug.mac in preference]
    redirects = [
        Redirect(
            port=here.port,
            source=here.mac,
            target=there.mac,
            to=there.port,
            preference=preference[there.mac],
        )
        for here in known
        for there in known
        if here.port != there.port and here.port not in others.tagged
    ]
    return msgspec.structs.replace(
        stock,
        ingress=tuple(sorted({*stock.ingress, *(redirect.port for redirect in redirects)})),
        static=_pinned(stock, known),
        redirects=tuple(sorted(redirects, key=in_order)),
        watch=("direct", *(f"{p.port}/{p.mac}/{preference[p.mac]}" for p in known)),
    )


def _pinned(stock: BridgeState, plugs: Sequence[Plug]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({*stock.static, *((plug.mac, plug.port) for plug in plugs)}))
