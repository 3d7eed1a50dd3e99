"""All of a bridge that a mode may change, as one value."""

from collections.abc import Mapping

from envs.host import Record
from envs.hosts.iproute import Redirect

PRIORITY = 7200
"""The tc priority that marks a redirect as ours; no other filter is ever touched."""

NETFILTER = tuple(f"/proc/sys/net/bridge/bridge-nf-call-{t}tables" for t in ("ip", "ip6", "arp"))
"""Each network namespace's switches of bridge netfilter: either they or the bridge's own call."""

OPTIONS = ("mcast_snooping", "nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables")
"""The bridge's own options that cost work for every frame."""


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
    ingress hook for filters.
    """

    options: Mapping[str, int] = {}
    netfilter: Mapping[str, str] = {}
    ports: Mapping[str, PortFlags] = {}
    static: tuple[tuple[str, str], ...] = ()
    ingress: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()


def in_order(redirect: Redirect) -> tuple[str, str, str, str]:
    """What redirects are sorted by, so that equal sets of them are equal."""
    return (redirect.port, redirect.source, redirect.target, redirect.to)
