"""The values that each part of a setting may be given, when the rest of it is as it is."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, get_args

import msgspec

from envs.host import BridgeMode, HostSpec, Record, Settings
from envs.knobs import WEIGHT_LEVELS, violations
from envs.topology import llc_domains, packed, spread

Kind = Literal[
    "side_cores",
    "backend",
    "io_vcpu",
    "cpu_vcpu",
    "driver_weight",
    "guest_weight",
    "tx_queue",
    "bridge",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a choice can be about, in the order of a decision."""

QUEUE_LENGTHS = (8, 32, 64, 128, 256, 512, 1000, 2000, 4000, 8000, 16000, 32000)
"""The TX queue lengths that are offered, besides the baseline's."""

MAX_VALUES = 48
"""The most values that one choice offers; a host of more cores than fit is offered a spread."""


class Value(Record, frozen=True):
    """One value that a part of the setting may be given.

    ``cores`` are those of a placement or the side-cores (ascending), ``polling`` goes with
    side-cores, ``number`` is the level of a weight or the length of a queue in packets, ``mode``
    is the bridge's. ``baseline`` says that this is how the part was found.
    """

    cores: tuple[int, ...] = ()
    polling: bool = False
    number: int = 0
    mode: BridgeMode = "stock"
    baseline: bool = False


