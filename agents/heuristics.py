"""The heuristics of the two papers, as their authors would run them, and an operator's pinning.

Liao et al., "Software techniques to improve virtualized I/O performance on multi-core systems",
ANCS 2008: cache-aware scheduling, credit stealing for the driver domain, a simple bridge, a
longer and adaptive TX queue. Lee and Strazdins, TrustCom 2013: side-cores for the driver domain.

A technique turns one setting into another, and a heuristic applies its techniques to the
baseline in turn. What a host cannot set is left as it is.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from agents.policy import History, measured
from envs.host import Guest, HostSpec, Sample, Settings
from envs.knobs import WEIGHT_LEVELS
from envs.menu import Menu, Value
from envs.reward import bandwidth, drop_share
from envs.topology import llc_domains, packed

Technique = Callable[[History, Settings], Settings]

QUEUE_GROWTH = 4
"""By how much the TX queue grows from trial to trial: two doublings, as a trial is dear."""

FILL = 0.7
"""How busy a core is planned to be: what moves more once it is placed well uses more."""


@dataclass(frozen=True, slots=True)
class Heuristic:
    """A policy made of techniques. It stops when it would repeat a setting already measured."""

    name: str
    techniques: tuple[Technique, ...] = ()

    def propose(self, history: History) -> Settings | None:
        """The baseline with every technique applied, None if that has been measured."""
        settings = history.baseline
        for technique in self.techniques:
            settings = technique(history, settings)
        return None if measured(history, settings) else settings


def cache_aware(history: History, settings: Settings) -> Settings:
    """Put a backend and the guests it serves on different cores of one LLC domain.

    The busiest backend goes nearest to the uplink. Guests that would overfill the domain may use
    any core but the backends'. Backends on side-cores stay there and draw their guests near.
    """
    spec, sample = history.spec, history.baseline_sample
    side = frozenset(settings.side_cores)
    domains = llc_domains(spec)
    place = dict(settings.placement)
    use = {name: seconds / sample.seconds for name, seconds in sample.backend_cpu.items()}
    use |= {name: seconds / sample.seconds for name, seconds in sample.guest_cpu.items()}
    room = {core: 0.0 if core in side else FILL for core in spec.core_ids}
    taken = set(side)
    homes: dict[str, tuple[int, ...]] = {}
    served = _served(spec, use)
    for name, guests in served.items():
        if spec.limits.backends and not side:
            need = use[name] + sum(use[guest.name] for guest in guests)
            homes[name] = _domain_with_room(_homes(spec, name, guests), room, need)
            core = _core_for_backend(homes[name], taken, room)
            place[name] = (core,)
            room[core] -= use[name]
            taken.add(core)
        else:
            here = place[name]
            homes[name] = max(domains, key=lambda domain: len(set(domain) & set(here)))
    if spec.limits.guests:
        free = tuple(core for core in spec.core_ids if core not in taken) or spec.core_ids
        for name, guests in served.items():
            near = tuple(core for core in free if core in homes[name])
            place |= _fill(spec, guests, use, near, free, room)
    return replace(settings, placement=place)


def pinned(history: History, settings: Settings) -> Settings:
    """A core of its own for each backend and I/O VCPU, as operators pin by hand.

    They go round the cores from the uplink outwards, each backend beside the guests that it
    serves, and round again where there are more of them than cores. CPU-bound guests have what
    cores are left, or else all. Side-cores stay with the backends. What may be on some cores only
    goes round these.
    """
    spec = history.spec
    place, side = dict(settings.placement), frozenset(settings.side_cores)
    cores = [core for domain in llc_domains(spec) for core in domain if core not in side]
    idle = dict.fromkeys([*(b.name for b in spec.backends), *(g.name for g in spec.guests)], 0.0)
    wanted: dict[str, tuple[int, ...]] = {}
    for backend, guests in _served(spec, idle).items():
        if spec.limits.backends and not side:
            wanted[backend] = packed(_homes(spec, backend, guests))
        if spec.limits.guests:
            wanted |= {v: spec.within(v, cores) for guest in guests for v in guest.vcpus}
    pins = dict.fromkeys(cores, 0)
    for name, able in wanted.items():
        if able:
            core = min(able, key=lambda core: pins[core])
            pins[core] += 1
            place[name] = (core,)
    if spec.limits.guests:
        every = sorted(cores)
        left = [core for core in every if not pins[core]] or every
        for vcpu in (v for guest in spec.guests if guest.role == "cpu" for v in guest.vcpus):
            place[vcpu] = spec.within(vcpu, left) or spec.within(vcpu, every) or place[vcpu]
    return replace(settings, placement=place)


def credit_stealing(
    history: History, settings: Settings, level: int = WEIGHT_LEVELS[-1]
) -> Settings:
    """Give the driver domain a boost, the strongest, so that it always has credit for I/O."""
    spec = history.spec
    if spec.driver_domain not in spec.limits.weights:
        return settings
    value = Value(number=level)
    menu = Menu(spec, history.baseline)
    return menu.settle("driver_weight", spec.driver_domain, value, settings)


def simple_bridge(history: History, settings: Settings) -> Settings:
    """Use the leanest bridge mode that the host offers."""
    lean = [mode for mode in ("direct", "lean") if mode in history.spec.limits.bridge]
    return replace(settings, bridge=lean[0]) if lean else settings


def adaptive_queue(history: History, settings: Settings) -> Settings:
    """Lengthen the TX queue from trial to trial while that lowers drops or raises bandwidth."""
    limits = history.spec.limits.tx_queue
    if limits is None or not history.spec.vifs:
        return settings
    tried = [trial.settings.tx_queue for trial in history.trials]
    samples = [history.baseline_sample, *(trial.sample for trial in history.trials)]
    now = tried[-1] if tried else history.baseline.tx_queue
    if len(tried) > 1 and not _better_queue(samples[-1], samples[-2]):
        return replace(settings, tx_queue=now)
    longer = {vif: min(limits[1], max(limits[0], n * QUEUE_GROWTH)) for vif, n in now.items()}
    return replace(settings, tx_queue={vif: max(now[vif], n) for vif, n in longer.items()})


def side_cores(history: History, settings: Settings, *, polling: bool = True) -> Settings:
    """Reserve as many cores as the backends kept busy at the baseline, polled where that works.

    The cores are the nearest to the uplink; each backend has its own where there are enough.
    """
    spec, sample = history.spec, history.baseline_sample
    menu = Menu(spec, history.baseline)
    offered = [v for v in menu.values("side_cores", "", settings) if v.cores]
    best = [v for v in offered if v.polling == polling] or offered
    if not spec.limits.side_cores or not best:
        return settings
    busy = math.ceil(sum(sample.backend_cpu.values()) / sample.seconds)
    count = max(1, min(busy, len(spec.backends)))
    enough = [v for v in best if len(v.cores) <= count]
    value = max(enough or best[:1], key=lambda v: len(v.cores))
    reserved = menu.settle("side_cores", "", value, settings)
    if not spec.limits.backends or spec.limits.reach or len(spec.backends) < len(value.cores):
        return reserved
    own = {b.name: (value.cores[i % len(value.cores)],) for i, b in enumerate(spec.backends)}
    return replace(reserved, placement={**reserved.placement, **own})


LIAO = (cache_aware, credit_stealing, simple_bridge, adaptive_queue)

HEURISTICS: tuple[Heuristic, ...] = (
    Heuristic("stock"),
    Heuristic("liao-cache", (cache_aware,)),
    Heuristic("liao-credit", (credit_stealing,)),
    Heuristic("liao-bridge", (simple_bridge,)),
    Heuristic("liao-queue", (adaptive_queue,)),
    Heuristic("liao-all", LIAO),
    Heuristic("lee", (side_cores,)),
    Heuristic("both", (side_cores, *LIAO)),
    Heuristic("expert", (pinned,)),
)
"""Stock, every technique alone, each paper's together, both papers', and the expert's pinning."""


