"""Random hosts and workloads to train and test on: Xen of 2008, modern Xen and KVM, labs.

Costs vary too, each by up to a third, so that an agent cannot learn the constants of one host.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from envs.scenario.costs import LAB_COSTS, MODERN_COSTS, Costs, Scheduler
from envs.scenario.records import (
    OUTSIDE,
    DriverDomain,
    Flow,
    GuestKind,
    Link,
    Scenario,
    Settable,
    Stock,
    Topology,
)

TRAIN_SEEDS = range(1_000_000)
VALIDATION_SEEDS = range(1_000_000, 1_001_000)
TEST_SEEDS = range(2_000_000, 2_001_000)

Era = Literal["xen-2008", "xen", "kvm", "lab"]
_ERAS: tuple[Era, ...] = ("xen-2008", "xen", "kvm", "lab")
_SPREAD = 1.33


@dataclass(frozen=True)
class _Draw:
    """Random choices from one stream."""

    rng: np.random.Generator

    def number(self, low: int, high: int) -> int:
        """A whole number in low..high."""
        return int(self.rng.integers(low, high + 1))

    def one(self, *values: float) -> float:
        """One of the values."""
        return float(values[self.number(0, len(values) - 1)])

    def chance(self, p: float) -> bool:
        """True with probability ``p``."""
        return bool(self.rng.random() < p)

    def about(self, value: float) -> float:
        """The value, up to a third more or less."""
        return float(value * _SPREAD ** self.rng.uniform(-1.0, 1.0))


def generate(seed: int) -> Scenario:
    """A random host and workload: 2 to 16 cores, 1 to 6 guests, 0 to 3 CPU-bound neighbours.

    The same seed gives the same scenario. Take seeds from ``TRAIN_SEEDS``, ``VALIDATION_SEEDS``
    and ``TEST_SEEDS``, which have none in common.
    """
    draw = _Draw(np.random.default_rng(seed))
    era = _ERAS[draw.number(0, len(_ERAS) - 1)]
    topology = _topology(draw, era)
    guests = _lab_guests(draw) if era == "lab" else _guests(draw, topology.cores)
    offload = era == "lab" or (era != "xen-2008" and draw.chance(0.7))
    io = [guest.name for guest in guests if guest.role == "io"]
    flows = _lab_flows(draw, io) if era == "lab" else _flows(draw, era, io)
    scheduler = _scheduler(draw, era)
    uplink = _uplink(draw, era, topology)
    driver = _driver_domain(draw, era)
    vifs = sum(guest.vifs for guest in guests)
    backends = driver.vcpus if driver.kind == "netback-2007" else vifs
    return Scenario(
        name=f"generated-{seed}",
        about=f"A random {era} host",
        platform="kvm" if era == "kvm" else "lab" if era == "lab" else "xen",
        offload=offload,
        guests=guests,
        flows=flows,
        topology=topology,
        scheduler=scheduler,
        uplink=uplink,
        driver_domain=driver,
        costs=_costs(draw, era),
        stock=_stock(draw, era),
        settable=_settable(draw, era, topology.cores, backends),
    )


def draw(rng: np.random.Generator, fixed: Scenario | None = None) -> tuple[Scenario, int]:
    """A host to train on: ``fixed``, or one generated from ``TRAIN_SEEDS``, and its seed."""
    scenario = fixed or generate(TRAIN_SEEDS[int(rng.integers(len(TRAIN_SEEDS)))])
    return scenario, int(rng.integers(2**31))


def _topology(draw: _Draw, era: Era) -> Topology:
    few = era == "lab"  # a lab stands on whatever machine a person has at hand
    cores = int(draw.one(2, 2, 2, 4, 4, 8, 16) if few else draw.one(2, 4, 4, 8, 8, 12, 16))
    if era == "xen-2008":
        return Topology(
            cores=cores,
            per_llc=2,
            per_node=min(4, cores),
            ghz=draw.about(2.66),
            private_kb=32.0,
            llc_kb=draw.one(2048.0, 4096.0, 6144.0),
        )
    smt = 2 if draw.chance(0.3) else 1
    per_llc = max(smt, min(cores, int(draw.one(1, 2, 4, 4, 8))))
    return Topology(
        cores=cores,
        per_llc=per_llc,
        per_node=max(per_llc, cores // 2 if draw.chance(0.5) else cores),
        smt=smt,
        ghz=draw.about(2.8),
        private_kb=draw.one(256.0, 512.0, 1024.0),
        llc_kb=draw.one(8192.0, 16384.0, 32768.0),
    )


def _guests(draw: _Draw, cores: int) -> tuple[GuestKind, ...]:
    io = [
        GuestKind(name=f"guest{k}", vcpus=draw.number(1, 2), vifs=1 + draw.chance(0.15))
        for k in range(1, draw.number(1, min(6, 1 + cores // 2)) + 1)
    ]
    busy = [
        GuestKind(name=f"busy{k}", role="cpu", vifs=0, vcpus=draw.number(1, max(1, cores // 4)))
        for k in range(1, draw.number(0, 3) + 1)
    ]
    return (*io, *busy)


def _lab_guests(draw: _Draw) -> tuple[GuestKind, ...]:
    """Guests as a lab has them: mostly two, mostly without neighbours."""
    vcpus, guests, neighbours = (
        draw.one(1, 1, 1, 2),
        draw.one(1, 2, 2, 2, 3, 4),
        draw.one(0, 0, 0, 1, 2),
    )
    io = [GuestKind(name=f"guest{k}", vcpus=int(vcpus)) for k in range(1, int(guests) + 1)]
    busy = [GuestKind(name=f"busy{k}", role="cpu", vifs=0) for k in range(1, int(neighbours) + 1)]
    return (*io, *busy)


def _lab_flows(draw: _Draw, guests: list[str]) -> tuple[Flow, ...]:
    """One of the workloads that a lab can be made with."""
    receive = [(OUTSIDE, guest) for guest in guests]
    transmit = [(guest, OUTSIDE) for guest in guests]
    ring = list(zip(guests, [*guests[1:], guests[0]], strict=True)) if len(guests) > 1 else receive
    mixed = [*receive[::2], *transmit[1::2], *ring[:1]]
    ends = (ring, ring, receive, transmit, mixed)[draw.number(0, 4)]
    window = draw.one(256.0, 512.0, 1024.0, 1024.0)
    return tuple(
        Flow(source=source, sink=sink, window_kb=window, rto_ms=10.0) for source, sink in ends
    )


def _flows(draw: _Draw, era: Era, guests: list[str]) -> tuple[Flow, ...]:
    """Each guest has a flow at least; which way, the workload's mix decides."""
    inter = draw.one(0.0, 0.5, 0.8, 1.0) if len(guests) > 1 else 1.0
    receive = draw.one(0.0, 0.5, 1.0, 1.0)
    flows = []
    for guest in guests:
        for _ in range(draw.number(1, 2)):
            if draw.chance(inter):
                ends = (OUTSIDE, guest) if draw.chance(receive) else (guest, OUTSIDE)
            else:
                others = [name for name in guests if name != guest]
                ends = (guest, others[draw.number(0, len(others) - 1)])
            flows.append(
                Flow(
                    source=ends[0],
                    sink=ends[1],
                    kind="udp" if draw.chance(0.15) else "tcp",
                    window_kb=draw.one(128.0, 256.0, 512.0, 1024.0),
                    rto_ms=200.0 if era == "xen-2008" else 10.0,
                    gbps=draw.about(0.8),
                )
            )
    return tuple(flows)


