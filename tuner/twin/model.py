"""A host's twin: the scenario that describes it, and settings said in the twin's words.

The twin has the same cores, guests and vifs in the same order; only names and core ids differ. Its
load is read from the counters of one sample: who sends how much to whom cannot be seen from vifs
alone, so what does not cross the uplink is shared out among guests in proportion to what they send
and receive.
"""

from collections.abc import Mapping

from envs.errors import InputError, about
from envs.host import Core, HostSpec, Sample, Settings
from envs.scenario import (
    DriverDomain,
    Flow,
    GuestKind,
    Link,
    Scenario,
    Scheduler,
    Settable,
    Stock,
    Topology,
)
from envs.scenario.costs import LAB_COSTS, MODERN_COSTS
from envs.scenario.records import MAX_TX_QUEUE, OUTSIDE
from envs.sim.host import SimHost

LEAST = 0.02
"""A flow that carries less than this share of the traffic is left out."""
SATURATED = 0.7
"""Where no backend, guest or core is busier than this, the load is as much as is asked for."""
LARGE = 3000
"""Packets of more bytes than this on average travel through the host unsegmented."""


class Twin:
    """A scenario as the twin of a host."""

    def __init__(self, spec: HostSpec, scenario: Scenario) -> None:
        self.spec = spec
        self.scenario = scenario
        self.own = SimHost(scenario).describe()
        if _sizes(spec) != _sizes(self.own):
            raise InputError(f"{scenario.name} is no twin of {spec.uri}: its guests differ")
        if len(spec.cores) != len(self.own.cores):
            raise InputError(f"{scenario.name} is no twin of {spec.uri}: its cores differ")
        ordered = [core.id for core in _ordered(spec)]
        self._core = dict(zip(ordered, self.own.core_ids, strict=True))
        self._domain = dict(zip(spec.domains, self.own.domains, strict=True))
        self._vif = dict(zip(spec.vifs, self.own.vifs, strict=True))
        vcpus = dict(zip(self.own.vcpus, spec.vcpus, strict=True))
        serving = {self._vif[vif]: b.name for b in spec.backends for vif in b.vifs}
        backends = {backend.name: serving[backend.vifs[0]] for backend in self.own.backends}
        self._entity = vcpus | backends

    def settings(self, settings: Settings) -> Settings:
        """A setting of the host in the twin's words."""
        return Settings(
            placement={own: self._cores(settings.placement[e]) for own, e in self._entity.items()},
            weight={self._domain[name]: value for name, value in settings.weight.items()},
            tx_queue={
                self._vif[vif]: min(MAX_TX_QUEUE, value) for vif, value in settings.tx_queue.items()
            },
            bridge=settings.bridge,
            side_cores=self._cores(settings.side_cores),
            polling=settings.polling,
        )

    def _cores(self, cores: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(self._core[core] for core in cores))


def scenario_of(spec: HostSpec, found: Settings, sample: Sample, name: str) -> Scenario:
    """The twin of a host before anything is fitted, from what was found and measured there.

    Raises InputError where the host has no traffic, or is larger than can be simulated.
    """
    kind = spec.kind if spec.kind in ("xen", "kvm", "lab") else "kvm"
    flows = _flows(spec, sample)
    if not flows:
        raise InputError(about(spec.uri, "there is no traffic to learn from"))
    limits = spec.limits
    lab = kind == "lab"
    try:
        return Scenario(
            name=name,
            about=f"The twin of {spec.uri}",
            platform=kind,
            offload=_packet_size(sample) > LARGE,
            guests=tuple(
                GuestKind(name=g.name, role=g.role, vcpus=len(g.vcpus), vifs=len(g.vifs))
                for g in spec.guests
            ),
            flows=flows,
            topology=_topology(spec),
            scheduler=_SCHEDULERS[kind],
            uplink=Link(
                name=spec.uplink.name,
                gbps=spec.uplink.gbps or 0.0,
                llc=_llcs(spec).index(spec.uplink.llc),
                rtt_us=20.0 if lab else 50.0,
                moderation_us=20.0 if lab else 60.0,
                direct_cache=True,
            ),
            driver_domain=DriverDomain(
                name=spec.driver_domain,
                kind="relays" if lab else "threads",
                copies_transmit=kind != "xen",
            ),
            costs=LAB_COSTS if lab else MODERN_COSTS,
            stock=Stock(
                weight=found.weight.get(spec.driver_domain, 1024),
                tx_queue=min(MAX_TX_QUEUE, max(found.tx_queue.values(), default=1000)),
                bridge=found.bridge,
            ),
            settable=Settable(
                backends=limits.backends,
                guests=limits.guests,
                weights=bool(limits.weights),
                weight_max=limits.weight[1],
                tx_queue_max=MAX_TX_QUEUE if limits.tx_queue else 0,
                bridge=limits.bridge or ("stock",),
                side_cores=limits.side_cores,
                polling=limits.polling,
            ),
        )
    except ValueError as error:
        raise InputError(f"{spec.uri} cannot be simulated: {error}") from error


