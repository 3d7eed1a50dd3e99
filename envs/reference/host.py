"""The reference behind the same protocol as every host."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from simpy import Environment

from envs.errors import InputError
from envs.host import HostSpec, Port, Sample, Settings, Traffic, from_json, to_json
from envs.knobs import check
from envs.reference.backend import Collect, Deliver, Duty, FromNic
from envs.reference.bridge import Bridge, work
from envs.reference.credit import Credit
from envs.reference.credit2 import Credit2
from envs.reference.fair import Fair
from envs.reference.guest import Receive, Send, send_ack
from envs.reference.machine import Machine, in_nanoseconds
from envs.reference.machine import Port as Vif
from envs.reference.memory import NEVER, Cache, Caches, Place
from envs.reference.nic import Nic, Ring
from envs.reference.packets import Queue
from envs.reference.processor import Core, Domain, Steps, Vcpu
from envs.reference.scheduler import Scheduler
from envs.reference.traffic import TIMER, Flow
from envs.scenario import Costs, Scenario
from envs.scenario.records import OUTSIDE, ends
from envs.sim.describe import spec_of, stock_of

SCHEDULERS: Mapping[str, Callable[..., Scheduler]] = {
    "credit-2008": Credit,
    "credit": Credit,
    "credit2": Credit2,
    "fair": Fair,
}
WARM_UP = 0.03
"""Seconds simulated before an interval, in which windows open and caches fill."""
PERCENTILE = 0.99


class ReferenceHost:
    """Simulates a scenario packet by packet. Every measurement starts anew from the same seed."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.seed = seed
        self._spec = spec_of(scenario)
        self._stock = stock_of(scenario, self._spec)
        self._settings = self._stock

    def describe(self) -> HostSpec:
        """What is there and what can be set."""
        return self._spec

    def settings(self) -> Settings:
        """The knobs as they are now."""
        return self._settings

    def apply(self, settings: Settings) -> None:
        """Set every knob. Raises IllegalSetting and changes nothing if a rule is broken."""
        check(self._spec, settings, self._stock)
        self._settings = settings

    def measure(self, seconds: float) -> Sample:
        """Simulate a warm-up and an interval of ``seconds``; give the interval's counters.

        Raises InputError for an interval that is not above zero.
        """
        if not seconds > 0:
            raise InputError(f"cannot measure {seconds} seconds: it must be more than 0")
        simulation = Simulation(self.scenario, self._spec, self._settings, self.seed)
        simulation.run(WARM_UP)
        before = simulation.counters()
        simulation.run(WARM_UP + seconds)
        return _sample(self._spec, self._settings, before, simulation.counters(), seconds)

    def snapshot(self) -> bytes:
        """The settings, as JSON that ``restore`` reads."""
        return to_json(self._settings)

    def restore(self, snapshot: bytes) -> None:
        """Set what ``snapshot`` holds. Raises InputError if it holds no settings."""
        self.apply(from_json(snapshot, Settings))

    def close(self) -> None:
        """Nothing is held."""


class Counters(NamedTuple):
    """What a simulation has counted by now; times in ns, by index where it is a sequence."""

    vifs: Sequence[Port]
    uplink: Port
    cpu: Sequence[float]
    work: Sequence[float]
    busy: Sequence[float]
    misses: float
    delays: Sequence[float]


