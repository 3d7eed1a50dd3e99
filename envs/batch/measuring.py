"""A measurement, compiled: simulate a setting from the beginning and take a sample.

What ``envs.sim.host`` and ``envs.sim.sample`` do for one host, to the last bit.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from envs.batch.applying import apply_setting
from envs.batch.records import Host, Trial
from envs.batch.values import size
from envs.sim.compiled import called, compiled, lowest
from envs.sim.host import RESET
from envs.sim.latency import STEPS
from envs.sim.sample import PERCENTILE
from envs.sim.state import LATENCIES, STAGES, STATE, State

Block = NDArray[np.uint8]
Row = NDArray[np.float64]


class Workspace(NamedTuple):
    """Room for one simulation: a state as it is now and as it was when the interval began.

    ``now_bytes`` and ``then_bytes`` are the same memory; ``few`` is room for numbers to be summed.
    """

    now: Sequence[State]
    then: Sequence[State]
    now_bytes: Block
    then_bytes: Block
    few: Row


def workspace() -> Workspace:
    """An empty one. Its pages come only as they are used."""
    now, then = np.zeros(1, STATE), np.zeros(1, STATE)
    return Workspace(
        now=cast("Sequence[State]", now),  # as compiled code sees it
        then=cast("Sequence[State]", then),
        now_bytes=now.view("u1"),
        then_bytes=then.view("u1"),
        few=np.zeros(32),
    )


@called
def begin_simulation(w: Workspace, begin: Block, h: Host, base: Trial, trial: Trial) -> None:
    """Bring the state to its beginning, with the setting of ``trial`` in it.

    ``begin`` holds it without segments, which an empty queue has not.
    """
    w.now_bytes[:RESET] = begin
    apply_setting(w.now[0], h, base, trial)


@called
def begin_interval(w: Workspace) -> None:
    """Remember what has been counted by now."""
    w.then_bytes[:RESET] = w.now_bytes[:RESET]


@called
def take_sample(w: Workspace, h: Host, trial: Trial, seconds: float) -> bool:
    """Put what was counted since into ``trial``; False if that is impossible."""
    _take_traffic(w.now[0], w.then[0], h, trial)
    _take_times(w, h, trial, seconds)
    for i in range(h.backends):
        trial.use[i] = trial.backend_cpu[i] / seconds
    for g in range(h.guests):
        guest = h.guest[g]
        for i in range(guest.first, guest.first + guest.vcpus):
            trial.use[i] = trial.guest_cpu[g] / guest.vcpus / seconds
    return _sensible(h, trial, seconds)


@compiled
def _take_traffic(now: State, then: State, h: Host, trial: Trial) -> None:
    trial.up_in_bytes = now.up_in_bytes - then.up_in_bytes
    trial.up_in_packets = now.up_in_packets - then.up_in_packets
    trial.up_in_drops = now.up_in_drops - then.up_in_drops
    trial.up_out_bytes = now.up_out_bytes - then.up_out_bytes
    trial.up_out_packets = now.up_out_packets - then.up_out_packets
    trial.up_out_drops = now.up_out_drops - then.up_out_drops
    for v in range(h.vifs):
        counts, after, before = trial.vif[v], now.vif[v], then.vif[v]
        counts.in_bytes = after.in_bytes - before.in_bytes
        counts.in_packets = after.in_packets - before.in_packets
        counts.in_drops = after.in_drops - before.in_drops
        counts.out_bytes = after.out_bytes - before.out_bytes
        counts.out_packets = after.out_packets - before.out_packets
    trial.latency = _percentile(now, then)


@compiled
def _percentile(now: State, then: State) -> float:
    """The delay that the given share is below, in seconds; -1 of nothing."""
    total = 0
    for k in range(LATENCIES):
        total += now.latency[k] - then.latency[k]
    if total <= 0:
        return -1.0
    seen, k = now.latency[0] - then.latency[0], 0
    while seen < PERCENTILE * total:
        k += 1
        seen += now.latency[k] - then.latency[k]
    return 1e-6 * 2.0 ** (k // STEPS) * (1.0 + (k % STEPS + 1) / STEPS)


@compiled
def _take_times(w: Workspace, h: Host, trial: Trial, seconds: float) -> None:
    now, then, few = w.now[0], w.then[0], w.few
    for i in range(h.backends):
        trial.backend_cpu[i] = 1e-9 * (now.vcpu[i].cpu - then.vcpu[i].cpu)
    for g in range(h.guests):
        guest = h.guest[g]
        for k in range(guest.vcpus):
            i = guest.first + k
            few[k] = 1e-9 * (now.vcpu[i].cpu - then.vcpu[i].cpu)
        trial.guest_cpu[g] = _total(few, guest.vcpus)
        for k in range(guest.vcpus):
            i = guest.first + k
            few[k] = 1e-9 * (now.vcpu[i].work - then.vcpu[i].work)
        trial.work[g] = _total(few, guest.vcpus) if guest.cpu else 0.0
    for c in range(h.cores):
        trial.busy[c] = 1e-9 * (now.core[c].busy - then.core[c].busy)
    for k in range(STAGES):
        few[k] = now.stage[k].misses - then.stage[k].misses
    trial.misses = _total(few, STAGES)
    if trial.polling:
        _spin(h, trial, seconds)


@compiled
def _spin(h: Host, trial: Trial, seconds: float) -> None:
    """A polled core is busy all the time; what its pollers did not work, they spun, equally."""
    left = trial.side_cores
    while left:
        trial.busy[lowest(left)] = seconds
        left &= left - 1
    pollers, worked = 0, 0.0
    for i in range(h.backends):
        if trial.placement[i] & ~trial.side_cores == 0:
            pollers += 1
            worked += trial.backend_cpu[i]
    spun = max(0.0, size(trial.side_cores) * seconds - worked)
    for i in range(h.backends):
        if trial.placement[i] & ~trial.side_cores == 0:
            trial.backend_cpu[i] += spun / pollers


@compiled
def _total(numbers: Row, count: int) -> float:
    """The sum of fewer than 32 numbers in the order in which NumPy adds them: in eight lanes."""
    total, at = 0.0, 0
    if count >= 8:
        at = 8 * (count // 8)
        for k in range(8, at):
            numbers[k % 8] += numbers[k]
        left = (numbers[0] + numbers[1]) + (numbers[2] + numbers[3])
        total = left + ((numbers[4] + numbers[5]) + (numbers[6] + numbers[7]))
    for k in range(at, count):
        total += numbers[k]
    return total


@compiled
def _sensible(h: Host, trial: Trial, seconds: float) -> bool:
    """Whether every number is finite and not negative, and no core was busy for too long."""
    good = trial.latency == -1.0 or 0.0 <= trial.latency < np.inf
    good = good and 0.0 <= trial.misses < np.inf
    for v in range(h.vifs):
        counts = trial.vif[v]
        good = good and min(counts.in_bytes, counts.in_packets, counts.in_drops) >= 0
        good = good and min(counts.out_bytes, counts.out_packets) >= 0
    good = good and min(trial.up_in_bytes, trial.up_in_packets, trial.up_in_drops) >= 0
    good = good and min(trial.up_out_bytes, trial.up_out_packets, trial.up_out_drops) >= 0
    for i in range(h.backends):
        good = good and 0.0 <= trial.backend_cpu[i] < np.inf
    for g in range(h.guests):
        good = good and 0.0 <= trial.guest_cpu[g] < np.inf and 0.0 <= trial.work[g] < np.inf
    for c in range(h.cores):
        good = good and 0.0 <= trial.busy[c] <= seconds * (1 + 1e-9)
    return good
