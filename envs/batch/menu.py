"""The values that a part may be given, compiled: ``envs.menu`` and ``envs.decision`` say which."""

import numpy as np

from envs.batch import side_cores
from envs.batch.records import (
    BACKEND,
    CPU_VCPU,
    DRIVER_WEIGHT,
    GUEST_WEIGHT,
    NOTHING,
    SIDE_CORES,
    TX_QUEUE,
    Decision,
    Host,
    Setting,
)
from envs.batch.values import offer, offer_new, offer_sets
from envs.knobs import WEIGHT_LEVELS
from envs.menu import QUEUE_LENGTHS
from envs.sim.compiled import called, compiled


@called
def take(h: Host, base: Setting, d: Decision, index: int) -> None:
    """Give the part in question a value, or let it be if there is none such; ask the next."""
    if 0 < index < d.values:
        _settle(h, base, d, index)
    ask(h, base, d, d.part + 1)


@called
def ask(h: Host, base: Setting, d: Decision, first: int) -> None:
    """Offer the values of the next part, from ``first`` on, that has more than one."""
    for part in range(first, h.parts):
        d.part, d.kind, d.entity = part, h.part[part].kind, h.part[part].entity
        d.values = 0
        _offer_values(h, base, d)
        if d.values > 1:
            return
    d.part, d.kind, d.entity, d.values = h.parts, NOTHING, -1, 1


@compiled
def _offer_values(h: Host, base: Setting, d: Decision) -> None:
    """Offer every legal value of a part; the first keeps it as it is."""
    if d.kind == SIDE_CORES:
        side_cores.offer_side_cores(h, base, d)
    elif d.kind == BACKEND:
        _offer_backend(h, base, d)
    elif d.kind <= CPU_VCPU:
        _offer_vcpu(h, base, d)
    elif d.kind == DRIVER_WEIGHT:
        _offer_weights(h, d, d.driver_weight, base.driver_weight)
    elif d.kind == GUEST_WEIGHT:
        _offer_weights(h, d, d.guest_weight, base.guest_weight)
    elif d.kind == TX_QUEUE:
        _offer_lengths(h, d, base.tx_queue)
    else:
        offer_new(d, 0, 0, d.bridge, d.bridge == base.bridge)
        offer_new(d, 0, 0, base.bridge, True)
        for k in range(h.modes):
            offer_new(d, 0, 0, h.mode[k], h.mode[k] == base.bridge)


@compiled
def _settle(h: Host, base: Setting, d: Decision, index: int) -> None:
    value = d.value[index]
    if d.kind == SIDE_CORES:
        side_cores.reserve(h, base, d, value.cores, value.polling)
    elif d.kind <= CPU_VCPU:
        d.placement[d.entity] = value.cores
    elif d.kind == DRIVER_WEIGHT:
        d.driver_weight = raised(h, base.driver_weight, value.number)
    elif d.kind == GUEST_WEIGHT:
        d.guest_weight = raised(h, base.guest_weight, value.number)
    elif d.kind == TX_QUEUE:
        d.tx_queue = value.number
    else:
        d.bridge = value.number


@compiled
def has(h: Host, base: Setting, d: Decision, index: int, setting: Setting) -> bool:
    """Whether a setting gives the part in question the value at ``index``."""
    value = d.value[index]
    if d.kind == SIDE_CORES:
        return value.cores == setting.side_cores and value.polling == setting.polling
    if d.kind <= CPU_VCPU:
        return value.cores == setting.placement[d.entity]
    if d.kind == DRIVER_WEIGHT:
        given = raised(h, base.driver_weight, value.number)
        return _level(given, base.driver_weight) == _level(
            setting.driver_weight, base.driver_weight
        )
    if d.kind == GUEST_WEIGHT:
        given = raised(h, base.guest_weight, value.number)
        return _level(given, base.guest_weight) == _level(setting.guest_weight, base.guest_weight)
    return value.number == (setting.tx_queue if d.kind == TX_QUEUE else setting.bridge)


@compiled
def raised(h: Host, weight: int, level: int) -> int:
    """A weight at a level, within the host's limits."""
    if level == 1:
        return weight
    return min(h.weight_high, max(h.weight_low, level * weight))


@compiled
def _level(weight: int, found: int) -> int:
    """The boost of a weight over what was found, at least 1; halves round to even."""
    return max(1, int(np.rint(weight / max(1, found))))


@compiled
def _offer_weights(h: Host, d: Decision, now: int, found: int) -> None:
    """The present weight and every level that makes another one."""
    offer(d, 0, 0, _level(now, found), now == found)
    for level in WEIGHT_LEVELS:
        weight = raised(h, found, level)
        new = weight != now
        for lower in WEIGHT_LEVELS:
            new = new and (lower >= level or raised(h, found, lower) != weight)
        if new:
            offer(d, 0, 0, level, level == 1)


@compiled
def _offer_lengths(h: Host, d: Decision, found: int) -> None:
    """The present length, then the others and the one that was found, ascending."""
    offer(d, 0, 0, d.tx_queue, d.tx_queue == found)
    passed = found == d.tx_queue
    for length in QUEUE_LENGTHS:
        if not passed and found <= length:
            offer(d, 0, 0, found, True)
            passed = True
        if h.queue_low <= length <= h.queue_high and length not in (found, d.tx_queue):
            offer(d, 0, 0, length, False)
    if not passed:
        offer(d, 0, 0, found, True)


@compiled
def _offer_backend(h: Host, base: Setting, d: Decision) -> None:
    """Any set; with side-cores, one of theirs that leaves none of them without a backend."""
    mine, found = d.placement[d.entity], base.placement[d.entity]
    offer_new(d, mine, 0, 0, mine == found)
    if not d.side_cores:
        offer_sets(h, d, h.all, 0, 1, h.cores, found)
        return
    others = 0
    for i in range(h.backends):
        if i != d.entity:
            others |= d.placement[i]
    offer_sets(h, d, d.side_cores, d.side_cores & ~others, 1, h.cores, found)


@compiled
def _offer_vcpu(h: Host, base: Setting, d: Decision) -> None:
    """What is not reserved, and in wide sets also what no backend has for its own."""
    mine, found = d.placement[d.entity], base.placement[d.entity]
    offer_new(d, mine, 0, 0, mine == found)
    free = h.all & ~d.side_cores
    own = 0
    for i in range(h.backends):
        cores = d.placement[i]
        if cores & (cores - 1) == 0:
            own |= cores
    if free & own and free & ~own:
        offer_sets(h, d, free, 0, 2, h.cores, found)
        offer_sets(h, d, free & ~own, 0, 2, h.cores, found)
        offer_sets(h, d, free, 0, 1, 1, found)
    else:
        offer_sets(h, d, free, 0, 1, h.cores, found)