class Menu:
    """The parts of a host's setting and the values of each.

    What depends on the host and its baseline alone is worked out once, so one menu serves all
    decisions on that host.
    """

    def __init__(self, spec: HostSpec, baseline: Settings) -> None:
        self.spec = spec
        self.baseline = baseline
        self.domains = llc_domains(spec)
        self.parts = tuple(_parts(spec))
        self._io_weights = [
            guest.name
            for guest in spec.guests
            if guest.role == "io" and guest.name in spec.limits.weights
        ]
        self._core_sets: dict[frozenset[int], list[tuple[int, ...]]] = {}

    def values(self, kind: Kind, subject: str, now: Settings) -> tuple[Value, ...]:
        """The legal values of a part when the rest of the setting is ``now``; the first keeps."""
        match kind:
            case "side_cores":
                offered = self._side_cores(now)
            case "backend":
                offered = self._backend(subject, now)
            case "io_vcpu" | "cpu_vcpu":
                offered = self._places(subject, now, self._guest_sets(subject, now))
            case "driver_weight" | "guest_weight":
                offered = self._weights(self._holders(kind), now)
            case "tx_queue":
                offered = self._queues(now)
            case "bridge":
                base = self.baseline.bridge
                modes = (now.bridge, base, *self.spec.limits.bridge)
                offered = [Value(mode=m, baseline=m == base) for m in dict.fromkeys(modes)]
        return tuple(offered[:MAX_VALUES])

    def settle(self, kind: Kind, subject: str, value: Value, now: Settings) -> Settings:
        """``now`` with one part given a value."""
        match kind:
            case "side_cores":
                return self._reserve(now, value.cores, value.polling)
            case "backend" | "io_vcpu" | "cpu_vcpu":
                place = {**now.placement, subject: value.cores}
                return msgspec.structs.replace(now, placement=place)
            case "driver_weight" | "guest_weight":
                given = self._given(self._holders(kind), value.number)
                return msgspec.structs.replace(now, weight={**now.weight, **given})
            case "tx_queue":
                lengths = self._lengths(value)
                return msgspec.structs.replace(now, tx_queue=lengths)
            case "bridge":
                return msgspec.structs.replace(now, bridge=value.mode)

    def has(self, kind: Kind, subject: str, value: Value, settings: Settings) -> bool:
        """Whether ``settings`` gives a part this value."""
        match kind:
            case "side_cores":
                return (value.cores, value.polling) == (settings.side_cores, settings.polling)
            case "backend" | "io_vcpu" | "cpu_vcpu":
                return value.cores == settings.placement[subject]
            case "driver_weight" | "guest_weight":
                holders = self._holders(kind)
                given = self._given(holders, value.number)
                return self._level(holders, given) == self._level(holders, settings.weight)
            case "tx_queue":
                return self._lengths(value) == dict(settings.tx_queue)
            case "bridge":
                return value.mode == settings.bridge

    def _side_cores(self, now: Settings) -> list[Value]:
        limits, base = self.spec.limits, self.baseline
        most = min(limits.side_cores, len(self.spec.cores) - 1)
        near, even = packed(self.domains), spread(self.domains)
        far = packed(self.domains[::-1])
        wanted: list[tuple[tuple[int, ...], bool]] = [((), False)]
        count = 1
        while count <= most:
            for order in (near, even, far):
                cores = tuple(sorted(order[:count]))
                wanted += [(cores, True)] if limits.polling else []
                wanted += [(cores, False)]
            count *= 2
        found = (base.side_cores, base.polling)
        legal = [pair for pair in [found, *wanted] if self._can_reserve(now, *pair)]
        pairs = dict.fromkeys([(now.side_cores, now.polling), *legal])
        return [Value(cores=c, polling=p, baseline=(c, p) == found) for c, p in pairs]

    def _can_reserve(self, now: Settings, cores: tuple[int, ...], polling: bool) -> bool:
        limits = self.spec.limits
        if limits.backends and limits.guests and not limits.reach:
            return True
        target = self._reserve(now, cores, polling)
        return not any(violations(self.spec, target, self.baseline))

    def _reserve(self, now: Settings, cores: tuple[int, ...], polling: bool) -> Settings:
        """Reserve ``cores``: every backend onto them, and off them every VCPU that is there.

        Side-cores that were reserved before are dropped first, which returns the backends and
        the VCPUs to their placement at the baseline.
        """
        spec, limits = self.spec, self.spec.limits
        place = dict(self.baseline.placement if now.side_cores else now.placement)
        if cores == self.baseline.side_cores:
            place = dict(self.baseline.placement)
        elif cores:
            reserved = frozenset(cores)
            rest = tuple(core for core in spec.core_ids if core not in reserved)
            if limits.backends:
                for backend in spec.backends:
                    own = spec.within(backend.name, cores)
                    place[backend.name] = own or place[backend.name]
            if limits.guests:
                for vcpu in spec.vcpus:
                    left = tuple(core for core in place[vcpu] if core not in reserved)
                    if left != place[vcpu]:
                        place[vcpu] = spec.within(vcpu, left) or spec.within(vcpu, rest)
        return msgspec.structs.replace(now, placement=place, side_cores=cores, polling=polling)

    def _backend(self, name: str, now: Settings) -> list[Value]:
        side = frozenset(now.side_cores)
        if not side:
            return self._places(name, now, self._sets(frozenset(self.spec.reach(name))))
        others = {
            core
            for backend in self.spec.backends
            if backend.name != name
            for core in now.placement[backend.name]
        }
        needed = side - others
        sets = self._sets(side.intersection(self.spec.reach(name)))
        return self._places(name, now, [s for s in sets if needed <= set(s)])

    def _guest_sets(self, vcpu: str, now: Settings) -> list[tuple[int, ...]]:
        """What is not reserved, and in wide sets also what no backend has for its own."""
        free = frozenset(self.spec.reach(vcpu)).difference(now.side_cores)
        own = {
            cores[0]
            for backend in self.spec.backends
            if len(cores := now.placement[backend.name]) == 1
        }
        sets = self._sets(free)
        if free & own and free - own:
            apart = [s for s in self._sets(free - own) if len(s) > 1]
            sets = [*(s for s in sets if len(s) > 1), *apart, *(s for s in sets if len(s) == 1)]
        return sets

    def _places(self, key: str, now: Settings, sets: Iterable[tuple[int, ...]]) -> list[Value]:
        base = self.baseline.placement[key]
        offered = dict.fromkeys([now.placement[key], *sets])
        return [Value(cores=cores, baseline=cores == base) for cores in offered]

    def _sets(self, among: frozenset[int]) -> list[tuple[int, ...]]:
        """All cores of ``among``, each LLC domain's, each alone; no set twice."""
        known = self._core_sets.get(among)
        if known is None:
            domains = [tuple(core for core in domain if core in among) for domain in self.domains]
            singles = [(core,) for core in spread(domains)]
            sets = [packed(domains), *(domain for domain in domains if domain), *singles]
            known = list(dict.fromkeys(tuple(sorted(cores)) for cores in sets if cores))
            self._core_sets[among] = known
        return known

    def _holders(self, kind: Kind) -> list[str]:
        return [self.spec.driver_domain] if kind == "driver_weight" else self._io_weights

    def _level(self, domains: list[str], weight: Mapping[str, int]) -> int:
        """The boost of ``domains``, whose weights are raised together, at least 1."""
        first = domains[0]
        return max(1, round(weight[first] / max(1, self.baseline.weight[first])))

    def _given(self, domains: list[str], level: int) -> dict[str, int]:
        low, high = self.spec.limits.weight
        base = self.baseline.weight
        if level == 1:
            return {domain: base[domain] for domain in domains}
        return {domain: min(high, max(low, level * base[domain])) for domain in domains}

    def _weights(self, domains: list[str], now: Settings) -> list[Value]:
        kept = {domain: now.weight[domain] for domain in domains}
        level = self._level(domains, now.weight)
        offered = {
            tuple(kept.values()): Value(number=level, baseline=kept == self._given(domains, 1))
        }
        for level in WEIGHT_LEVELS:
            weights = tuple(self._given(domains, level).values())
            offered.setdefault(weights, Value(number=level, baseline=level == 1))
        return list(offered.values())

    def _queues(self, now: Settings) -> list[Value]:
        low, high = self.spec.limits.tx_queue or (1, 0)
        base = self.baseline.tx_queue
        kept = Value(number=max(now.tx_queue.values()), baseline=now.tx_queue == base)
        found = Value(number=max(base.values()), baseline=True)
        rungs = [Value(number=n) for n in QUEUE_LENGTHS if low <= n <= high]
        offered = {tuple(self._lengths(value).values()): value for value in (*rungs, found)}
        offered.pop(tuple(now.tx_queue[vif] for vif in self.spec.vifs), None)
        return [kept, *sorted(offered.values(), key=lambda value: value.number)]

    def _lengths(self, value: Value) -> dict[str, int]:
        """The length of each vif's queue; the baseline may have a different one for each."""
        base = self.baseline.tx_queue
        return {vif: base[vif] if value.baseline else value.number for vif in self.spec.vifs}


def _parts(spec: HostSpec) -> Iterator[tuple[Kind, str]]:
    limits = spec.limits
    if limits.side_cores:
        yield "side_cores", ""
    if limits.backends:
        yield from (("backend", backend.name) for backend in spec.backends)
    if limits.guests:
        yield from (("io_vcpu", v) for g in spec.guests if g.role == "io" for v in g.vcpus)
        yield from (("cpu_vcpu", v) for g in spec.guests if g.role == "cpu" for v in g.vcpus)
    if spec.driver_domain in limits.weights:
        yield "driver_weight", spec.driver_domain
    if any(guest.role == "io" and guest.name in limits.weights for guest in spec.guests):
        yield "guest_weight", ""
    if limits.tx_queue and spec.vifs:
        yield "tx_queue", ""
    if limits.bridge:
        yield "bridge", ""
