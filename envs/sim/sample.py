"""From the counters of a state to a Sample: the difference of two moments."""

import math

import numpy as np

from envs.errors import TunerError
from envs.host import HostSpec, Port, Record, Sample, Settings, Traffic
from envs.sim.compile import States
from envs.sim.latency import Answers, percentile

_COUNTERS = (
    *(f"up_{way}_{what}" for way in ("in", "out") for what in ("bytes", "packets", "drops")),
    "latency",
    "answered",
)
_VIF = ("in_bytes", "in_packets", "in_drops", "out_bytes", "out_packets")
PERCENTILE = 0.99
STAGES = (
    "driver domain: NIC",
    "driver domain: deliver",
    "driver domain: collect",
    "guests: receive",
    "guests: send",
    "signals",
    "driver domain: switches",
    "guests: switches",
    "CPU-bound guests: switches",
)
"""The stages of a packet's way, as ``envs.sim.state`` numbers them."""


class StageUse(Record, frozen=True):
    """What a stage took in an interval: processor time, and cache lines from outside the LLC."""

    seconds: float
    misses: float


class Counters:
    """A copy of what a state has counted by now."""

    def __init__(self, states: States) -> None:
        s = states[0]
        self.host = {key: np.array(s[key], float) for key in _COUNTERS}
        self.vif = {key: np.array(s["vif"][key], float) for key in _VIF}
        self.cpu = np.array(s["vcpu"]["cpu"])
        self.work = np.array(s["vcpu"]["work"])
        self.busy = np.array(s["core"]["busy"])
        self.delivered = int(s["flow"]["delivered"].sum())
        self.stage = {key: np.array(s["stage"][key]) for key in ("time", "misses")}


def sample_between(
    spec: HostSpec, settings: Settings, before: Counters, after: Counters, seconds: float
) -> Sample:
    """The sample of an interval of ``seconds`` between two copies of the counters."""
    host = {key: after.host[key] - before.host[key] for key in _COUNTERS}
    vif = {key: after.vif[key] - before.vif[key] for key in _VIF}
    cpu = 1e-9 * (after.cpu - before.cpu)
    work = 1e-9 * (after.work - before.work)
    busy = 1e-9 * (after.busy - before.busy)
    backends = {b.name: float(cpu[i]) for i, b in enumerate(spec.backends)}
    core_busy = {core.id: float(busy[c]) for c, core in enumerate(spec.cores)}
    if settings.polling:
        _spin(spec, settings, backends, core_busy, seconds)
    at, guest_cpu, guest_work = len(spec.backends), {}, {}
    for guest in spec.guests:
        mine = slice(at, at + len(guest.vcpus))
        guest_cpu[guest.name] = float(cpu[mine].sum())
        if guest.role == "cpu":
            guest_work[guest.name] = float(work[mine].sum())
        at = mine.stop
    return Sample(
        seconds=seconds,
        vifs={name: _port({key: vif[key][v] for key in _VIF}) for v, name in enumerate(spec.vifs)},
        uplink=_port({key[3:]: float(host[key]) for key in _COUNTERS[:6]}),
        guest_cpu=guest_cpu,
        backend_cpu=backends,
        core_busy=core_busy,
        work=guest_work,
        latency=percentile(host["latency"], PERCENTILE),
        cache_misses=float((after.stage["misses"] - before.stage["misses"]).sum()),
    )


def answers_between(before: Counters, after: Counters, seconds: float) -> Answers | None:
    """Requests answered in an interval of ``seconds``, None if there were none."""
    classes = after.host["answered"] - before.host["answered"]
    median, p90, p99 = (percentile(classes, share) for share in (0.5, 0.9, 0.99))
    if median is None or p90 is None or p99 is None:
        return None
    return Answers(per_second=float(classes.sum()) / seconds, median=median, p90=p90, p99=p99)


def stages_between(before: Counters, after: Counters) -> dict[str, StageUse]:
    """What each stage took between two copies of the counters.

    Time is booked when work begins, so the edges of the interval are off by a batch.
    """
    seconds = 1e-9 * (after.stage["time"] - before.stage["time"])
    misses = after.stage["misses"] - before.stage["misses"]
    return {
        name: StageUse(seconds=float(seconds[k]), misses=float(misses[k]))
        for k, name in enumerate(STAGES)
    }


def refuse_nonsense(sample: Sample, who: str) -> None:
    """Raise TunerError if a number is not finite, negative, or more CPU time than there was."""
    numbers = [sample.cache_misses or 0.0, sample.latency or 0.0, *sample.work.values()]
    numbers += [*sample.guest_cpu.values(), *sample.backend_cpu.values()]
    for port in (*sample.vifs.values(), sample.uplink):
        for flow in (port.inward, port.outward):
            numbers += [flow.bytes, flow.packets, flow.drops]
    busy = sample.core_busy.values()
    wrong = any(not math.isfinite(x) or x < 0.0 for x in (*numbers, *busy))
    if wrong or any(x > sample.seconds * (1 + 1e-9) for x in busy):
        raise TunerError(f"{who}: the simulation gave impossible counters; please report it")


def _spin(
    spec: HostSpec,
    settings: Settings,
    backends: dict[str, float],
    core_busy: dict[int, float],
    seconds: float,
) -> None:
    """A polled core is busy all the time; what its pollers did not work, they spun, equally."""
    reserved = set(settings.side_cores)
    for core in reserved:
        core_busy[core] = seconds
    pollers = [b.name for b in spec.backends if reserved.issuperset(settings.placement[b.name])]
    if not pollers:
        return
    worked = 0.0
    for name in pollers:
        worked += backends[name]  # sum() rounds differently since Python 3.12
    spun = max(0.0, len(reserved) * seconds - worked)
    for name in pollers:
        backends[name] += spun / len(pollers)


def _port(counts: dict[str, float]) -> Port:
    return Port(inward=_traffic(counts, "in"), outward=_traffic(counts, "out"))


def _traffic(counts: dict[str, float], way: str) -> Traffic:
    return Traffic(
        bytes=int(counts[f"{way}_bytes"]),
        packets=int(counts[f"{way}_packets"]),
        drops=int(counts.get(f"{way}_drops", 0)),
    )
