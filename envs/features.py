"""Hosts, samples, verdicts and settings as short rows of numbers without units.

Shares, ratios and logarithms only, so that a number means the same on a host of 2 cores at
1 Gb/s and on one of 64 at 100. Each function gives its numbers in the order of the tuple of names
above it; ``envs.encoding`` puts the rows together and bounds them.
"""

import math
from collections.abc import Iterable, Mapping

from envs.host import BRIDGE_MODES, HostSpec, Sample, Settings, Traffic
from envs.reward import Guards, Verdict, bandwidth, cores_used, drop_share

HOST = (
    "cores",
    "llc domains",
    "nodes",
    "cores per llc domain",
    "smt",
    "io guests",
    "cpu guests",
    "vcpus",
    "backends",
    "vcpus and backends per core",
    "cores near the uplink",
    "uplink rate",
    "uplink rate known",
    "backends can be placed",
    "guests can be placed",
    "driver domain's weight can be set",
    "io guests' weight can be set",
    "tx queue can be set",
    "lean bridge",
    "direct bridge",
    "side-cores",
    "polling",
)


def host_row(spec: HostSpec) -> list[float]:
    """The topology and what can be set."""
    cores, limits = spec.cores, spec.limits
    llcs = {core.llc for core in cores}
    io = [guest for guest in spec.guests if guest.role == "io"]
    return [
        log2(len(cores), 6),
        log2(len(llcs), 4),
        log2(len({core.node for core in cores}), 3),
        log2(len(cores) / len(llcs), 4),
        float(len({core.sibling for core in cores}) < len(cores)),
        log2(1 + len(io), 4),
        log2(1 + len(spec.guests) - len(io), 4),
        log2(len(spec.vcpus), 5),
        log2(len(spec.backends), 4),
        log2((len(spec.vcpus) + len(spec.backends)) / len(cores), 3),
        sum(core.llc == spec.uplink.llc for core in cores) / len(cores),
        log2(spec.uplink.gbps or 1.0, 7),
        float(spec.uplink.gbps is not None),
        float(limits.backends),
        float(limits.guests),
        float(spec.driver_domain in limits.weights),
        float(any(guest.name in limits.weights for guest in io)),
        float(limits.tx_queue is not None),
        float("lean" in limits.bridge),
        float("direct" in limits.bridge),
        limits.side_cores / len(cores),
        float(limits.polling),
    ]


GUARDS = ("tolerance", "bandwidth", "guest bandwidth", "cpu work", "drops", "latency")


def guards_row(guards: Guards) -> list[float]:
    """What a setting must not break."""
    return [
        guards.tolerance,
        guards.bandwidth,
        guards.guest_bandwidth,
        guards.cpu_work,
        guards.drops,
        log2(guards.latency, 4),
    ]


SAMPLE = (
    "bandwidth",
    "bandwidth over the uplink's rate",
    "bandwidth per core",
    "cores used for io",
    "backends' cores",
    "busiest backend",
    "io guests' cores",
    "busiest io vcpu",
    "cpu guests' cores",
    "softirq",
    "cores busy",
    "busiest core",
    "idlest core",
    "drops",
    "share from outside",
    "share to outside",
    "packet size",
    "latency",
    "latency known",
    "cache misses",
    "cache misses known",
)