class Simulation:
    """A host under one setting, from a cold start, whose parts may be looked at."""

    def __init__(self, scenario: Scenario, spec: HostSpec, settings: Settings, seed: int) -> None:
        env, random = Environment(), Random(seed)  # noqa: S311 - no secret
        self.env, self._spec = env, spec
        costs = in_nanoseconds(scenario.costs, scenario.topology.ghz)
        self.cores = _cores(env, scenario, spec, settings, costs)
        caps = [0.0, *(guest.cap / 100 for guest in scenario.guests)]
        self.domains = [
            Domain(settings.weight[name], cap) for name, cap in zip(spec.domains, caps, strict=True)
        ]
        self.vcpus = _vcpus(env, spec, self.domains, scenario.costs)
        _place(self.vcpus, self.cores, settings)
        kind = SCHEDULERS[scenario.scheduler.kind]
        scheduler = kind(env, self.cores, self.domains, scenario.scheduler, costs, random)
        self.flows = _flows(env, scenario)
        backends = list(self.vcpus.values())[: len(spec.backends)]
        self.vifs = _vifs(scenario, spec, settings, self.vcpus)
        relays = scenario.driver_domain.kind == "relays"
        self.machine = Machine(
            env, scenario, costs, scheduler, self.vifs, random,
            bridge_cost=work(costs, settings.bridge),
            always_signalled=set(backends) if relays else set(),
        )  # fmt: skip
        dma = _dma(self.cores, scenario, spec)
        self.nic = Nic(self.machine, _rings(scenario, self.vifs), self.flows, dma)
        self.bridge = Bridge(self.machine, self.nic)
        self._work_out_duties()
        env.process(self._timers())
        scheduler.start()
        self._wake_busy(spec)

    def run(self, seconds: float) -> None:
        """Simulate until ``seconds`` from the start, and settle every account."""
        self.env.run(seconds * 1e9)
        for core in self.cores:
            self.machine.scheduler.settle(core)

    def counters(self) -> Counters:
        """What has been counted by now."""
        return Counters(
            vifs=[Port(inward=v.inward.now(), outward=v.outward.now()) for v in self.vifs.values()],
            uplink=Port(inward=self.nic.inward.now(), outward=self.nic.outward.now()),
            cpu=[vcpu.cpu for vcpu in self.vcpus.values()],
            work=[vcpu.work for vcpu in self.vcpus.values()],
            busy=[core.busy for core in self.cores],
            misses=sum(core.misses for core in self.cores),
            delays=tuple(self.machine.latencies),
        )

    def _work_out_duties(self) -> None:
        """Each VCPU looks for its kinds of work in turn; a backend's kinds span its vifs."""
        machine, bridge = self.machine, self.bridge
        duties: dict[Vcpu, list[Duty]] = {vcpu: [] for vcpu in self.vcpus.values()}
        shared = machine.scenario.driver_domain.kind == "netback-2007"
        vifs = list(self.vifs.items())
        for part in [vifs] if shared else [[item] for item in vifs]:
            ports = [port for _, port in part]
            first = ports[0]
            duties[first.deliverer] += [
                FromNic(machine, bridge, self.nic.rings[part[0][0]]),
                Deliver(machine, ports),
            ]
            duties[first.collector].append(Collect(machine, bridge, ports))
        for port in self.vifs.values():
            duties[port.guest].append(Receive(machine, port))
        for flow in self.flows:
            if flow.source is not None:
                port = self.vifs[flow.source]
                duties[port.guest].append(Send(machine, port, flow))
        for vcpu, own in duties.items():
            if not vcpu.cpu_bound:
                vcpu.process = self.env.process(self._life(vcpu, own))

    def _life(self, vcpu: Vcpu, duties: Sequence[Duty]) -> Steps:
        """What a VCPU does for ever: whatever there is to do, in turn, or sleep."""
        scheduler, at = self.machine.scheduler, 0
        yield from vcpu.run(0.0)
        while True:
            order = [*duties[at:], *duties[:at]]
            duty = next((duty for duty in order if duty.ready()), None)
            if duty is None:
                scheduler.block(vcpu)
                yield from vcpu.run(0.0)
                continue
            at = duties.index(duty) + 1
            yield from duty.act(vcpu)
            if vcpu.core.polled and vcpu.core.queue:
                scheduler.put_back(vcpu.core)
                yield from vcpu.run(0.0)

    def _timers(self) -> Steps:
        """UDP of guests, lost acknowledgements, timeouts."""
        wake = self.machine.scheduler.wake
        yield self.env.timeout(self.machine.random.uniform(0.0, TIMER))
        while True:
            for flow in self.flows:
                if flow.owes_ack:
                    self._repeat(flow)
                flow.time_out()
                if flow.source is None:
                    self.nic.more_to_receive()
                    continue
                if not flow.tcp:
                    flow.pace(TIMER)
                if flow.sendable:
                    wake(self.vifs[flow.source].guest)
            yield self.env.timeout(TIMER)

    def _repeat(self, flow: Flow) -> None:
        ack = flow.acknowledge()
        if ack is None:
            return
        if flow.sink is None:
            self.nic.answer(ack)
            return
        port = self.vifs[flow.sink]
        send_ack(self.machine, port, ack, port.guest.core)
        self.machine.scheduler.wake(port.collector)

    def _wake_busy(self, spec: HostSpec) -> None:
        """CPU-bound guests are at work from the first moment."""
        busy = {vcpu for guest in spec.guests if guest.role == "cpu" for vcpu in guest.vcpus}
        for name in self.vcpus:
            if name in busy:
                vcpu = self.vcpus[name]
                self.machine.scheduler.enqueue(vcpu, vcpu.core)
                vcpu.core.tickle()


