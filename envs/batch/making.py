"""From a scenario to the records of its host, and from these back to what a person can read."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import numpy as np

from envs.batch.measuring import Block
from envs.batch.records import (
    BACKENDS,
    CPU_VCPUS,
    HOST_TYPE,
    IO_VCPUS,
    ROLES,
    TRIAL_TYPE,
)
from envs.features import guards_row, host_row
from envs.history import History
from envs.host import BRIDGE_MODES, HostSpec, Port, Sample, Settings, Traffic
from envs.menu import KINDS, Menu
from envs.reward import Guards
from envs.scenario import Scenario
from envs.sim.compile import bridge_cycles, compile_host
from envs.sim.describe import spec_of, stock_of
from envs.sim.host import RESET
from envs.topology import packed, spread

Records: TypeAlias = np.ndarray[tuple[int], np.dtype[np.void]]


class Made(NamedTuple):
    """A host: its record, that of its baseline yet to be measured, and the state it begins with."""

    host: np.void
    base: np.void
    begin: Block


def make_host(scenario: Scenario, seed: int, guards: Guards) -> Made:
    """The records of a simulated host."""
    spec = spec_of(scenario)
    stock = stock_of(scenario, spec)
    states = compile_host(scenario, spec, seed)
    host = np.zeros(1, HOST_TYPE)[0]
    menu = Menu(spec, stock)
    _put_limits(host, spec, guards)
    _put_cores(host, spec, menu, states[0])
    _put_entities(host, spec)
    _put_parts(host, spec, menu)
    ghz = scenario.topology.ghz
    host["bridge"] = [bridge_cycles(scenario.costs, mode) / ghz for mode in BRIDGE_MODES]
    host["relays"] = scenario.driver_domain.kind == "relays"
    host["row"] = [*host_row(spec), *guards_row(guards)]
    return Made(host=host, base=_baseline(spec, stock), begin=states.view("u1")[:RESET])


def history_of(scenario: Scenario, trials: Records, seconds: float, guards: Guards) -> History:
    """What the records of a host's trials say, the first of them being its baseline."""
    spec = spec_of(scenario)
    base = trials[0]
    history = History(
        spec=spec,
        baseline=settings_of(spec, base, base),
        baseline_sample=sample_of(spec, base, seconds),
        guards=guards,
    )
    for trial in trials[1:]:
        settings = settings_of(spec, trial, base)
        history = history.with_sample(settings, sample_of(spec, trial, seconds))
    return history


def settings_of(spec: HostSpec, record: np.void, base: np.void) -> Settings:
    """A setting as its record has it; ``base`` is the baseline, which CPU-bound guests keep."""
    names = (*(backend.name for backend in spec.backends), *spec.vcpus)
    weight = {spec.driver_domain: int(record["driver_weight"])}
    for guest in spec.guests:
        weight[guest.name] = int((record if guest.role == "io" else base)["guest_weight"])
    return Settings(
        placement={name: _cores(record["placement"][i]) for i, name in enumerate(names)},
        weight=weight,
        tx_queue=dict.fromkeys(spec.vifs, int(record["tx_queue"])),
        bridge=BRIDGE_MODES[record["bridge"]],
        side_cores=_cores(record["side_cores"]),
        polling=bool(record["polling"]),
    )


def sample_of(spec: HostSpec, record: np.void, seconds: float) -> Sample:
    """A sample as its record has it."""
    guests = list(enumerate(spec.guests))
    return Sample(
        seconds=seconds,
        vifs={name: _port(record["vif"][v]) for v, name in enumerate(spec.vifs)},
        uplink=_port(record, "up_"),
        guest_cpu={guest.name: float(record["guest_cpu"][g]) for g, guest in guests},
        backend_cpu={b.name: float(record["backend_cpu"][i]) for i, b in enumerate(spec.backends)},
        core_busy={core.id: float(record["busy"][c]) for c, core in enumerate(spec.cores)},
        work={guest.name: float(record["work"][g]) for g, guest in guests if guest.role == "cpu"},
        latency=float(record["latency"]) if record["latency"] >= 0 else None,
        cache_misses=float(record["misses"]),
    )


def _port(record: np.void, prefix: str = "") -> Port:
    return Port(
        inward=_traffic(record, f"{prefix}in_"),
        outward=_traffic(record, f"{prefix}out_"),
    )


def _traffic(record: np.void, prefix: str) -> Traffic:
    counts = {what: f"{prefix}{what}" for what in ("bytes", "packets", "drops")}
    known = record.dtype.names or ()
    return Traffic(**{what: int(record[key]) for what, key in counts.items() if key in known})