_SCHEDULERS: Mapping[str, Scheduler] = {
    "xen": Scheduler(kind="credit", ratelimit_us=1000.0),
    "kvm": Scheduler(kind="fair", tick_ms=4.0),
    "lab": Scheduler(kind="fair", tick_ms=4.0, wake_us=25.0, switch_us=1.0),
}


def _sizes(spec: HostSpec) -> list[tuple[int, int]]:
    return [(len(guest.vcpus), len(guest.vifs)) for guest in spec.guests]


def _ordered(spec: HostSpec) -> list[Core]:
    """The cores as a scenario numbers them: nodes, then LLC domains, then siblings together."""
    return sorted(spec.cores, key=lambda core: (core.node, core.llc, core.sibling, core.id))


def _llcs(spec: HostSpec) -> list[int]:
    return list(dict.fromkeys(core.llc for core in _ordered(spec)))


def _topology(spec: HostSpec) -> Topology:
    """Domains of equal size; those of a host that has some of different size come out near it."""
    count = len(spec.cores)
    return Topology(
        cores=count,
        per_llc=count // len(_llcs(spec)),
        per_node=count // len({core.node for core in spec.cores}),
        smt=count // len({core.sibling for core in spec.cores}),
        ghz=3.0,
        private_kb=512.0,
        llc_kb=16384.0,
    )


def _packet_size(sample: Sample) -> float:
    flows = [port.inward for port in sample.vifs.values()]
    return sum(f.bytes for f in flows) / max(1, sum(f.packets for f in flows))


def _flows(spec: HostSpec, sample: Sample) -> tuple[Flow, ...]:
    """Who sends to whom, and how: as fast as it goes, or at the rate seen on an idle host."""
    ends = dict(zip(spec.vifs, _ends(spec), strict=True))
    received = {end: float(sample.vifs[vif].inward.bytes) for vif, end in ends.items()}
    sent = {end: float(sample.vifs[vif].outward.bytes) for vif, end in ends.items()}
    came, left = sample.uplink.inward.bytes, sample.uplink.outward.bytes
    total = sum(received.values()) + left
    from_outside = min(1.0, came / max(1.0, sum(received.values())))
    to_outside = min(1.0, left / max(1.0, sum(sent.values())))
    moved = {(OUTSIDE, end): bytes_ * from_outside for end, bytes_ in received.items()}
    moved |= {(end, OUTSIDE): bytes_ * to_outside for end, bytes_ in sent.items()}
    moved |= _between(
        {end: bytes_ * (1.0 - to_outside) for end, bytes_ in sent.items()},
        {end: bytes_ * (1.0 - from_outside) for end, bytes_ in received.items()},
    )
    full = _saturated(spec, sample)
    return tuple(
        Flow(
            source=source,
            sink=sink,
            kind="tcp" if full else "udp",
            window_kb=1024.0,
            rto_ms=10.0,
            gbps=max(1e-3, 8e-9 * moved[source, sink] / sample.seconds),
        )
        for source, sink in moved
        if moved[source, sink] > LEAST * total
    )


def _between(
    sent: Mapping[str, float], received: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """What guests send each other, in proportion to what each sends and receives of it."""
    pairs = {
        (source, sink): sent[source] * received[sink]
        for source in sent
        for sink in received
        if source != sink
    }
    whole = sum(pairs.values())
    return {
        pair: sum(received.values()) * weight / whole for pair, weight in pairs.items() if whole
    }


def _saturated(spec: HostSpec, sample: Sample) -> bool:
    """Whether what moves packets has no time left; CPU-bound guests leave no core idle anyway."""
    io = [guest for guest in spec.guests if guest.role == "io"]
    times = [*sample.backend_cpu.values(), *(sample.guest_cpu[g.name] / len(g.vcpus) for g in io)]
    if len(io) == len(spec.guests):
        times += sample.core_busy.values()
    return max(times) > SATURATED * sample.seconds


def _ends(spec: HostSpec) -> list[str]:
    """The vifs as a scenario's flows name them."""
    return [
        guest.name if at == 0 else f"{guest.name}/{at}"
        for guest in spec.guests
        for at in range(len(guest.vifs))
    ]
