"""A Xen host's state as one value, what a setting makes of it, and the commands in between.

A backend is a VCPU of dom0: that is what Xen schedules and what can be placed. netback's threads
and interrupts (its *feeds*) run on these VCPUs as dom0's kernel likes. As soon as the VCPUs are
placed differently from how they were found, each feed is pinned to one VCPU, so that placing the
VCPU places the packets' way; with the VCPUs back where they were found, the feeds are, too. The
feeds go to the VCPUs in turn, queue by queue, which is what ``Backend.vifs`` tells.

What was found is kept in a file on the host while it is changed. Everything is known by its
domain's UUID, the ports of the bridge included: a guest that was rebooted or migrated has another
number and other interfaces, but is still the same guest.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from envs.host import BridgeMode, Record, Settings
from envs.hosts import bridge
from envs.hosts.bridge import BridgeState
from envs.hosts.iproute import QueueLength
from envs.hosts.kept import Kept, on_file
from envs.hosts.linux import Weight
from envs.hosts.xen import xl
from envs.hosts.xen.ports import by_key, by_name, plugs
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import Site
from envs.hosts.xen.xl import Vcpu

V = TypeVar("V")
Affinity = Annotated[str, msgspec.Meta(pattern=r"\A(all|[0-9][0-9,-]*)\Z")]
"""A list of cores as ``xl`` and the kernel print it, in a file that should hold one."""

NO_WEIGHT = 256
"""What stands for a weight where the scheduler has none: Xen's default where it has."""


class Found(Record, frozen=True):
    """The values that a setting changes.

    ``affinity`` is the hard affinity of each VCPU, offline ones included, by UUID and number;
    ``weight`` is by UUID, ``feeds`` and ``tx_queue`` by the keys of ``Present``, and so are the
    vifs in ``bridge``.
    """

    affinity: Mapping[str, Affinity]
    weight: Mapping[str, Weight]
    feeds: Mapping[str, Affinity]
    tx_queue: Mapping[str, QueueLength]
    bridge: BridgeState | None


class XenState(Record, frozen=True):
    """Everything that ``apply`` may touch: the values as they are, and what is on file."""

    now: Found
    kept: Kept[Found] | None = None

    @property
    def found(self) -> Found:
        """What there is now, with the values as they were found before any change of ours."""
        return carried(self.kept.found, self.now) if self.kept else self.now

    @property
    def side_cores(self) -> tuple[int, ...]:
        """The cores that were reserved."""
        return self.kept.side_cores if self.kept else ()


def state_of(present: Present) -> XenState:
    """The state of a host. What is on file is told in terms of what is there now."""
    now = Found(
        affinity={vcpu_key(present, vcpu): vcpu.hard for vcpu in present.vcpus},
        weight={present.uuids[domid]: weight for domid, weight in present.weights.items()},
        feeds={key: feed.cores for key, feed in present.feeds.items()},
        tx_queue=present.lengths,
        bridge=by_key(present, present.bridge.state) if present.bridge else None,
    )
    kept = on_file("found.json", present.kept, Kept[Found]) if present.kept else None
    return XenState(now=now, kept=kept)


def vcpu_key(present: Present, vcpu: Vcpu) -> str:
    """The key of a VCPU that outlives a reboot."""
    return f"{present.uuids[vcpu.domid]}/{vcpu.index}"


def vcpu_names(present: Present) -> Mapping[str, str]:
    """The key of each VCPU that is online by its name in a setting, dom0's first."""
    return {
        f"{present.names[domain.uuid]}/{vcpu.index}": vcpu_key(present, vcpu)
        for domain in sorted(present.domains, key=lambda domain: domain.domid)
        for vcpu in present.vcpus
        if vcpu.domid == domain.domid and vcpu.online
    }


def vif_names(present: Present) -> Mapping[str, str]:
    """The key of each vif by its name in a setting, which outlives a reboot as well."""
    named = {}
    for key in present.vifs:
        uuid, _, device = key.rpartition("/")
        named[f"{present.names[uuid]}/{device}"] = key
    return named


def backends(present: Present) -> Mapping[str, int]:
    """The names of dom0's VCPUs that are online, and the number dom0's kernel has for each."""
    (dom0,) = (domain for domain in present.domains if domain.domid == xl.DOM0)
    ours = (vcpu for vcpu in present.vcpus if vcpu.domid == xl.DOM0 and vcpu.online)
    return {f"{present.names[dom0.uuid]}/{vcpu.index}": vcpu.index for vcpu in ours}


