"""What a host is to everything above it: described, set, measured; simulated or live alike.

Four frozen records carry all that is known. ``HostSpec`` says what is there and what can be set,
``Settings`` gives a value to each of the five knobs, ``Sample`` holds the counters of one
interval, and ``Host`` is the protocol that yields them. All records go to JSON and back with
``to_json`` and ``from_json``; unknown keys are refused.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, TypeVar

import msgspec

from envs.errors import InputError

Role = Literal["io", "cpu"]
BridgeMode = Literal["stock", "lean", "direct"]
Knob = Literal["placement", "weight", "tx_queue", "bridge", "side_cores"]

BRIDGE_MODES: tuple[BridgeMode, ...] = ("stock", "lean", "direct")


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen value that JSON can hold."""


class Core(Record, frozen=True):
    """A logical CPU that the hypervisor schedules on.

    ``llc``, ``node`` and ``sibling`` number the last-level-cache domain, the NUMA node and the
    physical core it belongs to: two cores are SMT siblings when ``sibling`` is equal.
    """

    id: int
    llc: int
    node: int
    sibling: int


class Guest(Record, frozen=True):
    """A guest: its VCPUs and vifs by key, and the role it had at the baseline.

    ``role`` is ``io`` for a guest whose bandwidth is tuned and ``cpu`` for a CPU-bound
    neighbour, which is protected but not counted.
    """

    name: str
    role: Role
    vcpus: tuple[str, ...]
    vifs: tuple[str, ...] = ()


class Backend(Record, frozen=True):
    """A schedulable thread of the driver domain that moves packets, and the vifs it serves.

    A VCPU of dom0 in 2007's Xen, a netback or vhost thread today, the lab's relay.
    """

    name: str
    vifs: tuple[str, ...]


class Uplink(Record, frozen=True):
    """The link that leaves the host. ``gbps`` is None where no rate limits it.

    ``llc`` is the LLC domain its interrupts and DMA are nearest to.
    """

    name: str
    gbps: float | None = None
    llc: int = 0


class Limits(Record, frozen=True):
    """What can be set on this host, and within what; a knob that cannot be set is masked.

    ``backends`` and ``guests`` say whether these can be placed. ``reach`` has the cores of each
    backend and VCPU that may be placed on these only, such as those of the node where its guest's
    memory is; one that was found elsewhere may stay there. ``weights`` names the domains
    whose weight can be set, within ``weight`` (inclusive, the host's own unit). ``tx_queue`` is
    the range of the TX queue length in packets, None where nothing would obey it.
    ``side_cores`` is the largest number of cores that may be reserved (0: none) and ``polling``
    whether a backend can poll on them. ``why_not`` gives the reason for each knob that is out.
    """

    backends: bool = True
    guests: bool = True
    reach: Mapping[str, tuple[int, ...]] = {}
    weights: tuple[str, ...] = ()
    weight: tuple[int, int] = (1, 65535)
    tx_queue: tuple[int, int] | None = None
    bridge: tuple[BridgeMode, ...] = ("stock",)
    side_cores: int = 0
    polling: bool = False
    why_not: Mapping[Knob, str] = {}


class HostSpec(Record, frozen=True):
    """What is there: topology, driver domain, guests, vifs, and what can be set.

    ``softirq_in_tasks`` tells whether interrupt work is already inside the CPU seconds of the
    tasks it interrupted (Linux without IRQ time accounting), so that it is not counted twice.
    """

    uri: str
    kind: Literal["sim", "lab", "kvm", "xen"]
    cores: tuple[Core, ...]
    driver_domain: str
    backends: tuple[Backend, ...]
    guests: tuple[Guest, ...]
    uplink: Uplink
    limits: Limits
    softirq_in_tasks: bool = True

    @property
    def core_ids(self) -> tuple[int, ...]:
        """The ids of all cores, ascending."""
        return tuple(sorted(core.id for core in self.cores))

    @property
    def vifs(self) -> tuple[str, ...]:
        """All vifs, in the guests' order."""
        return tuple(vif for guest in self.guests for vif in guest.vifs)

    @property
    def vcpus(self) -> tuple[str, ...]:
        """All guests' VCPUs, in the guests' order."""
        return tuple(vcpu for guest in self.guests for vcpu in guest.vcpus)

    @property
    def domains(self) -> tuple[str, ...]:
        """The driver domain and the guests, the holders of a weight."""
        return (self.driver_domain, *(guest.name for guest in self.guests))

    def reach(self, key: str) -> tuple[int, ...]:
        """The cores that a backend or VCPU may be placed on."""
        return self.limits.reach.get(key, self.core_ids)

    def within(self, key: str, cores: Iterable[int]) -> tuple[int, ...]:
        """Those of some cores that a backend or VCPU may be placed on."""
        reach = frozenset(self.reach(key))
        return tuple(core for core in cores if core in reach)

    def guest_of(self, key: str) -> Guest:
        """The guest that owns a VCPU or a vif.

        Raises KeyError for a key that no guest owns.
        """
        for guest in self.guests:
            if key in guest.vcpus or key in guest.vifs:
                return guest
        raise KeyError(key)


