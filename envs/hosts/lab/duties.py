"""Who serves which vif: the orders of the relays, out of where the backends are placed.

A backend per vif is stock. Backends that are all placed on one and the same core are one process
that serves all their vifs, for two processes would only take turns there. Pollers that share a
set of cores are as many as the cores, for two pollers on one core fight for it.
"""

from collections.abc import Mapping

from envs.host import Record, Settings
from envs.hosts.lab.config import UPLINK, Plan


class Duty(Record, frozen=True):
    """What one relay does: the vifs it serves, and whether it polls them."""

    vifs: tuple[str, ...]
    poll: bool = False


class Duties(Record, frozen=True):
    """The orders of all relays, by backend, and the cores that are reserved for them."""

    relays: Mapping[str, Duty]
    side_cores: tuple[int, ...] = ()
    polling: bool = False


UPLINK_DUTIES = Duties(relays={UPLINK: Duty(vifs=(UPLINK,))})


def duties(plan: Plan, settings: Settings) -> Duties:
    """The orders that a setting means."""
    reserved = frozenset(settings.side_cores)
    groups: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for guest in plan.guests:
        cores = tuple(sorted(settings.placement[guest.backend]))
        groups.setdefault(cores, []).append((guest.backend, guest.vif))
    relays = {}
    for cores, group in groups.items():
        poll = settings.polling and reserved.issuperset(cores)
        vifs = [vif for _, vif in group]
        serving = len(cores) if poll or len(cores) == 1 else len(group)
        for number, (backend, _) in enumerate(group):
            served = tuple(vifs[number::serving]) if number < serving else ()
            relays[backend] = Duty(vifs=served, poll=poll and bool(served))
    return Duties(relays=relays, side_cores=settings.side_cores, polling=settings.polling)


def stock_duties(plan: Plan) -> Duties:
    """One sleeping relay for each vif."""
    return Duties(relays={guest.backend: Duty(vifs=(guest.vif,)) for guest in plan.guests})
