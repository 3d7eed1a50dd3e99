"""The bridge of a Xen host with its vifs called by keys that outlive a reboot or a migration.

What is remembered of a bridge calls a vif by its domain's UUID and its device number; what is asked
of the kernel, and told to it, by the interface that it is for now.
"""

from collections.abc import Mapping

import msgspec

from envs.hosts.bridge import BridgeState, Plug
from envs.hosts.bridge.state import in_order, port_of
from envs.hosts.xen.reading import Present


def plugs(present: Present) -> tuple[Plug, ...]:
    """The ports of the bridge whose address is known: the guests'."""
    on = present.bridge.state.ports if present.bridge else {}
    return tuple(
        Plug(port=vif.name, mac=vif.mac)
        for vif in present.vifs.values()
        if vif.mac and vif.name in on
    )


def by_key(present: Present, state: BridgeState) -> BridgeState:
    """A bridge whose vifs are called by their keys, out of one where they are interfaces."""
    return _renamed(state, {vif.name: key for key, vif in present.vifs.items()})


def by_name(present: Present, state: BridgeState) -> BridgeState:
    """A bridge whose vifs are interfaces, out of one where they are called by their keys."""
    return _renamed(state, {key: vif.name for key, vif in present.vifs.items()})


def _renamed(state: BridgeState, names: Mapping[str, str]) -> BridgeState:
    """A bridge with other names of its ports, in the order of these."""

    def name(port: str) -> str:
        return names.get(port, port)

    redirects = (
        msgspec.structs.replace(r, port=name(r.port), to=name(r.to)) for r in state.redirects
    )
    return msgspec.structs.replace(
        state,
        ports={name(port): flags for port, flags in sorted(state.ports.items())},
        static=tuple(sorted((mac, name(port)) for mac, port in state.static)),
        ingress=tuple(sorted(map(name, state.ingress))),
        redirects=tuple(sorted(redirects, key=in_order)),
        watch=tuple(word.replace(port_of(word), name(port_of(word)), 1) for word in state.watch),
    )
