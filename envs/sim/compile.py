"""From a scenario to the flat state that the engine runs: first the host, then a setting."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from envs.host import BridgeMode, Core, HostSpec, Settings
from envs.scenario.costs import Costs
from envs.scenario.records import OUTSIDE, Scenario, ends
from envs.sim import credit2
from envs.sim.fifo import ACK_BYTES
from envs.sim.state import (
    BACKEND,
    BLOCKED,
    COLLECT,
    COMPUTE,
    CREDIT,
    CREDIT2,
    CREDIT_2008,
    DELIVER,
    FAIR,
    GUEST_RECEIVE,
    GUEST_SEND,
    IN_MEMORY,
    IO,
    NIC_RECEIVE,
    RUNNABLE,
    STATE,
    UNDER,
    VIFS,
)
from envs.sim.traffic import PULSE

States: TypeAlias = np.ndarray[tuple[int], np.dtype[np.void]]

MTU = 1500
UPLINK_QUEUE = 1000
"""Packets that wait for the uplink (Linux's default for an Ethernet device)."""
LINE_LIMIT = 1 << 40
MICRO, MILLI = 1e3, 1e6
SMT_SHARE = 0.62
"""Speed of a thread beside a busy sibling (estimate)."""
_SCHEDULERS = {"credit-2008": CREDIT_2008, "credit": CREDIT, "fair": FAIR, "credit2": CREDIT2}
_CYCLES = (
    "nic_packet",
    "nic_interrupt",
    "backend_packet",
    "backend_page",
    "backend_byte",
    "backend_batch",
    "front_packet",
    "front_page",
    "stack_packet",
    "ack_packet",
    "app_packet",
    "app_byte",
    "guest_batch",
    "notify_send",
    "notify_receive",
    "ipi",
    "poll",
)
_AS_THEY_ARE = (
    "jitter",
    "header_bytes",
    "copy_own",
    "copy_llc",
    "copy_across",
    "copy_remote",
    "copy_memory",
)


def compile_host(scenario: Scenario, spec: HostSpec, seed: int) -> States:
    """A state, as an array of one, with everything in it that no setting changes."""
    states: States = np.zeros(1, STATE)
    s = states[0]
    _constants(s, scenario)
    _topology(s, scenario, spec)
    _vcpus(s, scenario, spec)
    _vifs(s, scenario, spec)
    _flows(s, scenario)
    _duties(s, scenario, spec)
    draw = np.random.default_rng(seed)
    s["random"] = int(draw.integers(1, 1 << 62))
    s["next_tick"] = float(draw.uniform(0.0, s["tick"] / s["cores"]))
    s["tick_core"] = int(draw.integers(s["cores"]))
    s["next_account"] = float(draw.uniform(0.0, s["account"]))
    s["next_pulse"] = float(draw.uniform(0.0, PULSE))
    s["next_wire"] = float(draw.uniform(0.0, s["moderation"]))
    return states


def apply_settings(states: States, scenario: Scenario, spec: HostSpec, settings: Settings) -> None:
    """Put a legal setting into a state at its beginning, and every VCPU on a core."""
    s = states[0]
    s["bridge"] = bridge_cycles(scenario.costs, settings.bridge) / scenario.topology.ghz
    if scenario.driver_domain.kind == "relays":
        _merge(s, scenario, spec, settings)
    for d, name in enumerate(spec.domains):
        s["domain"]["weight"][d] = settings.weight[name]
    s["heaviest"] = max(settings.weight[name] for name in spec.domains)
    for v, name in enumerate(spec.vifs):
        s["queue"]["limit"][s["vif"]["queue"][v]] = settings.tx_queue[name]
    reserved = set(settings.side_cores) if settings.polling else set()
    for c in reserved:
        s["core"]["polled"][_index(spec, c)] = 1
        s["polled"] |= 1 << _index(spec, c)
    load = [0] * len(spec.cores)
    names = (*(backend.name for backend in spec.backends), *spec.vcpus)
    for i, name in enumerate(names):
        allowed = set(settings.placement[name])
        if not allowed <= reserved:
            allowed -= reserved  # a poller's core is no place for a thread that sleeps
        cores = [_index(spec, c) for c in sorted(allowed)]
        home = min(cores, key=lambda c: load[c])
        load[home] += 1
        s["vcpu"]["affinity"][i] = _bits([home] if allowed <= reserved else cores)
        s["vcpu"]["core"][i] = s["vcpu"]["last_core"][i] = home
        if s["vcpu"]["kind"][i] == COMPUTE:
            s["vcpu"]["state"][i] = RUNNABLE
            s["core"]["queue"][home] |= 1 << i
            s["queued"] |= 1 << home
            s["dirty"] |= 1 << home


def _merge(s: np.void, scenario: Scenario, spec: HostSpec, settings: Settings) -> None:
    """Let the first of the threads that share one core serve the vifs of all of them."""
    leader: dict[tuple[int, ...], int] = {}
    for v, backend in enumerate(spec.backends):
        cores = tuple(settings.placement[backend.name])
        who = leader.setdefault(cores, v) if len(cores) == 1 else v
        s["vif"][v]["deliverer"] = s["vif"][v]["collector"] = who
    _duties(s, scenario, spec)


def bridge_cycles(costs: Costs, mode: BridgeMode) -> float:
    """What the bridge does for a packet, in cycles: by mode, different work, not a factor."""
    if mode == "direct":
        return costs.bridge_redirect
    if mode == "lean":
        return costs.bridge_lookup
    return costs.bridge_lookup + costs.bridge_hooks + costs.bridge_snoop


def _constants(s: np.void, scenario: Scenario) -> None:
    top, costs, scheduler = scenario.topology, scenario.costs, scenario.scheduler
    for key in _CYCLES:
        s[key] = getattr(costs, key) / top.ghz
    for key in _AS_THEY_ARE:
        s[key] = getattr(costs, key)
    s["neighbour_rate"] = costs.neighbour_mbps * 1e-3
    s["private_bytes"], s["llc_bytes"] = top.private_kb * 1024, top.llc_kb * 1024
    s["scheduler"] = _SCHEDULERS[scheduler.kind]
    s["tick"], s["slice"] = scheduler.tick_ms * MILLI, scheduler.slice_ms * MILLI
    s["account"] = scheduler.account_ms * MILLI
    s["ratelimit"] = scheduler.ratelimit_us * MICRO
    s["wake"], s["switch"] = scheduler.wake_us * MICRO, scheduler.switch_us * MICRO
    link, driver = scenario.uplink, scenario.driver_domain
    s["wire"] = 8.0 / link.gbps if link.gbps else 0.0
    s["rtt"], s["moderation"] = link.rtt_us * MICRO, link.moderation_us * MICRO
    s["batch"], s["mtu"], s["offload"] = driver.batch, MTU, scenario.offload
    s["through_ring"] = driver.kind == "netback-2007"
    s["copies_transmit"], s["flips"] = driver.copies_transmit, driver.flips
    s["runs_guest_stack"] = s["always_signals"] = driver.kind == "relays"
    s["smt"], s["smt_share"] = top.smt > 1, SMT_SHARE


def _topology(s: np.void, scenario: Scenario, spec: HostSpec) -> None:
    s["cores"] = len(spec.cores)
    for c, core in enumerate(spec.cores):
        s["core"][c]["llc"], s["core"][c]["node"] = core.llc, core.node
        for key, attribute in (("llc_peers", "llc"), ("node_peers", "node")):
            s["core"][c][key] = _alike(spec, core, attribute)
        s["core"][c]["siblings"] = _alike(spec, core, "sibling") & ~(1 << c)
    s["core"]["run"] = -1
    s["core"]["stopped"] = s["core"]["started"] = -1e9
    s["dma_core"] = IN_MEMORY
    if scenario.uplink.direct_cache:
        near = (c for c, core in enumerate(spec.cores) if core.llc == scenario.uplink.llc)
        s["dma_core"] = next(near)


def _vcpus(s: np.void, scenario: Scenario, spec: HostSpec) -> None:
    kinds = [(BACKEND, 0)] * len(spec.backends)
    for d, (guest, made) in enumerate(zip(spec.guests, scenario.guests, strict=True), start=1):
        s["domain"][d]["cap"] = made.cap / 100
        kinds += [(IO if guest.role == "io" else COMPUTE, d)] * len(guest.vcpus)
    s["vcpus"], s["domains"] = len(kinds), len(spec.domains)
    costs = scenario.costs
    for i, (kind, domain) in enumerate(kinds):
        v = s["vcpu"][i]
        v["kind"], v["domain"], v["state"], v["priority"] = kind, domain, BLOCKED, UNDER
        v["order"], v["credit"] = i, credit2.START if s["scheduler"] == CREDIT2 else 0.0
        v["footprint"] = 1024 * (costs.neighbour_kb if kind == COMPUTE else costs.domain_kb)
        s["domain"]["vcpus"][domain] += 1
    s["order"] = len(kinds)


def _vifs(s: np.void, scenario: Scenario, spec: HostSpec) -> None:
    s["vifs"] = len(spec.vifs)
    old = scenario.driver_domain.kind == "netback-2007"
    ring = scenario.driver_domain.ring
    for v, name in enumerate(spec.vifs):
        vif, guest = s["vif"][v], spec.guest_of(name)
        vcpu = guest.vcpus[guest.vifs.index(name) % len(guest.vcpus)]
        vif["queue"], vif["rx_ring"], vif["tx_ring"] = 4 * v, 4 * v + 1, 4 * v + 2
        vif["nic_queue"] = 3 if old else 4 * v + 3
        vif["receiver"] = len(spec.backends) + spec.vcpus.index(vcpu)
        vif["deliverer"] = 0 if old else v
        vif["collector"] = len(spec.backends) - 1 if old else v
        s["queue"]["limit"][4 * v + 1 : 4 * v + 3] = ring
        s["queue"]["limit"][4 * v + 3] = scenario.uplink.ring
    s["uplink_queue"] = 4 * VIFS
    s["queue"]["limit"][4 * VIFS] = UPLINK_QUEUE


def _flows(s: np.void, scenario: Scenario) -> None:
    index = {end: i - 1 for i, end in enumerate(ends(scenario))}
    s["flows"] = len(scenario.flows)
    for f, flow in enumerate(scenario.flows):
        into = s["flow"][f]
        into["tcp"], into["answers"] = flow.kind != "udp", flow.kind == "rr"
        into["source"], into["sink"] = index[flow.source], index[flow.sink]
        into["line"] = 4 * VIFS + 1 + f
        into["window"] = into["threshold"] = flow.window_kb * 1024
        into["rate"], into["rto"] = flow.gbps / 8.0, flow.rto_ms * MILLI
        into["cwnd"] = 10 * MTU
        if flow.kind == "rr":
            into["window"] = into["cwnd"] = flow.connections * ACK_BYTES
        s["queue"]["limit"][into["line"]] = LINE_LIMIT


def _duties(s: np.void, scenario: Scenario, spec: HostSpec) -> None:
    """What each VCPU looks for in turn: backends their vifs, guests their rings and flows."""
    duties: list[list[tuple[int, int, int]]] = [[] for _ in range(s["vcpus"])]
    last = len(spec.vifs) - 1
    shared = scenario.driver_domain.kind == "netback-2007"
    for first, end in [(0, last)] if shared else [(v, v) for v in range(last + 1)]:
        vif = s["vif"][first]
        duties[vif["deliverer"]] += [(NIC_RECEIVE, first, end), (DELIVER, first, end)]
        duties[vif["collector"]].append((COLLECT, first, end))
    for v in range(last + 1):
        duties[s["vif"][v]["receiver"]].append((GUEST_RECEIVE, v, v))
    for f, flow in enumerate(scenario.flows):
        if flow.source != OUTSIDE:
            sender = s["vif"][s["flow"][f]["source"]]["receiver"]
            duties[sender].append((GUEST_SEND, f, f))
    s["waiting"][GUEST_SEND] = -1
    at = 0
    for i, own in enumerate(duties):
        v = s["vcpu"][i]
        v["first_duty"], v["next_duty"], v["duties"] = at, at, len(own)
        for duty, item, last in own + own:
            into = s["duty"][at]
            into["kind"], into["item"] = duty, item
            into["vifs"] = _bits(range(item, last + 1))
            at += 1


def _index(spec: HostSpec, core: int) -> int:
    return next(i for i, found in enumerate(spec.cores) if found.id == core)


def _alike(spec: HostSpec, core: Core, attribute: str) -> int:
    """The set of cores that have ``attribute`` in common with ``core``."""
    mine = getattr(core, attribute)
    return _bits(c for c, other in enumerate(spec.cores) if getattr(other, attribute) == mine)


def _bits(indices: Iterable[int]) -> int:
    return sum(1 << i for i in indices)
