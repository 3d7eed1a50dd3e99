"""A scenario as its host describes itself: the names of its parts, and its stock settings."""

from envs.host import Backend, Core, Guest, HostSpec, Limits, Settings, Uplink
from envs.scenario.records import Scenario


def vif_names(scenario: Scenario) -> tuple[str, ...]:
    """Names of all vifs in the guests' order, as the platform makes them."""
    names: list[str] = []
    for domid, guest in enumerate(scenario.guests, start=1):
        for j in range(guest.vifs):
            if scenario.platform == "xen":
                names.append(f"vif{domid}.{j}")
            elif scenario.platform == "kvm":
                names.append(f"vnet{len(names)}")
            else:
                names.append(guest.name if j == 0 else f"{guest.name}.{j}")
    return tuple(names)


def spec_of(scenario: Scenario) -> HostSpec:
    """What is there and what can be set."""
    vifs = vif_names(scenario)
    guests, at = [], 0
    for kind in scenario.guests:
        own, at = vifs[at : at + kind.vifs], at + kind.vifs
        vcpus = tuple(f"{kind.name}/{k}" for k in range(kind.vcpus))
        guests.append(Guest(name=kind.name, role=kind.role, vcpus=vcpus, vifs=own))
    driver = scenario.driver_domain
    if driver.kind == "netback-2007":
        backends = tuple(Backend(name=f"{driver.name}/{k}", vifs=vifs) for k in range(driver.vcpus))
    else:
        thread = {"xen": "netback", "kvm": "vhost", "lab": "relay"}[scenario.platform]
        backends = tuple(Backend(name=f"{thread}-{vif}", vifs=(vif,)) for vif in vifs)
    return HostSpec(
        uri=f"sim:{scenario.name}",
        kind="sim",
        cores=_cores(scenario),
        driver_domain=driver.name,
        backends=backends,
        guests=tuple(guests),
        uplink=Uplink(name=scenario.uplink.name, gbps=_rate(scenario), llc=scenario.uplink.llc),
        limits=_limits(scenario),
    )


def stock_of(scenario: Scenario, spec: HostSpec) -> Settings:
    """The settings as the host is found: everything may run everywhere."""
    everywhere = spec.core_ids
    names = (*(backend.name for backend in spec.backends), *spec.vcpus)
    return Settings(
        placement=dict.fromkeys(names, everywhere),
        weight=dict.fromkeys(spec.domains, scenario.stock.weight),
        tx_queue=dict.fromkeys(spec.vifs, scenario.stock.tx_queue),
        bridge=scenario.stock.bridge,
    )


def _rate(scenario: Scenario) -> float | None:
    return scenario.uplink.gbps or None


def _cores(scenario: Scenario) -> tuple[Core, ...]:
    top = scenario.topology
    return tuple(
        Core(id=c, llc=c // top.per_llc, node=c // top.per_node, sibling=c // top.smt)
        for c in range(top.cores)
    )


def _limits(scenario: Scenario) -> Limits:
    can = scenario.settable
    io = tuple(guest.name for guest in scenario.guests if guest.role == "io")
    return Limits(
        backends=can.backends,
        guests=can.guests,
        weights=(scenario.driver_domain.name, *io) if can.weights else (),
        weight=(1, can.weight_max),
        tx_queue=(1, can.tx_queue_max) if can.tx_queue_max else None,
        bridge=can.bridge,
        side_cores=can.side_cores,
        polling=can.polling,
    )