def _scheduler(draw: _Draw, era: Era) -> Scheduler:
    wake, switch = draw.about(25.0 if era == "lab" else 4.0), draw.about(1.5)
    if era == "xen-2008":
        return Scheduler(wake_us=wake, switch_us=switch)
    if era == "xen":
        return Scheduler(kind="credit", ratelimit_us=1000.0, wake_us=wake, switch_us=switch)
    return Scheduler(kind="fair", tick_ms=4.0, wake_us=wake, switch_us=switch)


def _uplink(draw: _Draw, era: Era, topology: Topology) -> Link:
    domains = -(-topology.cores // topology.per_llc)
    return Link(
        gbps=0.0 if era == "lab" else draw.one(10.0, 10.0, 25.0) if era != "xen-2008" else 10.0,
        llc=draw.number(0, domains - 1),
        rtt_us=draw.about(50.0) if era != "lab" else 20.0,
        moderation_us=draw.about(20.0 if era == "lab" else 60.0),
        ring=512,
        direct_cache=era != "xen-2008",
    )


def _driver_domain(draw: _Draw, era: Era) -> DriverDomain:
    if era == "xen-2008":
        return DriverDomain(vcpus=draw.number(1, 2))
    if era == "xen":
        return DriverDomain(kind="threads")
    return DriverDomain(
        name="host", kind="relays" if era == "lab" else "threads", copies_transmit=True
    )


def _costs(draw: _Draw, era: Era) -> Costs:
    base = {"xen-2008": Costs(), "lab": LAB_COSTS}.get(era, MODERN_COSTS)
    values = {key: draw.about(value) for key, value in msgspec.structs.asdict(base).items()}
    near_to_far = ("copy_own", "copy_llc", "copy_across", "copy_remote")
    values.update(zip(near_to_far, sorted(values[key] for key in near_to_far), strict=True))
    return Costs(**values)


def _stock(draw: _Draw, era: Era) -> Stock:
    if era == "xen-2008":
        return Stock(tx_queue=32)
    weight = 256 if era == "xen" else 1024
    return Stock(weight=weight, tx_queue=int(draw.one(32, 128, 500, 1000)))


def _settable(draw: _Draw, era: Era, cores: int, backends: int) -> Settable:
    """Now and then a knob is missing, as it is on real hosts.

    There are no more side-cores than backends: one without a backend would only idle.
    """
    most = min(cores - 1, backends)
    return Settable(
        weights=draw.chance(0.9),
        weight_max=65535 if era in ("xen", "xen-2008") else 262144,
        bridge=("stock", "lean", "direct") if draw.chance(0.85) else ("stock",),
        side_cores=most if era == "lab" else min(most, draw.number(0, 2 + cores // 4)),
        polling=era == "lab" or draw.chance(0.8),
    )
