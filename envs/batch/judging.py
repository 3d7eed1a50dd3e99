"""What a trial is worth, compiled: ``envs.reward`` says why."""

import math

from envs.batch.records import MARGINS, Host, Trial
from envs.batch.values import size
from envs.reward import LEAST_CORES, LEAST_GBPS, MAX_SHORTFALL, PENALTY
from envs.sim.compiled import called, compiled

ALL, WORST_GUEST, WORST_WORK, DROPS, LATENCY = range(MARGINS)
"""The kinds of guards, in the order of the margins."""


@called
def judge(h: Host, base: Trial, trial: Trial, seconds: float) -> None:
    """Compare a trial with the baseline under the same load; put the verdict into it."""
    now, then = bandwidth(h, trial, seconds), bandwidth(h, base, seconds)
    per_core = _per_core(now, cores_used(h, trial, seconds))
    trial.gain = math.log(per_core / _per_core(then, cores_used(h, base, seconds)))
    for kind in range(MARGINS):
        trial.margin[kind] = math.inf
    slack = 1.0 - h.tolerance
    short = _miss(trial, ALL, _at_least(now, then, h.bandwidth * slack))
    for g in range(h.guests):
        guest = h.guest[g]
        if guest.cpu:
            short += _miss(trial, WORST_WORK, _work(h, base, trial, g, seconds))
        elif guest.vifs:
            now = guest_bandwidth(h, trial, guest.vifs, seconds)
            then = guest_bandwidth(h, base, guest.vifs, seconds)
            margin = _at_least(now, then, h.guest_bandwidth * slack)
            short += _miss(trial, WORST_GUEST, margin)
    risen = drop_share(h, trial) - drop_share(h, base)
    short += _miss(trial, DROPS, h.drops - risen)
    if trial.latency >= 0.0 and base.latency > 0.0:
        ratio = trial.latency / base.latency
        short += _miss(trial, LATENCY, 1.0 - ratio / h.latency)
    trial.reward = trial.gain - PENALTY * short
    trial.holds = 1
    for kind in range(MARGINS):
        trial.holds &= trial.margin[kind] >= 0.0
        if trial.margin[kind] == math.inf:
            trial.margin[kind] = 0.0


@compiled
def bandwidth(h: Host, trial: Trial, seconds: float) -> float:
    """Goodput of the host in Gb/s."""
    delivered = 0
    for v in range(h.vifs):
        delivered += trial.vif[v].in_bytes
    return 8e-9 * (delivered + trial.up_out_bytes) / seconds


@compiled
def guest_bandwidth(h: Host, trial: Trial, vifs: int, seconds: float) -> float:
    """What crosses a set of vifs in both directions, in Gb/s."""
    moved = 0
    for v in range(h.vifs):
        if vifs >> v & 1:
            moved += trial.vif[v].in_bytes + trial.vif[v].out_bytes
    return 8e-9 * moved / seconds


@compiled
def cores_used(h: Host, trial: Trial, seconds: float) -> float:
    """Cores spent on I/O: side-cores whole, and the CPU time of backends and I/O guests."""
    backends, guests = 0.0, 0.0
    for i in range(h.backends):
        if not trial.side_cores or trial.placement[i] & ~trial.side_cores:
            backends += trial.backend_cpu[i]
    for g in range(h.guests):
        if not h.guest[g].cpu:
            guests += trial.guest_cpu[g]
    return size(trial.side_cores) + (backends + guests) / seconds


@compiled
def drop_share(h: Host, trial: Trial) -> float:
    """Dropped packets as a share of those offered to the queues that drop."""
    dropped, delivered = trial.up_out_drops, trial.up_out_packets
    for v in range(h.vifs):
        dropped += trial.vif[v].in_drops
        delivered += trial.vif[v].in_packets
    return dropped / max(1, dropped + delivered)


@compiled
def _per_core(gbps: float, cores: float) -> float:
    return max(gbps, LEAST_GBPS) / max(cores, LEAST_CORES)


@compiled
def _work(h: Host, base: Trial, trial: Trial, g: int, seconds: float) -> float:
    """The margin of a CPU-bound guest: it keeps a share of its baseline or of its fair share."""
    vcpus = h.guest[g].vcpus
    fair = min(float(vcpus), vcpus * h.cores / h.entities)
    used = base.guest_cpu[g] / seconds
    entitled = min(1.0, fair / used) if used > 0.0 else 1.0
    return _at_least(trial.work[g] / seconds, base.work[g] / seconds * entitled, h.cpu_work)


@compiled
def _at_least(value: float, reference: float, share: float) -> float:
    return value / reference / share - 1.0 if reference > 0.0 else 0.0


@compiled
def _miss(trial: Trial, kind: int, margin: float) -> float:
    """Remember the worst margin of a kind; give by how much this one is missed."""
    trial.margin[kind] = min(trial.margin[kind], margin)
    return min(MAX_SHORTFALL, max(0.0, -margin))
