"""A Xen host as it describes itself, and the reasons why a knob cannot be set there."""

from collections.abc import Iterator, Mapping

from envs.errors import HostError
from envs.host import BRIDGE_MODES, Backend, Guest, HostSpec, Knob, Limits, Role, Uplink
from envs.hosts.xen import xl
from envs.hosts.xen.dom0 import Queue
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import Site
from envs.hosts.xen.state import backends, vcpu_key, vcpu_names, vif_names

TX_QUEUE = (1, 4096)
"""The TX queue lengths that are offered, in packets; with offloads a packet holds up to 64 KiB."""


def spec_of(site: Site, present: Present, roles: Mapping[str, Role] | None = None) -> HostSpec:
    """What is there and what can be set.

    ``roles`` are those of the guests that have a vif; one without is a CPU-bound neighbour.
    Raises HostError where no guest in dom0's pool has a vif that dom0 serves.
    """
    if not present.vifs:
        raise HostError(
            f"no guest in pool {site.pool.name!r} has a vif that dom0 serves: nothing to tune"
        )
    limits = _limits(site, present)
    return HostSpec(
        uri=site.uri,
        kind="xen",
        cores=site.cores,
        driver_domain=present.names[_dom0(present)],
        backends=_backends(present),
        guests=_guests(present, roles or {}),
        uplink=_uplink(site),
        limits=limits,
    )


def _uplink(site: Site) -> Uplink:
    """The uplink, nearest to the first core of its node; Xen tells nothing closer."""
    link = site.uplink
    near = [core.llc for core in site.cores if core.node == link.node] or [site.cores[0].llc]
    return Uplink(name=link.name, gbps=link.gbps, llc=near[0])


def _dom0(present: Present) -> str:
    return present.uuids[xl.DOM0]


def _guests(present: Present, roles: Mapping[str, Role]) -> tuple[Guest, ...]:
    vcpus, vifs = vcpu_names(present), vif_names(present)
    guests = []
    for domain in present.domains:
        if domain.domid != xl.DOM0:
            of = f"{domain.uuid}/"
            own = tuple(name for name, key in vifs.items() if key.startswith(of))
            name = present.names[domain.uuid]
            guests.append(
                Guest(
                    name=name,
                    role=roles.get(name, "io") if own else "cpu",
                    vcpus=tuple(name for name, key in vcpus.items() if key.startswith(of)),
                    vifs=own,
                )
            )
    return tuple(guests)


def _backends(present: Present) -> tuple[Backend, ...]:
    """dom0's VCPUs, each with the vifs of which it gets a feed when it is placed by itself."""
    names = tuple(backends(present))
    served: dict[str, list[str]] = {name: [] for name in names}
    for vif, key in vif_names(present).items():
        turns = {turn for feed, turn in present.turn.items() if feed.startswith(f"{key}/")}
        for name in {names[turn % len(names)] for turn in turns}:
            served[name].append(vif)
    return tuple(Backend(name=name, vifs=tuple(vifs)) for name, vifs in served.items())


def _limits(site: Site, present: Present) -> Limits:
    reasons: dict[Knob, str] = {
        "weight": next(_no_weights(site, present), ""),
        "tx_queue": next(_no_queue(present), ""),
        "bridge": "; ".join(_no_bridge(site, present)),
        "side_cores": "there is one core only" if len(site.cores) < 2 else "",
    }
    why_not = {knob: why for knob, why in reasons.items() if why}
    return Limits(
        reach=dict(_reach(site, present)),
        weights=() if "weight" in why_not else tuple(present.names.values()),
        weight=xl.WEIGHTS,
        tx_queue=None if "tx_queue" in why_not else TX_QUEUE,
        bridge=BRIDGE_MODES[:1] if "bridge" in why_not else BRIDGE_MODES,
        side_cores=min(len(site.cores) - 1, len(backends(present))),
        why_not=why_not,
    )


def _reach(site: Site, present: Present) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The VCPUs of guests with a soft affinity, and its cores: they are near the guest's memory.

    xl gives one to a guest that it places on a node. One that was pinned elsewhere has lost it.
    """
    vcpus = {vcpu_key(present, vcpu): vcpu for vcpu in present.vcpus if vcpu.domid != xl.DOM0}
    for name, key in vcpu_names(present).items():
        if key in vcpus and vcpus[key].soft != "none":
            near = site.placed(vcpus[key].soft)
            if near != site.pool.cores and set(near) & set(site.placed(vcpus[key].hard)):
                yield name, near


def _no_weights(site: Site, present: Present) -> Iterator[str]:
    """Why weights do nothing, if they do.

    The credit scheduler hands out credit pool-wide, so a domain that may use a part of the pool
    only gets more than it can use of it there, whatever its weight (measured on Xen 4.17: 512 to
    256 gave shares of 1.0 on one core of a pool of two, 2.0 in a pool of one core).
    """
    pool = site.pool
    if not pool.has_weights:
        yield f"the scheduler of {pool.name}, {pool.scheduler}, has no weights"
    if pool.scheduler == "credit" and len(pool.cores) > 1:
        for vcpu in present.vcpus:
            if vcpu.online and site.placed(vcpu.hard) != pool.cores:
                name = present.names[present.uuids[vcpu.domid]]
                yield (
                    f"{name} is pinned, and the credit scheduler counts shares over all "
                    f"{len(pool.cores)} cores of {pool.name}: weights would do nothing"
                )


def _no_queue(present: Present) -> Iterator[str]:
    for vif in present.vifs.values():
        queue = present.queues.get(vif.name, Queue())
        if not queue.obeys:
            kinds = " and ".join(sorted(queue.kinds)) or "no queue"
            yield f"{vif.name} has {kinds}, which does not obey txqueuelen; pfifo_fast does"
        if present.bridge and vif.name in present.bridge.ours:
            yield f"{vif.name} carries our own connection"


def _no_bridge(site: Site, present: Present) -> Iterator[str]:
    if present.bridge is None:
        yield "no vif is on a bridge"
        return
    yield from present.bridge.obstacles
    for vif in present.vifs.values():
        if vif.name not in present.bridge.state.ports:
            yield f"{vif.name} is not on {site.bridge}"
