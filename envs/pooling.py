"""Several samples of one host as one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from envs.host import Port, Sample, Traffic

K = TypeVar("K", str, int)


def pool(samples: Iterable[Sample]) -> Sample:
    """Several samples of one host as one: intervals and counters added up.

    Latency, which does not add up, is the mean. Latency and cache misses that one sample lacks,
    the pooled one lacks.
    """
    parts = tuple(samples)
    latencies = [part.latency for part in parts if part.latency is not None]
    misses = [part.cache_misses for part in parts if part.cache_misses is not None]
    return Sample(
        seconds=sum(part.seconds for part in parts),
        vifs={vif: _port([part.vifs[vif] for part in parts]) for vif in parts[0].vifs},
        uplink=_port([part.uplink for part in parts]),
        guest_cpu=_sums([part.guest_cpu for part in parts]),
        backend_cpu=_sums([part.backend_cpu for part in parts]),
        core_busy=_sums([part.core_busy for part in parts]),
        softirq=sum(part.softirq for part in parts),
        work=_sums([part.work for part in parts]),
        latency=sum(latencies) / len(parts) if len(latencies) == len(parts) else None,
        cache_misses=sum(misses) if len(misses) == len(parts) else None,
    )


def _port(ports: Sequence[Port]) -> Port:
    return Port(
        inward=_traffic([port.inward for port in ports]),
        outward=_traffic([port.outward for port in ports]),
    )


def _traffic(flows: Sequence[Traffic]) -> Traffic:
    return Traffic(
        bytes=sum(flow.bytes for flow in flows),
        packets=sum(flow.packets for flow in flows),
        drops=sum(flow.drops for flow in flows),
    )


def _sums(maps: Sequence[Mapping[K, float]]) -> dict[K, float]:
    return {key: sum(part[key] for part in maps) for key in maps[0]}
