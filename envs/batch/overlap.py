"""Core sets, compiled: what they hold and what they share, as ``envs.overlap`` has it.

A set of cores stands for equal shares of each of them. What two sets share is the chance that a
core of the one and a core of the other are the same, or of the same LLC domain.
"""

import math

import numpy as np
from numpy.typing import NDArray

from envs.batch.records import BACKENDS, CPU_VCPUS, IO_VCPUS, ROLES, Decision, Host, Trial
from envs.batch.values import size
from envs.layout import BOUND
from envs.overlap import PLACED
from envs.sim.compiled import called, compiled, lowest
from envs.sim.state import CORES

Row = NDArray[np.float64]
Table = NDArray[np.float64]

# What is known of each core while a choice is encoded, a row each: first the use of each role.
BUSY_START, BUSY_FOUND, NEAR, HOME, OWN, SIBLING, LLC, NODE, RESERVED = range(ROLES, ROLES + 9)
MEANS = ROLES + 9
"""So many of them are told of a core set as the mean over its cores."""
TOTAL = MEANS
"""One more: the use of all roles together."""


def table() -> Table:
    """Room for what is known of each core."""
    return np.zeros((MEANS + 1, CORES))


@called
def placed_row(h: Host, d: Decision, row: Row, at: int) -> int:
    """A placement in a few numbers (``PLACED``), from ``at`` on; gives where the next ones go."""
    llc, own, near, beside, sizes = at, at + 1, at + 2, at + 4, at + 6
    row[at : at + len(PLACED)] = 0.0
    for i in range(h.entities):
        cores, role = d.placement[i], h.role[i]
        row[sizes + role] += size(cores) / h.cores / h.members[role]
        if role != CPU_VCPUS:
            row[near + role] += size(cores & h.near) / size(cores) / h.members[role]
        if role == BACKENDS:
            each = h.members[BACKENDS] * max(1, size(h.peers[i]))
            left = h.peers[i]
            while left:
                peer = d.placement[lowest(left)]
                left &= left - 1
                row[llc] += _share_llc(h, cores, peer) / each
                row[own] += _share(cores, peer) / each
        elif role == CPU_VCPUS:
            for j in range(h.entities):
                other = h.role[j]
                if other != CPU_VCPUS:
                    pairs = h.members[CPU_VCPUS] * h.members[other]
                    row[beside + other] += _share(cores, d.placement[j]) / pairs
    return at + len(PLACED)


@called
def look_at_cores(
    h: Host, d: Decision, found: Trial, start: Trial, seconds: float, known: Table
) -> None:
    """Fill the table of what is known of each core, for the choice in question."""
    known[:] = 0.0
    peers = 0
    for i in range(h.entities):
        is_peer = h.peers[d.entity] >> i & 1 if d.entity >= 0 else h.role[i] == IO_VCPUS
        if is_peer:
            peers += 1
            _spread(known, OWN, d.placement[i], 1.0)
        if i != d.entity:
            _spread(known, h.role[i], d.placement[i], start.use[i])
    for c in range(h.cores):
        known[OWN, c] /= max(1, peers)
        known[TOTAL, c] = known[BACKENDS, c] + known[IO_VCPUS, c] + known[CPU_VCPUS, c]
        known[BUSY_START, c] = start.busy[c] / seconds
        known[BUSY_FOUND, c] = found.busy[c] / seconds
        known[NEAR, c] = h.near >> c & 1
        known[HOME, c] = h.home >> c & 1
        known[RESERVED, c] = d.side_cores >> c & 1
    for c in range(h.cores):
        known[SIBLING, c] = _sum(known, OWN, h.siblings[c])
        known[LLC, c] = _sum(known, OWN, h.llc[c])
        known[NODE, c] = _sum(known, OWN, h.node[c])


@called
def core_set_row(h: Host, cores: int, use: float, known: Table, row: Row, at: int) -> None:
    """The features of a core set, for a subject that uses ``use`` cores elsewhere now."""
    count = size(cores)
    among = max(1, count)
    least, most = BOUND, 0.0
    left = cores
    while left:
        c = lowest(left)
        left &= left - 1
        least, most = min(least, known[TOTAL, c]), max(most, known[TOTAL, c])
    row[at] = count == 0
    row[at + 1] = count == 1
    row[at + 2] = count == h.cores
    row[at + 3] = count / h.cores
    row[at + 4] = math.log2(among) / 6
    row[at + 5] = _share_llc(h, cores, cores)
    row[at + 6] = least
    row[at + 7] = most
    row[at + 8] = (_sum(known, TOTAL, cores) + use) / among
    for k in range(MEANS):
        row[at + 9 + k] = _sum(known, k, cores) / among


@compiled
def _spread(known: Table, k: int, cores: int, amount: float) -> None:
    """Add an amount to a row, in equal parts to each core of a set."""
    part = amount / size(cores)
    while cores:
        known[k, lowest(cores)] += part
        cores &= cores - 1


@compiled
def _sum(known: Table, k: int, cores: int) -> float:
    """The sum over a set of cores."""
    total = 0.0
    while cores:
        total += known[k, lowest(cores)]
        cores &= cores - 1
    return total


@compiled
def _share(one: int, other: int) -> float:
    """The chance that a core of each is the same."""
    return size(one & other) / (size(one) * size(other))


@compiled
def _share_llc(h: Host, one: int, other: int) -> float:
    """The chance that a core of each are of one LLC domain."""
    pairs, left = 0, one
    while left:
        pairs += size(h.llc[lowest(left)] & other)
        left &= left - 1
    return pairs / max(1, size(one) * size(other))
