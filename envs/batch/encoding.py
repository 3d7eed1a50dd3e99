"""Observations, compiled: ``envs.encoding`` says what they hold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.batch.features import log2, packet_size, settings_row, traffic
from envs.batch.judging import guest_bandwidth
from envs.batch.menu import has
from envs.batch.overlap import Table, core_set_row, look_at_cores, placed_row
from envs.batch.records import (
    BACKENDS,
    BRIDGE,
    CPU_VCPU,
    DRIVER_WEIGHT,
    GUEST_WEIGHT,
    IO_VCPUS,
    NOTHING,
    SIDE_CORES,
    TX_QUEUE,
    Decision,
    Host,
    Trial,
)
from envs.batch.values import size
from envs.features import GUARDS, HOST, SAMPLE, SETTINGS
from envs.layout import BOUND, CANDIDATE, CANDIDATES, STATE, TRIAL
from envs.menu import KINDS
from envs.sim.compiled import called, compiled

Row = NDArray[np.float64]
Floats = NDArray[np.float32]

KEEPS, FOUND, BEST, LAST, POLLING, LEVEL, LENGTH = range(7)
MODE = CANDIDATES.index("stock bridge")
CORE_SET = CANDIDATES.index("no core")
"""Where the features of a candidate are."""


@called
def encode_state(
    h: Host, d: Decision, trials: Sequence[Trial], seconds: float, row: Row, state: Floats
) -> None:
    """What a choice is about (``STATE``,); zeros where there is none. ``row`` is scratch."""
    if d.kind == NOTHING:
        state[:] = 0.0
        return
    found, start, last = trials[0], trials[d.best], trials[d.trials - 1]
    row[: len(KINDS)] = 0.0
    row[d.kind] = 1.0
    at = _copy(h.row, 0, len(HOST) + len(GUARDS), row, len(KINDS))
    at = _copy(found.row, 1, len(SETTINGS) + len(SAMPLE), row, at)
    row[at] = (d.trials - 1) / 10
    row[at + 1 : at + 1 + 2 * len(TRIAL)] = 0.0
    if d.best > 0:
        _copy(start.row, 0, len(TRIAL), row, at + 1)
    if d.trials > 1:
        _copy(last.row, 0, len(TRIAL), row, at + 1 + len(TRIAL))
    at = settings_row(h, found, d, row, at + 1 + 2 * len(TRIAL))
    at = placed_row(h, d, row, at)
    _subject_row(h, d, found, start, seconds, row, at)
    for k in range(STATE):
        state[k] = _bounded(row[k])


@called
def encode_values(
    h: Host,
    d: Decision,
    trials: Sequence[Trial],
    seconds: float,
    known: Table,
    row: Row,
    candidates: Floats,
    mask: Floats,
) -> None:
    """A row for each value (``CANDIDATE``), and which there are. ``known``, ``row`` are scratch."""
    candidates[:] = 0.0
    mask[:] = 0.0
    mask[: d.values] = 1.0
    if d.kind == NOTHING:
        return
    found, start, last = trials[0], trials[d.best], trials[d.trials - 1]
    use = start.use[d.entity] if d.entity >= 0 else 0.0
    if d.kind <= CPU_VCPU:
        look_at_cores(h, d, found, start, seconds, known)
    for k in range(d.values):
        value = d.value[k]
        row[:CANDIDATE] = 0.0
        row[KEEPS] = k == 0
        row[FOUND] = value.baseline
        row[BEST] = d.best > 0 and has(h, found, d, k, start)
        row[LAST] = d.trials > 1 and has(h, found, d, k, last)
        if d.kind == SIDE_CORES:
            row[POLLING] = value.polling
        elif d.kind in (DRIVER_WEIGHT, GUEST_WEIGHT):
            row[LEVEL] = log2(value.number, 3)
        elif d.kind == TX_QUEUE:
            packets = _arriving(h, start, seconds)
            _length_row(value.number, found.tx_queue, d.tx_queue, packets, row)
        elif d.kind == BRIDGE:
            row[MODE + value.number] = 1.0
        if d.kind <= CPU_VCPU:
            core_set_row(h, value.cores, use, known, row, CORE_SET)
        for j in range(CANDIDATE):
            candidates[k, j] = _bounded(row[j])


@compiled
def _length_row(length: int, found: int, now: int, packets: float, row: Row) -> None:
    """A queue length alone, over the baseline's, over the present, and in time."""
    row[LENGTH] = log2(length, 15)
    row[LENGTH + 1] = log2(length / max(1, found), 8)
    row[LENGTH + 2] = log2(length / max(1, now), 8)
    row[LENGTH + 3] = log2(length / max(1.0, packets), 8)


@compiled
def _arriving(h: Host, trial: Trial, seconds: float) -> float:
    """Packets a millisecond towards a vif."""
    packets = 0
    for v in range(h.vifs):
        packets += trial.vif[v].in_packets
    return packets / seconds / max(1, h.vifs) / 1e3


@compiled
def _subject_row(
    h: Host, d: Decision, found: Trial, start: Trial, seconds: float, row: Row, at: int
) -> None:
    """Who a choice is about (``SUBJECT``): one entity, the driver domain, or all I/O guests."""
    i = d.entity
    if i >= 0:
        row[at], row[at + 1], row[at + 2] = start.use[i], found.use[i], 0.0
        for j in range(h.entities):
            if h.peers[i] >> j & 1:
                row[at + 2] += start.use[j]
        vifs, vcpus = h.owned[i], h.owners[i]
    else:
        role, other = IO_VCPUS, BACKENDS
        if d.kind == DRIVER_WEIGHT:
            role, other = other, role
        row[at], row[at + 1] = _used(h, start, role), _used(h, found, role)
        row[at + 2] = _used(h, start, other)
        vifs, vcpus = (1 << h.vifs) - 1, h.members[IO_VCPUS]
    everything = guest_bandwidth(h, start, -1, seconds) or 1.0
    packets, moved = traffic(h, start, vifs)
    row[at + 3] = guest_bandwidth(h, start, vifs, seconds) / everything
    row[at + 4] = packet_size(packets, moved)
    row[at + 5] = log2(1 + vcpus, 5)
    row[at + 6] = log2(1 + size(vifs), 5)


@compiled
def _used(h: Host, trial: Trial, role: int) -> float:
    """Cores used by all entities of a role."""
    used = 0.0
    for i in range(h.entities):
        if h.role[i] == role:
            used += trial.use[i]
    return used


@compiled
def _copy(source: list[float], first: int, count: int, row: Row, at: int) -> int:
    for k in range(count):
        row[at + k] = source[first + k]
    return at + count


@compiled
def _bounded(number: float) -> float:
    """Within ``BOUND``; what is no number, too."""
    if not number < BOUND:
        return BOUND
    return max(number, -BOUND)
