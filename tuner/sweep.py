"""What-if: one knob of a simulated host through its values, all else as it is."""

import statistics
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from envs.errors import InputError
from envs.host import HostSpec, Knob, Record, Settings
from envs.knobs import violations
from envs.menu import Menu
from envs.reward import bandwidth, cores_used, drop_share
from envs.scenario import Scenario
from envs.sim.host import SimHost
from tuner.settings import core_list

RUNS = 5
"""Loads that each value is measured under: their spread shows what is chance."""
BOOSTS = (1, 2, 3, 4, 6, 8)
LEAST_CORES = 1e-3


class Spread(Record, frozen=True):
    """The median of several measurements, and the lowest and highest."""

    median: float
    low: float
    high: float


class Point(Record, frozen=True):
    """One value of the knob, and what the host gave with it.

    ``bandwidth`` in Gb/s, ``cores`` used for I/O, ``per_core`` their ratio; ``drops`` the share of
    packets dropped; ``latency`` the 99th percentile in seconds where anything was received.
    """

    value: str
    found: bool
    settings: Settings
    bandwidth: Spread
    cores: Spread
    per_core: Spread
    drops: float
    latency: float | None


def sweep(
    scenario: Scenario, settings: Settings, knob: Knob, seconds: float, seed: int
) -> tuple[Point, ...]:
    """Measure every value of ``knob`` under the same ``RUNS`` loads, from ``seed`` on.

    Raises InputError where this host has nothing to choose from.
    """
    hosts = [SimHost(scenario, seed + run) for run in range(RUNS)]
    spec, stock = hosts[0].describe(), hosts[0].settings()
    values = {
        name: made
        for name, made in _values(spec, stock, settings, knob)
        if not any(violations(spec, made, stock))
    }
    if len(values) < 2:
        raise InputError(f"{scenario.name} has nothing to choose from for {knob}")
    return tuple(
        _point(hosts, name, made, found=made == settings, seconds=seconds)
        for name, made in values.items()
    )


def _values(
    spec: HostSpec, stock: Settings, now: Settings, knob: Knob
) -> Iterator[tuple[str, Settings]]:
    """The settings to try, by what a person would call the value."""
    if knob == "tx_queue":
        return _queues(spec, now)
    if knob == "weight":
        return _boosts(spec, stock, now)
    if knob == "bridge":
        return ((mode, replace(now, bridge=mode)) for mode in spec.limits.bridge)
    if knob == "side_cores":
        return _reservations(Menu(spec, stock), now)
    return _places(Menu(spec, stock), now)


def _queues(spec: HostSpec, now: Settings) -> Iterator[tuple[str, Settings]]:
    """Powers of two, the longest, and what there is."""
    low, high = spec.limits.tx_queue or (1, 0)
    lengths = {2**power for power in range(16)} | {high} | set(now.tx_queue.values())
    for length in sorted(length for length in lengths if low <= length <= high):
        yield str(length), replace(now, tx_queue=dict.fromkeys(now.tx_queue, length))


def _boosts(spec: HostSpec, stock: Settings, now: Settings) -> Iterator[tuple[str, Settings]]:
    """The driver domain and the I/O guests together."""
    high = spec.limits.weight[1]
    for boost in BOOSTS if spec.limits.weights else ():
        raised = {d: min(high, boost * stock.weight[d]) for d in spec.limits.weights}
        yield f"x{boost}", replace(now, weight={**now.weight, **raised})


def _reservations(menu: Menu, now: Settings) -> Iterator[tuple[str, Settings]]:
    """None, one, two, …; near the uplink, spread, and far from it."""
    for value in menu.values("side_cores", "", now):
        how = f" {'polling' if value.polling else 'sleeping'}" if value.cores else ""
        name = core_list(value.cores) + how or "none"
        yield name, menu.settle("side_cores", "", value, now)


def _places(menu: Menu, now: Settings) -> Iterator[tuple[str, Settings]]:
    """All backends together: on every core, an LLC domain, a single core."""
    names = [backend.name for backend in menu.spec.backends]
    for value in menu.values("backend", names[0], now):
        place = {**now.placement, **dict.fromkeys(names, value.cores)}
        yield f"backends on {core_list(value.cores)}", replace(now, placement=place)


def _point(
    hosts: Sequence[SimHost], name: str, settings: Settings, *, found: bool, seconds: float
) -> Point:
    samples = []
    for host in hosts:
        host.apply(settings)
        samples.append(host.measure(seconds))
    spec = hosts[0].describe()
    gbps = [bandwidth(sample) for sample in samples]
    cores = [cores_used(spec, settings, sample) for sample in samples]
    delays = [sample.latency for sample in samples if sample.latency is not None]
    return Point(
        value=name,
        found=found,
        settings=settings,
        bandwidth=_spread(gbps),
        cores=_spread(cores),
        per_core=_spread([g / max(c, LEAST_CORES) for g, c in zip(gbps, cores, strict=True)]),
        drops=statistics.median(drop_share(sample) for sample in samples),
        latency=statistics.median(delays) if delays else None,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median=statistics.median(values), low=min(values), high=max(values))