def sample_row(spec: HostSpec, settings: Settings, sample: Sample) -> list[float]:
    """What was measured under ``settings``."""
    count, seconds = len(spec.cores), sample.seconds
    gbps, used = bandwidth(sample), cores_used(spec, settings, sample)
    backends = [value / seconds for value in sample.backend_cpu.values()]
    io = [guest for guest in spec.guests if guest.role == "io"]
    per_vcpu = [sample.guest_cpu[g.name] / seconds / max(1, len(g.vcpus)) for g in io]
    io_cores = sum(sample.guest_cpu[guest.name] for guest in io) / seconds
    busy = [value / seconds for value in sample.core_busy.values()]
    flows = [flow for port in sample.vifs.values() for flow in (port.inward, port.outward)]
    moved = sum(flow.bytes for flow in flows)
    return [
        log2(gbps, 7),
        gbps / spec.uplink.gbps if spec.uplink.gbps else 0.0,
        log2(gbps / max(used, 0.01), 7),
        used / count,
        sum(backends) / count,
        max(backends, default=0.0),
        io_cores / count,
        max(per_vcpu, default=0.0),
        sum(sample.guest_cpu.values()) / seconds / count - io_cores / count,
        sample.softirq / seconds / count,
        sum(busy) / count,
        max(busy, default=0.0),
        min(busy, default=0.0),
        math.sqrt(drop_share(sample)),
        sample.uplink.inward.bytes / max(1, moved),
        sample.uplink.outward.bytes / max(1, moved),
        packet_size(flows),
        log2((sample.latency or 0.0) * 1e6, 20),
        float(sample.latency is not None),
        log2((sample.cache_misses or 0.0) / max(1.0, moved / 1500), 10),
        float(sample.cache_misses is not None),
    ]


VERDICT = (
    "gain",
    "reward",
    "guards hold",
    "margin of bandwidth",
    "margin of the worst guest",
    "margin of the worst cpu guest",
    "margin of drops",
    "margin of latency",
)
_MARGINS = ("bandwidth", "bandwidth of ", "work of ", "drops", "latency")


def verdict_row(verdict: Verdict) -> list[float]:
    """How a sample was judged; a margin is the worst of its kind, 0 where there is none."""
    worst = dict.fromkeys(_MARGINS, math.inf)
    for guard in verdict.guards:
        kind = next(
            (m for m in _MARGINS if m.endswith(" ") and guard.name.startswith(m)), guard.name
        )
        worst[kind] = min(worst[kind], guard.margin)
    margins = [0.0 if math.isinf(margin) else margin for margin in worst.values()]
    return [verdict.gain, verdict.reward, float(verdict.holds), *margins]


SETTINGS = (
    "side-cores",
    "a side-core",
    "polling",
    "driver domain's level",
    "io guests' level",
    "tx queue",
    "tx queue over the baseline's",
    *(f"{mode} bridge" for mode in BRIDGE_MODES),
)


def settings_row(spec: HostSpec, baseline: Settings, settings: Settings) -> list[float]:
    """Every knob but the placement, which is told per core set."""
    queue, found = longest(settings), longest(baseline)
    io = [guest.name for guest in spec.guests if guest.role == "io"]
    return [
        len(settings.side_cores) / len(spec.cores),
        float(bool(settings.side_cores)),
        float(settings.polling),
        log2(level(baseline, settings, [spec.driver_domain]), 3),
        log2(level(baseline, settings, io), 3),
        log2(queue, 15),
        log2(queue / found, 8) if queue and found else 0.0,
        *(float(settings.bridge == mode) for mode in BRIDGE_MODES),
    ]


def longest(settings: Settings) -> int:
    """The longest TX queue, 0 without vifs."""
    return max(settings.tx_queue.values(), default=0)


def level(baseline: Settings, settings: Settings, domains: Iterable[str]) -> float:
    """By how much the weights of ``domains`` are raised at most."""
    return max((_ratio(settings.weight, baseline.weight, name) for name in domains), default=1.0)


def packet_size(flows: Iterable[Traffic]) -> float:
    """The mean size of a packet, from 64 bytes at 0 to 64 KiB at 1."""
    count = size = 0
    for flow in flows:
        count += flow.packets
        size += flow.bytes
    return log2(size / count / 64, 10) if count and size else 0.0


def log2(value: float, scale: float) -> float:
    """The binary logarithm over ``scale``; what is less than 1/64, or nothing, counts as 1/64."""
    return math.log2(max(value, 2.0**-6)) / scale


def _ratio(now: Mapping[str, int], then: Mapping[str, int], key: str) -> float:
    return now[key] / max(1, then[key])
