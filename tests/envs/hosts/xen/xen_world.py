"""A Xen host made up for tests: four cores, two guests with a vif each, and a neighbour."""

from envs.host import Core
from envs.hosts.bridge import BridgeFound, BridgeState, PortFlags
from envs.hosts.uplink import Adapter
from envs.hosts.xen.dom0 import Feed, Queue, Vif
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import Site
from envs.hosts.xen.xl import Domain, Pool, Vcpu

DOM0 = "00000000-0000-0000-0000-000000000000"
G1 = "11111111-1111-1111-1111-111111111111"
G2 = "22222222-2222-2222-2222-222222222222"
BUSY = "33333333-3333-3333-3333-333333333333"
CORES = (0, 1, 2, 3)

SITE = Site(
    uri="xen:",
    folder="/run/viotune/xen",
    pool=Pool(name="Pool-0", scheduler="credit2", cores=CORES),
    cores=tuple(Core(id=i, llc=i // 2, node=0, sibling=i) for i in CORES),
    bridge="xenbr0",
    uplink=Adapter(name="eth1", irqs=(47,)),
)


def present(g1: int = 1, g2: int | None = 2, scheduler: str = "credit2") -> Present:
    """The host with its guests under these numbers; ``g2`` may be gone."""
    domids = {DOM0: 0, G1: g1, **({G2: g2} if g2 is not None else {}), BUSY: 9}
    names = {DOM0: "Domain-0", G1: "g1", G2: "g2", BUSY: "busy"}
    vifs = {
        f"{uuid}/vif0": Vif(domid=domid, device=0, name=f"vif{domid}.0", mac=mac)
        for uuid, domid in domids.items()
        for mac in [{G1: "00:16:3e:00:00:01", G2: "00:16:3e:00:00:02"}.get(uuid, "")]
        if mac
    }
    feeds, turn = {}, {}
    for place, (key, vif) in enumerate(vifs.items()):
        for thread, kind in ((True, "guest-rx"), (True, "dealloc"), (False, "tx"), (False, "rx")):
            name = f"{vif.name}-q0-{kind}"
            feeds[f"{key}/q0-{kind}"] = Feed(
                thread=thread, number=100 * vif.domid + len(feeds), name=name, cores="0-1"
            )
            turn[f"{key}/q0-{kind}"] = place
    feeds["eth1/eth1-input"] = Feed(thread=False, number=47, name="eth1-input", cores="0-1")
    turn["eth1/eth1-input"] = 0
    ports = {"eth1": PortFlags(learning=True, flood=True)}
    ports |= {vif.name: PortFlags(learning=True, flood=True) for vif in vifs.values()}
    return Present(
        domains=tuple(
            Domain(domid=d, uuid=uuid, name=names[uuid], pool="Pool-0")
            for uuid, d in domids.items()
        ),
        vcpus=tuple(
            Vcpu(domid=d, index=i, online=i < 2 - (d > 0), seconds=0.0, hard="all", soft="all")
            for d in domids.values()
            for i in (0, 1)
        ),
        weights=dict.fromkeys(domids.values(), 256),
        vifs=vifs,
        feeds=feeds,
        turn=turn,
        queues={vif.name: Queue(kinds=frozenset({"pfifo_fast"})) for vif in vifs.values()},
        lengths=dict.fromkeys(vifs, 1000),
        bridge=BridgeFound(state=BridgeState(options={"mcast_snooping": 1}, ports=ports), links={}),
    )
