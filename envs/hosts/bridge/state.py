"""All of a bridge that a mode may change, as one value; and what it must leave as it is."""

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from envs.host import Record
from envs.hosts.iproute import Mac, Redirect

PREFERENCES = range(7200, 7456)
"""The tc preferences (priorities) of our redirects, one for each address they lead to.

No other filter is ever touched. More addresses than these would be slower than the bridge.
"""

NETFILTER = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{t}tables" for t in ("ip", "ip6", "arp"))
"""Each network namespace's switches of bridge netfilter: either they or the bridge's own call."""

CALLS = ("nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables")
SNOOPING = "mcast_snooping"
OPTIONS = (SNOOPING, *CALLS)
"""The bridge's own options that cost work for every frame."""


Switch = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,10}\Z")]
Option = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
WORD = r"\A(lean|direct|[^ \t-\r]+/[0-9a-f]{2}(:[0-9a-f]{2}){5}/[0-9]{1,5})\Z"
Word = Annotated[str, msgspec.Meta(pattern=WORD)]
"""A word of a watcher."""


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
    ingress hook for filters, ``watch`` what its watcher was started with (see ``watch``).
    """

    options: Mapping[str, Option] = {}
    netfilter: Mapping[str, Switch] = {}
    ports: Mapping[str, PortFlags] = {}
    static: tuple[tuple[Mac, str], ...] = ()
    ingress: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    watch: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        """Refuse switches of other things: a snapshot is a file. Raises ValueError."""
        if others := {*self.options, *self.netfilter} - {*OPTIONS, *NETFILTER}:
            raise ValueError(f"no switches of a bridge: {sorted(others)}")


class Others(Record, frozen=True):
    """What others have on the bridge: a mode must leave that as it is.

    ``multicast``: a multicast router asks for members here; without snooping nobody would note who
    joins. ``bridges``: other bridges share the ``NETFILTER`` switches. ``tagged``: ports that are
    also the lower half of VLAN interfaces, which take their frames before the bridge does.
    ``still``: ports that do not forward. ``learned``: the addresses that the bridge has learned
    behind each port.
    """

    multicast: bool = False
    bridges: bool = False
    tagged: tuple[str, ...] = ()
    still: tuple[str, ...] = ()
    learned: Mapping[str, tuple[str, ...]] = {}


NO_OTHERS = Others()


def carried(then: BridgeState, now: BridgeState) -> BridgeState:
    """The bridge of then, of the ports that there are ``now``; a new port stays as it is."""
    ports = {port: then.ports.get(port, flags) for port, flags in now.ports.items()}
    return msgspec.structs.replace(among(then, ports), ports=ports)


def among(then: BridgeState, ports: Collection[str]) -> BridgeState:
    """The bridge, of these ``ports`` alone: what is filed of a bridge may name anything."""
    return msgspec.structs.replace(
        then,
        ports={port: flags for port, flags in then.ports.items() if port in ports},
        static=tuple(entry for entry in then.static if entry[1] in ports),
        ingress=tuple(port for port in then.ingress if port in ports),
        redirects=tuple(r for r in then.redirects if {r.port, r.to} <= {*ports}),
        watch=tuple(word for word in then.watch if port_of(word) in {"", *ports}),
    )


def port_of(word: str) -> str:
    """The port in a word of a watcher, empty where it names none: ``vif1.0/00:16:…/7200``.

    A port may itself be called by a name with a slash, as Xen's are while they are remembered.
    """
    return word.rsplit("/", 2)[0] if "/" in word else ""


def in_order(redirect: Redirect) -> tuple[str, str, str, str]:
    """What redirects are sorted by, so that equal sets of them are equal."""
    return (redirect.port, redirect.source, redirect.target, redirect.to)
