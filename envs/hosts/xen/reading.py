"""A Xen host as it is now: the questions that are asked of it at once, and what the answers say."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from envs.errors import HostError
from envs.host import Record
from envs.hosts import bridge
from envs.hosts.bridge import BridgeFound
from envs.hosts.change import Command
from envs.hosts.transport import Result, printed
from envs.hosts.xen import dom0, xl
from envs.hosts.xen.dom0 import Feed, Queue, Vif
from envs.hosts.xen.site import Site
from envs.hosts.xen.xl import Domain, Vcpu


class Present(Record, frozen=True, dict=True):
    """The domains of the pool and what belongs to them, at one moment.

    ``vcpus`` and ``weights`` are those of these domains only; ``vifs`` and ``feeds`` are by keys
    that outlive a reboot or a migration, for they begin with the domain's UUID. ``turn`` says of
    each feed which of dom0's VCPUs it goes to where each VCPU has its own (see ``state``).
    """

    domains: tuple[Domain, ...]
    vcpus: tuple[Vcpu, ...]
    weights: Mapping[int, int]
    vifs: Mapping[str, Vif]
    feeds: Mapping[str, Feed]
    turn: Mapping[str, int]
    queues: Mapping[str, Queue]
    lengths: Mapping[str, int]
    bridge: BridgeFound | None
    kept: str = ""

    @cached_property
    def uuids(self) -> Mapping[int, str]:
        """The UUID of each domain by its number."""
        return {domain.domid: domain.uuid for domain in self.domains}

    @cached_property
    def domids(self) -> Mapping[str, int]:
        """The number of each domain by its UUID."""
        return {domain.uuid: domain.domid for domain in self.domains}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """A name for each domain by its UUID, which no two share."""
        given = [domain.name for domain in self.domains]
        return {
            d.uuid: d.name if given.count(d.name) == 1 else f"{d.name} ({d.uuid[:8]})"
            for d in self.domains
        }


def questions(site: Site) -> tuple[Command, ...]:
    """What must be asked of the host to know its state; ``present`` takes the answers."""
    weights = (xl.weights_query(site.pool.scheduler),) if site.pool.has_weights else ()
    return (
        xl.LIST,
        xl.VCPUS,
        dom0.VIFS,
        dom0.THREADS,
        dom0.IRQS,
        dom0.QDISCS,
        ("cat", site.kept_file),
        *weights,
        *(bridge.questions(site.bridge) if site.bridge else (dom0.LINKS,)),
    )


def present(site: Site, answers: Sequence[Result], *, bypass_filters: bool = False) -> Present:
    """The host's domains and what belongs to them, out of the answers to ``questions``.

    ``bypass_filters`` is for ``bridge.found``.
    Raises HostError or CommandFailed where one of them cannot be read.
    """
    listed, vcpus, vifs, threads, irqs, qdiscs, kept, *rest = answers
    weights: Mapping[int, int] = {}
    if site.pool.has_weights:
        weights = xl.weights(site.pool.scheduler, printed(rest.pop(0)))
    running = xl.vcpus(printed(vcpus))
    alive = {vcpu.domid for vcpu in running if vcpu.online}
    domains = tuple(
        domain
        for domain in xl.domains(printed(listed))
        if domain.pool == site.pool.name and domain.domid in alive
    )
    uuids = {domain.domid: domain.uuid for domain in domains}
    if xl.DOM0 not in uuids:
        raise HostError(f"xl list names no domain 0 in pool {site.pool.name!r}")
    found = _bridge(site, rest, bypass_filters)
    links = found.links if found else dom0.links(rest[0])
    served = {
        f"{uuids[vif.domid]}/vif{vif.device}": vif
        for vif in dom0.vifs(printed(vifs))
        if vif.domid in uuids and vif.name in links
    }
    feeds, turn = _feeds(site, served, (*dom0.threads(threads), *dom0.irqs(irqs)))
    return Present(
        domains=domains,
        vcpus=tuple(vcpu for vcpu in running if vcpu.domid in uuids),
        weights={domid: weight for domid, weight in weights.items() if domid in uuids},
        vifs=served,
        feeds=feeds,
        turn=turn,
        queues=dom0.queues(qdiscs),
        lengths={key: links[vif.name].txqlen for key, vif in served.items()},
        bridge=found,
        kept=kept.out if kept.rc == 0 else "",
    )


def _bridge(site: Site, answers: Sequence[Result], bypass_filters: bool) -> BridgeFound | None:
    if not site.bridge:
        return None
    return bridge.found(site.bridge, answers, bypass_filters=bypass_filters)


def _feeds(
    site: Site, vifs: Mapping[str, Vif], every: Sequence[Feed]
) -> tuple[Mapping[str, Feed], Mapping[str, int]]:
    """The feeds by key, and the turn of each.

    All vifs' queues are dealt to dom0's VCPUs like cards, and so are the uplink's interrupts.
    """
    feeds: dict[str, Feed] = {}
    turn: dict[str, int] = {}
    first = 0
    for key, vif in vifs.items():
        last = -1
        for queue, rest, feed in dom0.feeds_of(vif, every):
            feeds[f"{key}/{rest}"], turn[f"{key}/{rest}"] = feed, first + queue
            last = max(last, queue)
        first += last + 1
    own = [feed for feed in every if not feed.thread and feed.number in site.uplink.irqs]
    for place, feed in enumerate(sorted(own, key=lambda feed: feed.number)):
        key = f"{site.uplink.name}/{feed.name}"
        feeds[key], turn[key] = feed, place
    return feeds, turn