class Settings(Record, frozen=True):
    """A value for every knob.

    ``placement`` maps each VCPU and each backend to the cores it may run on (hard affinity,
    ascending). ``weight`` is the scheduler's share of each domain in the host's own unit.
    ``tx_queue`` is each vif's queue length in packets. ``side_cores`` are reserved for backends
    (ascending); ``polling`` says that backends on them poll instead of sleeping.
    """

    placement: Mapping[str, tuple[int, ...]]
    weight: Mapping[str, int]
    tx_queue: Mapping[str, int]
    bridge: BridgeMode = "stock"
    side_cores: tuple[int, ...] = ()
    polling: bool = False


class Traffic(Record, frozen=True):
    """Counters of one direction of a vif or uplink over the interval."""

    bytes: int = 0
    packets: int = 0
    drops: int = 0


class Port(Record, frozen=True):
    """A vif or uplink: ``inward`` is towards the guest (or, for an uplink, into the host).

    ``inward`` of a vif and ``outward`` of an uplink count where the last host queue is left, so
    they are what was delivered; the drops of a direction are those of its queue.
    """

    inward: Traffic = Traffic()
    outward: Traffic = Traffic()


class Sample(Record, frozen=True):
    """Telemetry over one interval of ``seconds``.

    CPU time is in seconds: ``guest_cpu`` by guest (its VCPUs), ``backend_cpu`` by backend,
    ``core_busy`` by core id. ``softirq`` is interrupt work that is in none of these. ``work`` is
    what CPU-bound guests got done, in units of their own, where that is known; ``latency`` a
    99th percentile in seconds and ``cache_misses`` a count, where they are known.
    """

    seconds: float
    vifs: Mapping[str, Port]
    uplink: Port
    guest_cpu: Mapping[str, float]
    backend_cpu: Mapping[str, float]
    core_busy: Mapping[int, float]
    softirq: float = 0.0
    work: Mapping[str, float] = {}
    latency: float | None = None
    cache_misses: float | None = None


class Host(Protocol):
    """A host that can be described, set and measured. Nothing above knows whether it is real."""

    def describe(self) -> HostSpec:
        """What is there and what can be set. Raises HostError if it cannot be read."""
        ...

    def settings(self) -> Settings:
        """The five knobs as they are now, read back from the host."""
        ...

    def apply(self, settings: Settings) -> None:
        """Set every knob and read it back.

        Raises IllegalSetting before anything is touched, NotApplied where a value did not take.
        """
        ...

    def measure(self, seconds: float) -> Sample:
        """Counters over an interval. Blocks that long on a live host."""
        ...

    def snapshot(self) -> bytes:
        """The exact state of all that ``apply`` may touch, as JSON that ``restore`` reads."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Put everything back as ``snapshot`` found it, and verify that."""
        ...

    def close(self) -> None:
        """Let go of connections and files; changes no knob."""
        ...


R = TypeVar("R", bound=Record)


def to_json(record: Record) -> bytes:
    """A record as one line of JSON, keys in a fixed order, so equal records give equal bytes."""
    # JSON has string keys only, and msgspec sorts none but those: cores by id become text first.
    return msgspec.json.encode(msgspec.to_builtins(record, str_keys=True), order="deterministic")


def from_json(data: bytes, kind: type[R]) -> R:
    """The record in ``data``. Raises InputError naming what is missing, unknown or mistyped."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a valid {kind.__name__}: {error}") from error