def _put_limits(host: np.void, spec: HostSpec, guards: Guards) -> None:
    limits = spec.limits
    host["gbps"] = spec.uplink.gbps or 0.0
    host["places_backends"], host["places_guests"] = limits.backends, limits.guests
    host["side_cores"], host["polling"] = limits.side_cores, limits.polling
    host["weight_low"], host["weight_high"] = limits.weight
    host["queue_low"], host["queue_high"] = limits.tx_queue or (1, 0)
    host["modes"] = len(limits.bridge)
    host["mode"][: len(limits.bridge)] = [BRIDGE_MODES.index(mode) for mode in limits.bridge]
    for key in Guards.__struct_fields__:
        host[key] = getattr(guards, key)


def _put_cores(host: np.void, spec: HostSpec, menu: Menu, state: np.void) -> None:
    count = len(spec.cores)
    host["cores"], host["all"] = count, (1 << count) - 1
    home = {core.node for core in spec.cores if core.llc == spec.uplink.llc}
    host["near"] = _bits([c.id for c in spec.cores if c.llc == spec.uplink.llc])
    host["home"] = _bits([core.id for core in spec.cores if core.node in home])
    domains = menu.domains
    host["domains"] = len(domains)
    host["domain"][: len(domains) + 1] = [0, *accumulate(map(len, domains))]
    host["packed"][:count] = packed(domains)
    host["spread"][:count] = spread(domains)
    host["far"][:count] = packed(domains[::-1])
    for key, what in (("llc", "llc_peers"), ("node", "node_peers"), ("siblings", "siblings")):
        host[key] = state["core"][what]


def _put_entities(host: np.void, spec: HostSpec) -> None:
    backends = len(spec.backends)
    host["backends"], host["vifs"], host["guests"] = backends, len(spec.vifs), len(spec.guests)
    ports = {vif: 1 << v for v, vif in enumerate(spec.vifs)}
    served = [sum(ports[vif] for vif in backend.vifs) for backend in spec.backends]
    roles, peers = [BACKENDS] * backends, [0] * backends
    owned, owners = [0] * backends, [0] * backends
    for g, guest in enumerate(spec.guests):
        first, vifs = len(roles), sum(ports[vif] for vif in guest.vifs)
        host["guest"][g] = (guest.role == "cpu", first, len(guest.vcpus), vifs)
        mine = _bits(range(first, first + len(guest.vcpus)))
        backs = [i for i in range(backends) if served[i] & vifs]
        for i in backs:
            peers[i] |= mine
            owned[i] |= vifs
            owners[i] += len(guest.vcpus)
        for _ in guest.vcpus:
            roles.append(CPU_VCPUS if guest.role == "cpu" else IO_VCPUS)
            peers.append(_bits(backs))
            owned.append(vifs)
            owners.append(len(guest.vcpus))
    count = len(roles)
    host["entities"] = count
    host["role"][:count], host["peers"][:count] = roles, peers
    host["owned"][:count], host["owners"][:count] = owned, owners
    host["members"] = [roles.count(role) for role in range(ROLES)]


def _put_parts(host: np.void, spec: HostSpec, menu: Menu) -> None:
    index = {backend.name: i for i, backend in enumerate(spec.backends)}
    index |= {vcpu: i for i, vcpu in enumerate(spec.vcpus, start=len(index))}
    parts = [(KINDS.index(kind), index.get(subject, -1)) for kind, subject in menu.parts]
    host["parts"] = len(parts)
    host["part"]["kind"][: len(parts)] = [kind for kind, _ in parts]
    host["part"]["entity"][: len(parts)] = [entity for _, entity in parts]


def _baseline(spec: HostSpec, stock: Settings) -> np.void:
    """The record of the settings as found: one weight and one queue length for all."""
    base: np.void = np.zeros(1, TRIAL_TYPE)[0]
    base["driver_weight"] = base["guest_weight"] = stock.weight[spec.driver_domain]
    base["tx_queue"] = max(stock.tx_queue.values())
    base["bridge"] = BRIDGE_MODES.index(stock.bridge)
    base["side_cores"], base["polling"] = _bits(stock.side_cores), stock.polling
    names = (*(backend.name for backend in spec.backends), *spec.vcpus)
    base["placement"][: len(names)] = [_bits(stock.placement[name]) for name in names]
    return base


def _bits(indices: Sequence[int]) -> int:
    return sum(1 << i for i in indices)


def _cores(bits: np.int64) -> tuple[int, ...]:
    return tuple(c for c in range(int(bits).bit_length()) if int(bits) >> c & 1)
