"""Bandwidth per core, and the guards that keep it honest.

    bandwidth per core = goodput (Gb/s) / cores used for I/O

*Goodput* counts each byte once, where it leaves the last host queue before its receiver: into a
guest through its vif, or out of the host through the uplink. *Cores used for I/O* are the
backends, the I/O guests and interrupt work that is in neither; a side-core counts 1 in all, busy
or not, and the backends confined to side-cores are not counted again. CPU-bound guests are not
counted; a guard protects them.

One function, ``judge``, compares a sample with the baseline's. It is used in training, in
comparisons and on live hosts alike.
"""

import math
from typing import Annotated

from msgspec import Meta

from envs.host import HostSpec, Record, Sample, Settings

Share = Annotated[float, Meta(gt=0.0)]


class Guards(Record, frozen=True):
    """What a setting must not break, as fractions.

    ``tolerance`` is what noise may take from a bandwidth before its guard counts as broken.
    ``bandwidth`` and ``guest_bandwidth`` are the least total and per-guest bandwidth relative to
    the baseline. ``cpu_work`` is the least a CPU-bound guest keeps of the smaller of its baseline
    and its fair share. ``drops`` is how far the share of dropped packets may rise above the
    baseline's, ``latency`` the largest ratio to the baseline's where it is measured.
    """

    tolerance: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.05
    bandwidth: Share = 1.0
    guest_bandwidth: Share = 1.0
    cpu_work: Share = 0.9
    drops: Annotated[float, Meta(ge=0.0)] = 0.05
    latency: Share = 2.0


class Guard(Record, frozen=True):
    """One guard's outcome. ``margin`` is relative: 0 just holds, below 0 is broken."""

    name: str
    margin: float

    @property
    def holds(self) -> bool:
        """Whether the guard is kept."""
        return self.margin >= 0.0


class Verdict(Record, frozen=True):
    """A sample judged against the baseline's.

    ``bandwidth`` in Gb/s, ``cores`` used for I/O, ``per_core`` their ratio in Gb/s per core;
    ``gain`` is the natural logarithm of ``per_core`` over the baseline's, ``reward`` the gain
    less the penalty for broken guards.
    """

    bandwidth: float
    cores: float
    per_core: float
    gain: float
    reward: float
    guards: tuple[Guard, ...]

    @property
    def holds(self) -> bool:
        """Whether every guard is kept."""
        return all(guard.holds for guard in self.guards)

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the broken guards."""
        return tuple(guard.name for guard in self.guards if not guard.holds)


PENALTY = 4.0
"""Reward lost per unit of a guard's shortfall: a guard missed by 25 % costs a whole e-fold."""
MAX_SHORTFALL = 1.0
"""A shortfall counts at most this much, so that one dead guest does not drown all else."""
LEAST_CORES = 1e-3
LEAST_GBPS = 1e-6


def bandwidth(sample: Sample) -> float:
    """Goodput of the host in Gb/s."""
    delivered = sum(port.inward.bytes for port in sample.vifs.values())
    return 8e-9 * (delivered + sample.uplink.outward.bytes) / sample.seconds


def guest_bandwidth(sample: Sample, vifs: tuple[str, ...]) -> float:
    """What crosses a guest's vifs in both directions, in Gb/s."""
    ports = [sample.vifs[vif] for vif in vifs]
    return 8e-9 * sum(p.inward.bytes + p.outward.bytes for p in ports) / sample.seconds


def cores_used(spec: HostSpec, settings: Settings, sample: Sample) -> float:
    """Cores spent on I/O: side-cores whole, and the CPU time of backends and I/O guests."""
    reserved = frozenset(settings.side_cores)
    backends = sum(
        seconds
        for name, seconds in sample.backend_cpu.items()
        if not (reserved and reserved.issuperset(settings.placement[name]))
    )
    guests = sum(sample.guest_cpu[guest.name] for guest in spec.guests if guest.role == "io")
    interrupts = 0.0 if spec.softirq_in_tasks else sample.softirq
    return len(reserved) + (backends + guests + interrupts) / sample.seconds


