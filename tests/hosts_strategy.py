"""Random hosts and their settings as found, for property tests."""

from collections.abc import Iterable, Sequence
from random import Random

from hypothesis import strategies as st

from envs.host import (
    Backend,
    Core,
    Guest,
    HostSpec,
    Limits,
    Port,
    Sample,
    Settings,
    Traffic,
    Uplink,
)


@st.composite
def hosts(draw: st.DrawFn) -> tuple[HostSpec, Settings]:
    """A host of any topology and any set of knobs, and a legal baseline of it."""
    nodes = draw(st.integers(1, 2))
    llcs = draw(st.integers(1, 3))
    width = draw(st.integers(1, 4))
    smt = draw(st.booleans())
    cores = tuple(
        Core(id=i, llc=i // width, node=(i // width) * nodes // llcs, sibling=i // (1 + smt))
        for i in range(llcs * width)
    )
    ids = tuple(core.id for core in cores)
    roles = ["io", *draw(st.lists(st.sampled_from(["io", "cpu"]), max_size=4))]
    guests = tuple(
        Guest(
            name=f"g{n}",
            role=role,
            vcpus=tuple(f"g{n}/{v}" for v in range(draw(st.integers(1, 2)))),
            vifs=(f"vif{n}",) if role == "io" else (),
        )
        for n, role in enumerate(roles)
    )
    vifs = [vif for guest in guests for vif in guest.vifs]
    shared = draw(st.booleans())
    backends = (
        (Backend(name="netback", vifs=tuple(vifs)),)
        if shared
        else tuple(Backend(name=f"b{vif}", vifs=(vif,)) for vif in vifs)
    )
    keys = [*(backend.name for backend in backends), *(v for g in guests for v in g.vcpus)]
    domains = ["dom0", *(guest.name for guest in guests)]
    spec = HostSpec(
        uri="sim:random",
        kind="sim",
        cores=cores,
        driver_domain="dom0",
        backends=backends,
        guests=guests,
        uplink=Uplink(name="eth0", gbps=10.0, llc=draw(st.integers(0, llcs - 1))),
        limits=Limits(
            backends=draw(st.booleans()),
            guests=draw(st.booleans()),
            reach=draw(st.dictionaries(st.sampled_from(keys), sets(ids), max_size=3)),
            weights=tuple(draw(st.lists(st.sampled_from(domains), unique=True))),
            weight=(1, draw(st.sampled_from([256, 1024, 65535]))),
            tx_queue=draw(st.sampled_from([None, (1, 512), (8, 10000)])),
            bridge=draw(st.sampled_from([("stock",), ("stock", "lean", "direct")])),
            side_cores=draw(st.integers(0, 4)),
            polling=draw(st.booleans()),
        ),
    )
    most = min(spec.limits.side_cores, len(ids) - 1)
    side = draw(st.one_of(st.just(()), sets(ids[:most]))) if most else ()
    off = tuple(core for core in ids if core not in side)
    baseline = Settings(
        placement={
            **{backend.name: side or draw(places(ids)) for backend in backends},
            **{vcpu: draw(places(off)) for vcpu in spec.vcpus},
        },
        weight=dict.fromkeys(domains, 256),
        tx_queue={vif: draw(st.sampled_from([32, 500, 1000])) for vif in vifs},
        side_cores=side,
    )
    return spec, baseline


def sets(cores: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    """Some of the cores."""
    return st.lists(st.sampled_from(cores), min_size=1, unique=True).map(sorted).map(tuple)


def places(cores: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    """All cores, as likely as some of them."""
    return st.one_of(st.just(tuple(cores)), sets(cores))


def samples(spec: HostSpec) -> st.SearchStrategy[Sample]:
    """Any sample of a host, plausible or not: counters from nothing to absurdly much."""
    return st.integers(0, 2**32).map(lambda seed: _sample(spec, Random(seed)))  # noqa: S311 (no secret)


def _sample(spec: HostSpec, rng: Random) -> Sample:
    def amount() -> float:
        return rng.choice([0.0, 1e-9, 1.0, rng.random(), 10.0 ** rng.uniform(-3, 15)])

    def traffic() -> Traffic:
        return Traffic(bytes=int(amount()), packets=int(amount()), drops=int(amount()))

    def each(keys: Iterable[str]) -> dict[str, float]:
        return {key: amount() for key in keys}

    return Sample(
        seconds=rng.choice([1e-3, 1.0, 1e3]),
        vifs={vif: Port(inward=traffic(), outward=traffic()) for vif in spec.vifs},
        uplink=Port(inward=traffic(), outward=traffic()),
        guest_cpu=each(guest.name for guest in spec.guests),
        backend_cpu=each(backend.name for backend in spec.backends),
        core_busy={core: amount() for core in spec.core_ids},
        softirq=amount(),
        work=each(guest.name for guest in spec.guests if rng.random() < 0.5),
        latency=rng.choice([None, amount()]),
        cache_misses=rng.choice([None, amount()]),
    )
