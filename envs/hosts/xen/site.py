"""What a Xen host is made of and stays as it is while it is tuned: read once, in two trips."""

from collections import Counter
from collections.abc import Mapping, Sequence

from envs.errors import HostError
from envs.host import Core, Record
from envs.hosts import uplink
from envs.hosts.iproute import Link
from envs.hosts.transport import NOT_FOUND, Result, Transport, printed
from envs.hosts.uplink import Adapter
from envs.hosts.xen import dom0, xl
from envs.hosts.xen.xl import Pool

PATIENCE = 120.0
"""Seconds that all questions together may take: a busy dom0 with many guests is slow to answer."""


class Site(Record, frozen=True):
    """What stays as it is while a host is tuned.

    ``pool`` is the cpupool that dom0 is in, with its ``cores``: guests in other pools share none
    of them, and are left alone. ``bridge`` and the uplink's name are empty where
    there is none; the uplink's rate and interrupts are known where it is hardware.
    """

    uri: str
    folder: str
    pool: Pool
    cores: tuple[Core, ...]
    bridge: str = ""
    uplink: Adapter = Adapter(name="")

    @property
    def kept_file(self) -> str:
        """Where the state as found is, while it is another."""
        return f"{self.folder}/found.json"

    def placed(self, affinity: str) -> tuple[int, ...]:
        """The cores of the pool in a hard affinity; all of them where it names none of them."""
        return (
            tuple(
                core for core in xl.core_list(affinity, self.pool.cores) if core in self.pool.cores
            )
            or self.pool.cores
        )


def look(transport: Transport, uri: str, folder: str) -> Site:
    """What the host is made of. Raises HostError where it is no Xen host, or we may not look."""
    first = (xl.INFO, xl.POOLS, xl.POOL_CORES, xl.LIST, dom0.VIFS, dom0.LINKS)
    answers = transport.run_all(first, timeout=PATIENCE)
    _no_xen(answers[0])
    info, pools, pool_cores, listed = map(printed, answers[:4])
    pool = _pool_of_dom0(listed, xl.pools(pools, pool_cores))
    cores = tuple(core for core in xl.topology(info) if core.id in pool.cores)
    if {core.id for core in cores} != set(pool.cores):
        raise HostError(f"xl info -n does not name all cores of pool {pool.name!r}")
    links = dom0.links(answers[5])
    vifs = {vif.name for vif in dom0.vifs(printed(answers[4]))}
    bridge = _bridge(links, vifs)
    ports = sorted(name for name, link in links.items() if bridge and link.master == bridge)
    outward = [name for name in ports if name not in vifs]
    adapters = transport.run(uplink.question(outward), timeout=PATIENCE).out
    return Site(
        uri=uri,
        folder=folder,
        pool=pool,
        cores=cores,
        bridge=bridge,
        uplink=uplink.uplink(adapters, otherwise=bridge),
    )


def _no_xen(info: Result) -> None:
    """Raise HostError where ``xl`` is missing or finds no hypervisor."""
    if info.rc == NOT_FOUND:
        raise HostError("there is no xl: it is no Xen host, or its tools are not installed")
    if info.rc != 0:
        said = (info.err.strip().splitlines() or ["no message"])[-1]
        raise HostError(f"xl info: {said}: is this dom0, and are we root?")


def _pool_of_dom0(listed: str, pools: Sequence[Pool]) -> Pool:
    domains = {domain.domid: domain.pool for domain in xl.domains(listed)}
    for pool in pools:
        if pool.name == domains.get(xl.DOM0):
            return pool
    raise HostError("xl list and xl cpupool-list name no pool that dom0 is in")


def _bridge(links: Mapping[str, Link], vifs: set[str]) -> str:
    """The bridge that most vifs are ports of, empty where there is none."""
    masters = Counter(link.master for name, link in sorted(links.items()) if name in vifs)
    del masters[""]
    return max(masters, key=lambda name: masters[name], default="")
