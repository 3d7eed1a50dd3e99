"""The list of values that a choice offers, and the core sets among them, compiled."""

from envs.batch.records import Decision, Host
from envs.menu import MAX_VALUES
from envs.sim.compiled import called, compiled


@compiled
def offer(d: Decision, cores: int, polling: int, number: int, baseline: bool) -> None:
    """Put a value at the end of the list, if it is not full."""
    if d.values < MAX_VALUES:
        value = d.value[d.values]
        value.cores, value.polling = cores, polling
        value.number, value.baseline = number, int(baseline)
        d.values += 1


@called
def offer_new(d: Decision, cores: int, polling: int, number: int, baseline: bool) -> None:
    """Put a value at the end of the list, if it is not in it."""
    for k in range(d.values):
        value = d.value[k]
        if value.cores == cores and value.polling == polling and value.number == number:
            return
    offer(d, cores, polling, number, baseline)


@called
def offer_sets(
    h: Host, d: Decision, among: int, needed: int, least: int, most: int, found: int
) -> None:
    """Offer all cores of ``among``, each LLC domain's, each alone.

    Only sets of ``least`` to ``most`` cores, ``needed`` among them; ``found`` is the baseline's.
    """
    _offer_set(d, among, needed, least, most, found)
    for k in range(h.domains):
        inside = 0
        for at in range(h.domain[k], h.domain[k + 1]):
            inside |= 1 << h.packed[at]
        _offer_set(d, among & inside, needed, least, most, found)
        d.at[k] = h.domain[k]
    left = among
    while left:  # one of each domain in turn
        for k in range(h.domains):
            end = h.domain[k + 1]
            while d.at[k] < end and not left >> h.packed[d.at[k]] & 1:
                d.at[k] += 1
            if d.at[k] < end:
                core = 1 << h.packed[d.at[k]]
                left &= ~core
                _offer_set(d, core, needed, least, most, found)


@compiled
def _offer_set(d: Decision, cores: int, needed: int, least: int, most: int, found: int) -> None:
    if least <= size(cores) <= most and needed & ~cores == 0:
        offer_new(d, cores, 0, 0, cores == found)


@compiled
def size(cores: int) -> int:
    """How many there are in a set."""
    count = 0
    while cores:
        count += 1
        cores &= cores - 1
    return count