def _cores(
    env: Environment, scenario: Scenario, spec: HostSpec, settings: Settings, costs: Costs
) -> list[Core]:
    top = scenario.topology
    shared = {core.llc: Cache(env, 1024 * top.llc_kb) for core in spec.cores}
    cores = [
        Core(
            env,
            core,
            Caches(Cache(env, 1024 * top.private_kb), shared[core.llc], core.llc, core.node),
            costs,
        )
        for core in spec.cores
    ]
    for core, mine in zip(cores, spec.cores, strict=True):
        core.siblings = tuple(
            other
            for other, its in zip(cores, spec.cores, strict=True)
            if other is not core and its.sibling == mine.sibling
        )
        core.polled = settings.polling and core.id in settings.side_cores
    return cores


def _vcpus(
    env: Environment, spec: HostSpec, domains: Sequence[Domain], costs: Costs
) -> dict[str, Vcpu]:
    """Backends, then the guests' VCPUs, by name and in the order in which they find a core."""
    found = {b.name: Vcpu(env, domains[0], 1024 * costs.domain_kb) for b in spec.backends}
    for guest, domain in zip(spec.guests, domains[1:], strict=True):
        busy = guest.role == "cpu"
        for name in guest.vcpus:
            kilobytes = costs.neighbour_kb if busy else costs.domain_kb
            found[name] = Vcpu(env, domain, 1024 * kilobytes, cpu_bound=busy)
    return found


def _place(vcpus: Mapping[str, Vcpu], cores: Sequence[Core], settings: Settings) -> None:
    """Each to the least loaded core that it may run on; what polls stays there for good.

    A thread that sleeps keeps away from polled cores.
    """
    load = dict.fromkeys(cores, 0)
    for name, vcpu in vcpus.items():
        allowed = [core for core in cores if core.id in settings.placement[name]]
        quiet = [core for core in allowed if not core.polled]
        vcpu.core = min(quiet or allowed, key=lambda core: load[core])
        vcpu.affinity = frozenset(core.id for core in quiet or [vcpu.core])
        load[vcpu.core] += 1


def _flows(env: Environment, scenario: Scenario) -> list[Flow]:
    index = {end: None if end == OUTSIDE else at - 1 for at, end in enumerate(ends(scenario))}
    return [
        Flow(env, flow, (index[flow.source], index[flow.sink]), offload=scenario.offload)
        for flow in scenario.flows
    ]


def _vifs(
    scenario: Scenario, spec: HostSpec, settings: Settings, vcpus: Mapping[str, Vcpu]
) -> dict[int, Vif]:
    """The vifs by index, each with the VCPUs that work for it."""
    ring = scenario.driver_domain.ring
    names = [backend.name for backend in spec.backends]
    serves = _processes(scenario, settings, names)
    vifs = {}
    for at, vif in enumerate(spec.vifs):
        guest = spec.guest_of(vif)
        own = guest.vcpus[guest.vifs.index(vif) % len(guest.vcpus)]
        shared = scenario.driver_domain.kind == "netback-2007"
        vifs[at] = Vif(
            Queue(settings.tx_queue[vif]), Queue(ring), Queue(ring), vcpus[own],
            deliverer=vcpus[names[0] if shared else serves[names[at]]],
            collector=vcpus[names[-1] if shared else serves[names[at]]],
        )  # fmt: skip
    return vifs


