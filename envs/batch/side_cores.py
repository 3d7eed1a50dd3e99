"""Reserving side-cores, and whether that is legal, compiled (``envs.menu``, ``envs.knobs``)."""

from collections.abc import Sequence

from envs.batch.records import Decision, Host, Setting
from envs.batch.values import offer_new
from envs.sim.compiled import called, compiled


@called
def offer_side_cores(h: Host, base: Setting, d: Decision) -> None:
    """None, as found, and 1, 2, 4 ... cores near the uplink, in all domains and far from it."""
    offer_new(
        d,
        d.side_cores,
        d.polling,
        0,
        d.side_cores == base.side_cores and d.polling == base.polling,
    )
    _offer_legal(h, base, d, base.side_cores, base.polling)
    _offer_legal(h, base, d, 0, 0)
    count = 1
    while count <= min(h.side_cores, h.cores - 1):
        for cores in (_first(h.packed, count), _first(h.spread, count), _first(h.far, count)):
            if h.polling:
                _offer_legal(h, base, d, cores, 1)
            _offer_legal(h, base, d, cores, 0)
        count *= 2


@called
def reserve(h: Host, base: Setting, d: Decision, cores: int, polling: int) -> None:
    """Reserve ``cores``: every backend onto them, every VCPU off them."""
    for i in range(h.entities):
        d.placement[i] = _place(h, base, d, i, cores)
    d.side_cores, d.polling = cores, polling


@called
def _offer_legal(h: Host, base: Setting, d: Decision, cores: int, polling: int) -> None:
    if _legal(h, base, d, cores):
        found = cores == base.side_cores and polling == base.polling
        offer_new(d, cores, polling, 0, found)


@compiled
def _legal(h: Host, base: Setting, d: Decision, cores: int) -> bool:
    """Whether ``cores`` can be reserved: off every VCPU, and a backend on each of them.

    Of all rules (``envs.knobs.violations``) these are the two that can be broken, and only where
    backends or guests cannot be placed.
    """
    if h.places_backends and h.places_guests:
        return True
    used = 0
    for i in range(h.entities):
        place = _place(h, base, d, i, cores)
        if i < h.backends:
            used |= place
        elif place & cores:
            return False
    return cores & ~used == 0


@compiled
def _place(h: Host, base: Setting, d: Decision, i: int, cores: int) -> int:
    """Where an entity may run once ``cores`` are reserved.

    What was reserved before is dropped first, which returns it to its placement at the baseline.
    """
    if cores == base.side_cores:
        return base.placement[i]
    place = base.placement[i] if d.side_cores else d.placement[i]
    if cores == 0:
        return place
    if i < h.backends:
        return cores if h.places_backends else place
    if not h.places_guests:
        return place
    return place & ~cores or h.all & ~cores


@compiled
def _first(order: Sequence[int], count: int) -> int:
    cores = 0
    for k in range(count):
        cores |= 1 << order[k]
    return cores
