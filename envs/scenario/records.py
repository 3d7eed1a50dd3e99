"""The records of a scenario: a host and its workload, as written in TOML.

Every record checks itself when it is made: what cannot be raises ValueError with the key first,
which the loader turns into an InputError that names the file.
"""

import math
from typing import Literal

from envs.host import BridgeMode, Record, Role
from envs.scenario.costs import Costs, Scheduler

OUTSIDE = "outside"
"""The name of the other end of the uplink, as source or sink of a flow."""
MAX_CORES, MAX_VCPUS, MAX_VIFS, MAX_FLOWS, MAX_TX_QUEUE = 62, 62, 60, 62, 1000
"""The largest host that can be simulated."""
MAX_CONNECTIONS = 256


def _within(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{key}: {value} is outside {low}..{high}")


def _positive(part: str, record: Record, *keys: str) -> None:
    for key in keys:
        if not 0 < getattr(record, key) < math.inf:
            raise ValueError(f"{part}.{key}: must be above 0")


class Topology(Record, frozen=True):
    """Cores and caches. ``per_llc`` and ``per_node`` count cores; ``smt`` threads a physical core.

    ``private_kb`` is the cache of one core, ``llc_kb`` that of one LLC domain.
    """

    cores: int = 8
    per_llc: int = 2
    per_node: int = 4
    smt: int = 1
    ghz: float = 2.66
    private_kb: float = 32.0
    llc_kb: float = 4096.0

    def __post_init__(self) -> None:
        _within("topology.cores", self.cores, 1, MAX_CORES)
        for key in ("per_llc", "per_node", "smt"):
            _within(f"topology.{key}", getattr(self, key), 1, self.cores)
        _positive("topology", self, "ghz", "private_kb", "llc_kb")


class Link(Record, frozen=True):
    """The uplink and its NIC.

    ``gbps`` 0 is a link without a rate, as between namespaces of one machine.
    ``moderation_us`` is the time between interrupts, ``ring`` the NIC's receive descriptors,
    ``direct_cache`` whether its DMA lands in the LLC of domain ``llc`` or in memory.
    """

    name: str = "eth0"
    gbps: float = 10.0
    llc: int = 0
    rtt_us: float = 60.0
    moderation_us: float = 60.0
    ring: int = 512
    direct_cache: bool = False

    def __post_init__(self) -> None:
        _positive("uplink", self, "rtt_us", "moderation_us")
        if not 0 <= self.gbps < math.inf:
            raise ValueError("uplink.gbps: must not be negative")
        _within("uplink.ring", self.ring, 16, MAX_TX_QUEUE)


class DriverDomain(Record, frozen=True):
    """What moves packets between the uplink, the bridge and the guests.

    ``netback-2007``: the driver domain's VCPUs run one receive and one transmit tasklet for all
    vifs; a queue's packets go on into the ring while it has room. ``threads``: a backend thread
    per vif, woken for each batch in the queue (netback's kthreads, vhost). ``relays``: the lab's
    user processes, a thread per vif too, but handing a packet over runs the receiver's stack in
    the backend, as writing into a tap of the same kernel does; a tap signals its reader for every
    batch, asleep or not; and backends that are placed on one and the same core are one process.
    ``copies_transmit``: a guest's packet is copied on its way out (vhost, a relay), not mapped.
    ``flips``: a packet for a guest is not copied, but its page exchanged for one of the guest's.
    ``batch`` is the most packets of one activation, ``ring`` the slots of a ring, of which a
    packet above 4 KiB takes one for each page and two more.
    """

    name: str = "Domain-0"
    kind: Literal["netback-2007", "threads", "relays"] = "netback-2007"
    vcpus: int = 2
    batch: int = 64
    ring: int = 256
    copies_transmit: bool = False
    flips: bool = False

    def __post_init__(self) -> None:
        _within("driver_domain.vcpus", self.vcpus, 1, 2)
        _within("driver_domain.batch", self.batch, 1, 256)
        _within("driver_domain.ring", self.ring, 32, MAX_TX_QUEUE)


class GuestKind(Record, frozen=True):
    """A guest. Its j-th vif is served by its VCPU j modulo ``vcpus``; a ``cpu`` guest has none.

    ``cap`` is the most processor time that Xen gives it, in percent of a core, 0 for no limit.
    """

    name: str
    role: Role = "io"
    vcpus: int = 1
    vifs: int = 1
    cap: int = 0

    def __post_init__(self) -> None:
        _within(f"guest {self.name!r}: cap", self.cap, 0, 100 * self.vcpus)
        _within(f"guest {self.name!r}: vcpus", self.vcpus, 1, 16)
        _within(f"guest {self.name!r}: vifs", self.vifs, 0, 8)
        if self.role == "cpu" and self.vifs:
            raise ValueError(f"guest {self.name!r}: vifs must be 0 for a CPU-bound guest")


class Flow(Record, frozen=True):
    """One flow from ``source`` to ``sink``: a vif (``guest`` or ``guest/N``) or ``outside``.

    ``tcp`` sends all it may, with at most ``window_kb`` in flight, and starts anew ``rto_ms``
    after its last acknowledgement (200 ms in 2008, about 10 since tail loss probes).
    ``udp`` sends ``gbps``. ``rr`` has ``connections`` requests under way, each a small packet that
    is answered by one, and asks again at once.
    """

    source: str
    sink: str
    kind: Literal["tcp", "udp", "rr"] = "tcp"
    window_kb: float = 256.0
    rto_ms: float = 200.0
    gbps: float = 1.0
    connections: int = 1

    def __post_init__(self) -> None:
        if self.source == self.sink:
            raise ValueError(f"flow from {self.source!r}: sink is the same")
        _positive("flow", self, "window_kb", "rto_ms", "gbps")
        _within("flow.connections", self.connections, 1, MAX_CONNECTIONS)


class Stock(Record, frozen=True):
    """The knobs as they are found. Placement is free: every VCPU may run on every core."""

    weight: int = 256
    tx_queue: int = 32
    bridge: BridgeMode = "stock"

    def __post_init__(self) -> None:
        _within("stock.weight", self.weight, 1, 262144)
        _within("stock.tx_queue", self.tx_queue, 1, MAX_TX_QUEUE)


class Settable(Record, frozen=True):
    """Which knobs can be set, and within what (see ``envs.host.Limits``)."""

    backends: bool = True
    guests: bool = True
    weights: bool = True
    weight_max: int = 65535
    tx_queue_max: int = MAX_TX_QUEUE
    bridge: tuple[BridgeMode, ...] = ("stock", "lean", "direct")
    side_cores: int = 1
    polling: bool = False

    def __post_init__(self) -> None:
        _within("settable.tx_queue_max", self.tx_queue_max, 0, MAX_TX_QUEUE)
        if "stock" not in self.bridge:
            raise ValueError("settable.bridge: must contain 'stock'")


class Scenario(Record, frozen=True):
    """A host and its workload.

    ``offload``: packets of up to 64 KiB travel through the host (segmentation and aggregation
    offload); without, packets of 1500 bytes. ``platform`` names vifs and backends as that
    platform does.
    """

    name: str
    about: str
    guests: tuple[GuestKind, ...]
    flows: tuple[Flow, ...]
    platform: Literal["xen", "kvm", "lab"] = "xen"
    offload: bool = False
    topology: Topology = Topology()
    scheduler: Scheduler = Scheduler()
    uplink: Link = Link()
    driver_domain: DriverDomain = DriverDomain()
    costs: Costs = Costs()
    stock: Stock = Stock()
    settable: Settable = Settable()

    def __post_init__(self) -> None:
        names = [guest.name for guest in self.guests]
        for name in names:
            if names.count(name) > 1 or name in (OUTSIDE, self.driver_domain.name):
                raise ValueError(f"guests: the name {name!r} is taken")
        if self.scheduler.kind == "fair" and any(guest.cap for guest in self.guests):
            raise ValueError("guests: cap: the fair scheduler has none")
        _check_flows(self)
        vifs = sum(guest.vifs for guest in self.guests)
        _within("guests: number of vifs", vifs, 1, MAX_VIFS)
        backends = self.driver_domain.vcpus if self.driver_domain.kind == "netback-2007" else vifs
        vcpus = backends + sum(guest.vcpus for guest in self.guests)
        _within("guests: VCPUs and backends together", vcpus, 1, MAX_VCPUS)
        if not 0 <= self.uplink.llc * self.topology.per_llc < self.topology.cores:
            raise ValueError(f"uplink.llc: there is no LLC domain {self.uplink.llc}")
        _within("settable.side_cores", self.settable.side_cores, 0, self.topology.cores - 1)
        if self.stock.tx_queue > self.settable.tx_queue_max > 0:
            raise ValueError("stock.tx_queue: above settable.tx_queue_max")
        _costs(self.costs)


def ends(scenario: Scenario) -> tuple[str, ...]:
    """What a flow may name as source or sink: ``outside`` and every vif, the first by its guest."""
    vifs = [
        guest.name if j == 0 else f"{guest.name}/{j}"
        for guest in scenario.guests
        for j in range(guest.vifs)
    ]
    return (OUTSIDE, *vifs)


def _check_flows(scenario: Scenario) -> None:
    known = ends(scenario)
    _within("flows: number", len(scenario.flows), 1, MAX_FLOWS)
    for flow in scenario.flows:
        for key in (flow.source, flow.sink):
            if key not in known:
                raise ValueError(f"flows: no guest has a vif {key!r}; there are {', '.join(known)}")


def _costs(costs: Costs) -> None:
    for key in costs.__struct_fields__:
        if not 0 <= getattr(costs, key) < math.inf:
            raise ValueError(f"costs.{key}: must not be negative")
    if costs.jitter >= 1.0:
        raise ValueError("costs.jitter: must be below 1")