def _processes(scenario: Scenario, settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Who does the work of each backend: relays with one and the same core are one process."""
    serves = {name: name for name in names}
    if scenario.driver_domain.kind == "relays":
        leader: dict[tuple[int, ...], str] = {}
        for name in names:
            cores = settings.placement[name]
            if len(cores) == 1:
                serves[name] = leader.setdefault(cores, name)
    return serves


def _rings(scenario: Scenario, vifs: Mapping[int, Vif]) -> dict[int, Ring]:
    """The NIC's receive rings by vif: 2007 knew one for all."""
    length = scenario.uplink.ring
    if scenario.driver_domain.kind == "netback-2007":
        return dict.fromkeys(vifs, Ring(length, vifs[0].deliverer))
    return {at: Ring(length, vif.deliverer) for at, vif in vifs.items()}


def _dma(cores: Sequence[Core], scenario: Scenario, spec: HostSpec) -> Place | None:
    """Where the NIC writes: into the LLC beside it, or into memory. In no core's own cache."""
    if not scenario.uplink.direct_cache:
        return None
    near = next(c for c in cores if c.caches.llc == spec.uplink.llc)
    return Place(near.caches, NEVER, 0.0)


def _sample(
    spec: HostSpec, settings: Settings, before: Counters, after: Counters, seconds: float
) -> Sample:
    """The difference of two moments."""
    cpu = [1e-9 * (b - a) for a, b in zip(before.cpu, after.cpu, strict=True)]
    done = [1e-9 * (b - a) for a, b in zip(before.work, after.work, strict=True)]
    busy = [1e-9 * (b - a) for a, b in zip(before.busy, after.busy, strict=True)]
    names = [*(backend.name for backend in spec.backends), *spec.vcpus]
    spent, work_done = dict(zip(names, cpu, strict=True)), dict(zip(names, done, strict=True))
    delays = sorted(after.delays[len(before.delays) :])
    polled = settings.side_cores if settings.polling else ()
    ports = zip(spec.vifs, before.vifs, after.vifs, strict=True)
    return Sample(
        seconds=seconds,
        vifs={vif: _between(a, b) for vif, a, b in ports},
        uplink=_between(before.uplink, after.uplink),
        guest_cpu={guest.name: sum(spent[vcpu] for vcpu in guest.vcpus) for guest in spec.guests},
        backend_cpu=_with_spinning(spec, settings, spent, seconds),
        core_busy={
            core.id: seconds if core.id in polled else busy[at]
            for at, core in enumerate(spec.cores)
        },
        work={
            guest.name: sum(work_done[vcpu] for vcpu in guest.vcpus)
            for guest in spec.guests
            if guest.role == "cpu"
        },
        latency=1e-9 * delays[math.ceil(PERCENTILE * len(delays)) - 1] if delays else None,
        cache_misses=after.misses - before.misses,
    )


def _with_spinning(
    spec: HostSpec, settings: Settings, spent: Mapping[str, float], seconds: float
) -> dict[str, float]:
    """The backends' time; what side-cores did not work, their pollers spun, in equal parts."""
    found = {backend.name: spent[backend.name] for backend in spec.backends}
    side = set(settings.side_cores)
    pollers = [name for name in found if side.issuperset(settings.placement[name])]
    if settings.polling and pollers:
        spun = max(0.0, len(side) * seconds - sum(found[name] for name in pollers))
        found.update({name: found[name] + spun / len(pollers) for name in pollers})
    return found


def _between(a: Port, b: Port) -> Port:
    return Port(inward=_difference(a.inward, b.inward), outward=_difference(a.outward, b.outward))


def _difference(a: Traffic, b: Traffic) -> Traffic:
    return Traffic(bytes=b.bytes - a.bytes, packets=b.packets - a.packets, drops=b.drops - a.drops)
