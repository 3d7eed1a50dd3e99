"""A simulated host that tells of itself what a live host would: less, and less exactly.

The simulator knows latency and cache misses, which few live hosts tell, and measures the same load
twice to the last bit, which none does. An agent that has learned on that alone is lost on a live
host: without them, the shipped one of the time took the right first choice on the simulated lab
with a chance of 0.1 instead of 0.8.
"""

from collections.abc import Mapping, Sequence
from typing import Self, TypeVar

import msgspec
import numpy as np

from envs.host import Port, Record, Sample, Traffic
from envs.pooling import pool
from envs.scenario import Scenario, generate
from envs.sim.host import SimHost

K = TypeVar("K", str, int)

KNOWN = 0.3
"""The share of hosts that tell latency, and of those that tell cache misses."""
NOISE = 0.05
"""The most by which a sample is off (standard deviation of the logarithm): a lab on a machine that
had other work showed 0.08 in one sample of half a second (``results/noise.json.gz``), and a tuner
takes several of each setting."""


class Telemetry(Record, frozen=True):
    """What a host tells of a sample; ``noise`` is that of its traffic, and of its CPU times."""

    latency: bool
    cache_misses: bool
    noise: float

    @classmethod
    def of_host(cls, seed: int) -> Self:
        """That of the host of that seed."""
        return cls.draw(np.random.default_rng(seed))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """That of a random host."""
        latency, cache_misses = rng.random(2) < KNOWN
        noise = float(rng.uniform(0.0, NOISE))
        return cls(latency=bool(latency), cache_misses=bool(cache_misses), noise=noise)

    def gaps(self, sample: Sample) -> Sample:
        """The sample without what the host does not tell."""
        return msgspec.structs.replace(
            sample,
            latency=sample.latency if self.latency else None,
            cache_misses=sample.cache_misses if self.cache_misses else None,
        )

    def told(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample as the host tells it, with gaps and noise."""
        moved, spent = np.exp(rng.normal(0.0, self.noise, 2))
        return msgspec.structs.replace(
            self.gaps(sample),
            vifs={vif: _port(port, moved) for vif, port in sample.vifs.items()},
            uplink=_port(sample.uplink, moved),
            guest_cpu=_times(sample.guest_cpu, spent),
            backend_cpu=_times(sample.backend_cpu, spent),
            core_busy=_times(sample.core_busy, spent),
            softirq=sample.softirq * spent,
        )


class ToldHost(SimHost):
    """A simulated host whose samples have the gaps of its telemetry, and its noise if ``noisy``."""

    def __init__(self, scenario: Scenario, seed: int, *, noisy: bool = True) -> None:
        super().__init__(scenario, seed)
        self.telemetry = Telemetry.of_host(seed)
        self._noise = np.random.default_rng(seed) if noisy else None

    def measure(self, seconds: float) -> Sample:
        """As ``SimHost`` measures, but as it is told."""
        return self._told(super().measure(seconds))

    def _told(self, sample: Sample) -> Sample:
        if self._noise is None:
            return self.telemetry.gaps(sample)
        return self.telemetry.told(sample, self._noise)


class PooledHost(ToldHost):
    """Its measurement is what a live tuner makes of a setting: several samples, pooled.

    Each is taken under a load of its own, of the same scenario, the generated one of ``seed``
    unless another is given; ``loads`` are their seeds.
    """

    def __init__(
        self,
        seed: int,
        loads: Sequence[int],
        *,
        noisy: bool = True,
        scenario: Scenario | None = None,
    ) -> None:
        super().__init__(scenario or generate(seed), seed, noisy=noisy)
        self._loads = [SimHost(self.scenario, load) for load in loads]

    def measure(self, seconds: float) -> Sample:
        """As many samples of ``seconds`` as there are loads, as one."""
        samples = []
        for host in self._loads:
            host.apply(self.settings())
            samples.append(self._told(host.measure(seconds)))
        return pool(samples)


def _port(port: Port, factor: float) -> Port:
    return Port(inward=_traffic(port.inward, factor), outward=_traffic(port.outward, factor))


def _traffic(traffic: Traffic, factor: float) -> Traffic:
    return Traffic(
        bytes=round(traffic.bytes * factor),
        packets=round(traffic.packets * factor),
        drops=round(traffic.drops * factor),
    )


def _times(times: Mapping[K, float], factor: float) -> dict[K, float]:
    return {key: seconds * factor for key, seconds in times.items()}
