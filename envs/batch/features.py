"""Settings, samples and verdicts as rows, compiled: ``envs.features`` names the numbers.

Each function writes its numbers from ``at`` on and gives where the next ones go.
"""

import math

import numpy as np
from numpy.typing import NDArray

from envs.batch.judging import bandwidth, cores_used, drop_share
from envs.batch.records import MARGINS, MODES, Host, Setting, Trial
from envs.batch.values import size
from envs.features import SAMPLE, SETTINGS
from envs.sim.compiled import called, compiled

Row = NDArray[np.float64] | list[float]
"""An array, or a table of a record."""


@called
def settings_row(h: Host, base: Setting, setting: Setting, row: Row, at: int) -> int:
    """Every knob but the placement (``SETTINGS``)."""
    cores, queue, found = size(setting.side_cores), setting.tx_queue, base.tx_queue
    row[at] = cores / h.cores
    row[at + 1] = cores > 0
    row[at + 2] = setting.polling
    row[at + 3] = log2(setting.driver_weight / max(1, base.driver_weight), 3)
    row[at + 4] = log2(setting.guest_weight / max(1, base.guest_weight), 3)
    row[at + 5] = log2(queue, 15)
    row[at + 6] = log2(queue / found, 8)
    for mode in range(MODES):
        row[at + 7 + mode] = setting.bridge == mode
    return at + len(SETTINGS)


@called
def sample_row(h: Host, trial: Trial, seconds: float, row: Row, at: int) -> int:
    """What was measured (``SAMPLE``)."""
    gbps, used = bandwidth(h, trial, seconds), cores_used(h, trial, seconds)
    backends, busiest_backend, io, busiest_io, cpu = _cpu_times(h, trial, seconds)
    busy, busiest, idlest = 0.0, 0.0, math.inf
    for c in range(h.cores):
        share = trial.busy[c] / seconds
        busy += share
        busiest, idlest = max(busiest, share), min(idlest, share)
    packets, moved = traffic(h, trial, -1)
    row[at] = log2(gbps, 7)
    row[at + 1] = gbps / h.gbps if h.gbps else 0.0
    row[at + 2] = log2(gbps / max(used, 0.01), 7)
    row[at + 3] = used / h.cores
    row[at + 4] = backends / h.cores
    row[at + 5] = busiest_backend
    row[at + 6] = io / h.cores
    row[at + 7] = busiest_io
    row[at + 8] = cpu / h.cores
    row[at + 9] = 0.0  # softirq: the simulator bills interrupts to whom they interrupt
    row[at + 10] = busy / h.cores
    row[at + 11] = busiest
    row[at + 12] = idlest
    row[at + 13] = math.sqrt(drop_share(h, trial))
    row[at + 14] = trial.up_in_bytes / max(1, moved)
    row[at + 15] = trial.up_out_bytes / max(1, moved)
    row[at + 16] = packet_size(packets, moved)
    row[at + 17] = log2(max(trial.latency, 0.0) * 1e6, 20)
    row[at + 18] = trial.latency >= 0.0
    row[at + 19] = log2(trial.misses / max(1.0, moved / 1500), 10)
    row[at + 20] = 1.0
    return at + len(SAMPLE)


@called
def trial_row(h: Host, base: Setting, trial: Trial, seconds: float) -> None:
    """All that is told of a trial (``TRIAL``), in its own row."""
    row = trial.row
    row[0] = 1.0
    at = settings_row(h, base, trial, row, 1)
    at = sample_row(h, trial, seconds, row, at)
    row[at] = trial.gain
    row[at + 1] = trial.reward
    row[at + 2] = trial.holds
    for kind in range(MARGINS):
        row[at + 3 + kind] = trial.margin[kind]


@compiled
def traffic(h: Host, trial: Trial, vifs: int) -> tuple[int, int]:
    """The packets and bytes that crossed a set of vifs (-1: all of them)."""
    packets, moved = 0, 0
    for v in range(h.vifs):
        if vifs >> v & 1:
            packets += trial.vif[v].in_packets + trial.vif[v].out_packets
            moved += trial.vif[v].in_bytes + trial.vif[v].out_bytes
    return packets, moved


@compiled
def packet_size(packets: int, moved: int) -> float:
    """The mean size of a packet, from 64 bytes at 0 to 64 KiB at 1."""
    return log2(moved / packets / 64, 10) if packets and moved else 0.0


@compiled
def log2(value: float, scale: float) -> float:
    """The binary logarithm over ``scale``; what is less than 1/64, or nothing, counts as 1/64."""
    return math.log2(max(value, 2.0**-6)) / scale


@compiled
def _cpu_times(h: Host, trial: Trial, seconds: float) -> tuple[float, float, float, float, float]:
    """Cores used by backends, by I/O guests and by the others; the busiest of the first two."""
    backends, busiest_backend = 0.0, 0.0
    for i in range(h.backends):
        backends += trial.backend_cpu[i] / seconds
        busiest_backend = max(busiest_backend, trial.backend_cpu[i] / seconds)
    io, busiest_io, cpu = 0.0, 0.0, 0.0
    for g in range(h.guests):
        used = trial.guest_cpu[g] / seconds
        if h.guest[g].cpu:
            cpu += used
        else:
            io += used
            busiest_io = max(busiest_io, used / h.guest[g].vcpus)
    return backends, busiest_backend, io, busiest_io, cpu