def _homes(spec: HostSpec, backend: str, guests: Iterable[Guest]) -> list[tuple[int, ...]]:
    """What a backend may use of each LLC domain: of those where its guests may be, else of all.

    The domain nearest to the uplink is first.
    """
    own = [spec.within(backend, domain) for domain in llc_domains(spec)]
    theirs = {core for guest in guests for vcpu in guest.vcpus for core in spec.reach(vcpu)}
    return [cores for cores in own if theirs.intersection(cores)] or [c for c in own if c]


def _served(spec: HostSpec, use: Mapping[str, float]) -> dict[str, list[Guest]]:
    """The guests of each backend, the busiest backend and guest first, each guest once.

    A guest that several backends serve goes to the one whose guests are the least busy.
    """
    busy = sorted(spec.backends, key=lambda backend: -use[backend.name])
    served: dict[str, list[Guest]] = {backend.name: [] for backend in busy}
    for guest in sorted((g for g in spec.guests if g.vifs), key=lambda guest: -use[guest.name]):
        able = [b.name for b in busy if set(guest.vifs) & set(b.vifs)]
        if able:
            least = min(able, key=lambda name: sum(use[g.name] for g in served[name]))
            served[least].append(guest)
    return served


def _domain_with_room(
    domains: Iterable[tuple[int, ...]], room: dict[int, float], need: float
) -> tuple[int, ...]:
    """The nearest domain that has room for ``need`` cores of work, or else the roomiest."""
    free = {domain: sum(max(0.0, room[core]) for core in domain) for domain in domains}
    fitting = [domain for domain, cores in free.items() if cores >= need]
    return fitting[0] if fitting else max(free, key=lambda domain: free[domain])


def _core_for_backend(domain: tuple[int, ...], taken: set[int], room: dict[int, float]) -> int:
    """A core of its own while one is left for the guests, else the roomiest that backends have."""
    own = [core for core in domain if core not in taken]
    if len(own) < 2:
        own = [core for core in domain if core in taken] or own
    return max(own, key=lambda core: room[core])


def _fill(
    spec: HostSpec,
    guests: Iterable[Guest],
    use: Mapping[str, float],
    near: tuple[int, ...],
    free: tuple[int, ...],
    room: dict[int, float],
) -> dict[str, tuple[int, ...]]:
    """VCPUs onto ``near`` while they fit, then onto ``free``; ``room`` is used up as they go.

    One that may be on neither stays where it is.
    """
    place: dict[str, tuple[int, ...]] = {}
    for guest in guests:
        need = use[guest.name] / len(guest.vcpus)
        for vcpu in guest.vcpus:
            cores = spec.within(vcpu, near)
            if not cores or sum(room[core] for core in cores) < need:
                cores = spec.within(vcpu, free)
            if cores:
                place[vcpu] = cores
            for core in cores:
                room[core] -= need / len(cores)
    return place


def _better_queue(after: Sample, before: Sample) -> bool:
    fewer_drops = drop_share(after) < 0.9 * drop_share(before)
    return fewer_drops or bandwidth(after) > 1.01 * bandwidth(before)