def drop_share(sample: Sample) -> float:
    """Dropped packets as a share of those offered to the queues that drop."""
    flows = [port.inward for port in sample.vifs.values()] + [sample.uplink.outward]
    dropped = sum(flow.drops for flow in flows)
    return dropped / max(1, dropped + sum(flow.packets for flow in flows))


def judge(
    spec: HostSpec,
    settings: Settings,
    sample: Sample,
    baseline_settings: Settings,
    baseline: Sample,
    guards: Guards | None = None,
) -> Verdict:
    """Compare ``sample`` under ``settings`` with the baseline under the same load."""
    rules = guards or Guards()
    gbps, cores = bandwidth(sample), cores_used(spec, settings, sample)
    per_core = _per_core(gbps, cores)
    before = _per_core(bandwidth(baseline), cores_used(spec, baseline_settings, baseline))
    gain = math.log(per_core / before)
    outcomes = tuple(_guards(spec, sample, baseline, rules))
    shortfall = sum(min(MAX_SHORTFALL, max(0.0, -guard.margin)) for guard in outcomes)
    return Verdict(
        bandwidth=gbps,
        cores=cores,
        per_core=per_core,
        gain=gain,
        reward=gain - PENALTY * shortfall,
        guards=outcomes,
    )


def _per_core(gbps: float, cores: float) -> float:
    return max(gbps, LEAST_GBPS) / max(cores, LEAST_CORES)


def _guards(spec: HostSpec, sample: Sample, baseline: Sample, rules: Guards) -> list[Guard]:
    slack = 1.0 - rules.tolerance
    outcomes = [
        _at_least("bandwidth", bandwidth(sample), bandwidth(baseline), rules.bandwidth * slack)
    ]
    for guest in spec.guests:
        if guest.role == "io" and guest.vifs:
            now, then = (guest_bandwidth(s, guest.vifs) for s in (sample, baseline))
            least = rules.guest_bandwidth * slack
            outcomes.append(_at_least(f"bandwidth of {guest.name}", now, then, least))
        elif guest.role == "cpu":
            outcomes.append(_cpu_guard(spec, guest.name, sample, baseline, rules.cpu_work))
    risen = drop_share(sample) - drop_share(baseline)
    outcomes.append(Guard(name="drops", margin=rules.drops - risen))
    if sample.latency is not None and baseline.latency:
        ratio = sample.latency / baseline.latency
        outcomes.append(Guard(name="latency", margin=1.0 - ratio / rules.latency))
    return outcomes


def _cpu_guard(spec: HostSpec, guest: str, sample: Sample, baseline: Sample, least: float) -> Guard:
    """A CPU-bound guest keeps a share of the smaller of its baseline and its fair share.

    The fair share is what equal division of all cores among the VCPUs of CPU-bound guests and
    I/O domains would give; progress is work done where it is known, CPU time elsewhere.
    """
    now, then = sample.guest_cpu[guest], baseline.guest_cpu[guest]
    vcpus = next(len(g.vcpus) for g in spec.guests if g.name == guest)
    entities = len(spec.vcpus) + len(spec.backends)
    fair = min(float(vcpus), vcpus * len(spec.cores) / entities)
    rate_then = then / baseline.seconds
    entitled = min(1.0, fair / rate_then) if rate_then > 0 else 1.0
    if guest in sample.work and guest in baseline.work:
        now, then = sample.work[guest], baseline.work[guest]
    progress, before = now / sample.seconds, then / baseline.seconds
    return _at_least(f"work of {guest}", progress, before * entitled, least)


def _at_least(name: str, value: float, reference: float, share: float) -> Guard:
    if reference <= 0.0:
        return Guard(name=name, margin=0.0)
    return Guard(name=name, margin=value / reference / share - 1.0)