def settings(site: Site, present: Present, state: XenState) -> Settings:
    """The five knobs in a state.

    A side-core that a guest may run on (someone moved it there, or it is new) is not reserved
    any more.
    """
    placement = {
        name: site.placed(state.now.affinity[key]) for name, key in vcpu_names(present).items()
    }
    own = backends(present)
    trespassed = {core for name, cores in placement.items() if name not in own for core in cores}
    return Settings(
        placement=placement,
        weight={n: state.now.weight.get(uuid, NO_WEIGHT) for uuid, n in present.names.items()},
        tx_queue={name: state.now.tx_queue[key] for name, key in vif_names(present).items()},
        bridge=bridge_mode(present, state),
        side_cores=tuple(core for core in state.side_cores if core not in trespassed),
    )


def bridge_mode(present: Present, state: XenState) -> BridgeMode:
    """The mode that the bridge is in."""
    stock, now = state.found.bridge, state.now.bridge
    if state.kept is None or stock is None or now is None:
        return "stock"
    return bridge.mode_of(by_name(present, stock), by_name(present, now), plugs(present))


def wanted(site: Site, present: Present, state: XenState, target: Settings) -> XenState:
    """The state that a setting means, from the state that is."""
    found, names = state.found, vcpu_names(present)
    affinity = dict(state.now.affinity)
    for key in set(affinity) - set(names.values()):  # offline: when they come, not to a side-core
        affinity[key] = _without(site, found.affinity[key], target.side_cores)
    for name, key in names.items():
        cores = target.placement[name]
        if site.placed(found.affinity[key]) == tuple(sorted(cores)):
            affinity[key] = found.affinity[key]
        else:
            affinity[key] = xl.as_affinity(cores, site.pool.cores)
    own = backends(present)
    moved = any(affinity[names[name]] != found.affinity[names[name]] for name in own)
    values = Found(
        affinity=affinity,
        weight={uuid: target.weight[present.names[uuid]] for uuid in state.now.weight},
        feeds=_dealt(present, tuple(own.values())) if moved else found.feeds,
        tx_queue={key: target.tx_queue[name] for name, key in vif_names(present).items()},
        bridge=_in_mode(present, found.bridge, target.bridge),
    )
    if not moved and target.bridge == "stock" and not target.side_cores:
        return XenState(now=values)
    kept = _complete(state.kept.found, found) if state.kept else found
    return XenState(now=values, kept=Kept(found=kept, side_cores=target.side_cores))


def remembered(then: XenState, now: Found) -> XenState:
    """A state of then, of what there is now."""
    return XenState(now=carried(then.now, now), kept=then.kept)


def carried(then: Found, now: Found) -> Found:
    """The values of then, of what there is ``now``; what is new stays as it is.

    A guest that was rebooted or migrated meanwhile gets back what it had, by other interfaces.
    """
    return Found(
        affinity=_over(now.affinity, then.affinity),
        weight=_over(now.weight, then.weight),
        feeds=_over(now.feeds, then.feeds),
        tx_queue=_over(now.tx_queue, then.tx_queue),
        bridge=now.bridge and then.bridge and bridge.carried(then.bridge, now.bridge),
    )


def _complete(then: Found, new: Found) -> Found:
    """The values of then, and those of what is new."""
    return Found(
        affinity={**new.affinity, **then.affinity},
        weight={**new.weight, **then.weight},
        feeds={**new.feeds, **then.feeds},
        tx_queue={**new.tx_queue, **then.tx_queue},
        bridge=then.bridge,
    )


def _in_mode(present: Present, stock: BridgeState | None, mode: BridgeMode) -> BridgeState | None:
    if present.bridge is None or stock is None:
        return None
    others = present.bridge.others
    named = bridge.in_mode(mode, by_name(present, stock), plugs(present), others)
    return by_key(present, named)


def _without(site: Site, affinity: str, side_cores: tuple[int, ...]) -> str:
    """A hard affinity less the side-cores; all other cores where none is left."""
    cores = site.placed(affinity)
    left = set(cores) - set(side_cores)
    if len(left) == len(cores):
        return affinity
    return xl.as_affinity(left or set(site.pool.cores) - set(side_cores), site.pool.cores)


def _dealt(present: Present, numbers: tuple[int, ...]) -> Mapping[str, str]:
    """Every feed on the VCPU whose turn it is."""
    return {key: str(numbers[turn % len(numbers)]) for key, turn in present.turn.items()}


def _over(now: Mapping[str, V], then: Mapping[str, V]) -> Mapping[str, V]:
    """What is there now, with the values of then where there are any."""
    return {key: then.get(key, value) for key, value in now.items()}
