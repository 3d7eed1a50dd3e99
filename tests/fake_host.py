"""A host without mechanisms: it keeps what it is given, and measures what a formula says.

Enough to test what is built over the host contract; what settings are worth is the simulator's.
"""

from msgspec.structs import replace

from envs.errors import HostError, NotApplied
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
    from_json,
    to_json,
)
from envs.knobs import check

CORES = tuple(Core(id=i, llc=i // 2, node=0, sibling=i) for i in range(4))

SPEC = HostSpec(
    uri="sim:fake",
    kind="sim",
    cores=CORES,
    driver_domain="dom0",
    backends=(Backend(name="netback", vifs=("v0", "v1")),),
    guests=(
        Guest(name="web", role="io", vcpus=("web/0",), vifs=("v0",)),
        Guest(name="db", role="io", vcpus=("db/0",), vifs=("v1",)),
        Guest(name="burn", role="cpu", vcpus=("burn/0",)),
    ),
    uplink=Uplink(name="eth0", gbps=10.0, llc=0),
    limits=Limits(
        weights=("dom0", "web", "db"),
        tx_queue=(8, 4000),
        bridge=("stock", "lean", "direct"),
        side_cores=2,
        polling=True,
    ),
)

BASELINE = Settings(
    placement=dict.fromkeys(["netback", "web/0", "db/0", "burn/0"], (0, 1, 2, 3)),
    weight=dict.fromkeys(["dom0", "web", "db", "burn"], 256),
    tx_queue={"v0": 32, "v1": 32},
)


def sample(settings: Settings = BASELINE, seconds: float = 1.0) -> Sample:
    """More bandwidth for a leaner bridge and a longer queue; nothing else matters."""
    gain = {"stock": 1.0, "lean": 1.2, "direct": 1.5}[settings.bridge]
    gain *= 1.0 + min(settings.tx_queue.values()) / 8000
    each = Traffic(
        bytes=int(2.5e8 * gain * seconds),
        packets=int(1.7e5 * gain * seconds),
        drops=int(seconds * 32000 / settings.tx_queue["v0"]),
    )
    return Sample(
        seconds=seconds,
        vifs={vif: Port(inward=each) for vif in ("v0", "v1")},
        uplink=Port(inward=each),
        guest_cpu={"web": 0.5 * seconds, "db": 0.4 * seconds, "burn": 0.9 * seconds},
        backend_cpu={"netback": 0.8 * seconds},
        core_busy=dict.fromkeys(range(4), 0.65 * seconds),
        work={"burn": 100.0 * seconds},
    )


class FakeHost:
    """Implements ``envs.host.Host``. ``refuses`` makes ``apply`` fail, as a live host's may."""

    def __init__(self, spec: HostSpec = SPEC, *, refuses: bool = False) -> None:
        self.spec = spec
        self.now = BASELINE
        self.refuses = refuses
        self.open = True
        self.measured = 0

    def describe(self) -> HostSpec:
        return self.spec

    def settings(self) -> Settings:
        return self.now

    def apply(self, settings: Settings) -> None:
        check(self.spec, settings, BASELINE)
        if self.refuses and settings != BASELINE:
            self.now = replace(settings, bridge="stock")
            raise NotApplied("bridge mode was not taken")
        self.now = settings

    def measure(self, seconds: float) -> Sample:
        if not self.open:
            raise HostError("closed")
        self.measured += 1
        return sample(self.now, seconds)

    def snapshot(self) -> bytes:
        return to_json(self.now)

    def restore(self, snapshot: bytes) -> None:
        self.now = from_json(snapshot, Settings)

    def close(self) -> None:
        self.open = False
