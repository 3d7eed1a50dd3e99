"""A host that fits in a test: its settings are a variable, its bandwidth a function of them."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from envs.errors import HostError
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
from envs.hosts.change import Change, Command, Part, as_seen, memory, undoing
from envs.hosts.transport import LocalTransport, Result, Transport

SPEC = HostSpec(
    uri="fake:",
    kind="lab",
    cores=tuple(Core(id=n, llc=0, node=0, sibling=n) for n in range(2)),
    driver_domain="driver",
    backends=(Backend(name="backend", vifs=("vif1", "vif2")),),
    guests=(
        Guest(name="one", role="io", vcpus=("one/0",), vifs=("vif1",)),
        Guest(name="two", role="io", vcpus=("two/0",), vifs=("vif2",)),
    ),
    uplink=Uplink(name="uplink"),
    limits=Limits(weights=("driver",), tx_queue=(1, 4000), bridge=("stock", "lean")),
)
FOUND = Settings(
    placement={"backend": (0, 1), "one/0": (0, 1), "two/0": (0, 1)},
    weight={"driver": 1024, "one": 1024, "two": 1024},
    tx_queue={"vif1": 32, "vif2": 32},
)


def sample(gbps: float, cores: float, seconds: float = 1.0, *, share: float = 0.5) -> Sample:
    """One interval: ``share`` of the bandwidth goes into guest one, the rest into guest two."""

    def port(part: float) -> Port:
        received = int(gbps * part * seconds / 8e-9)
        return Port(inward=Traffic(bytes=received, packets=received // 1500))

    return Sample(
        seconds=seconds,
        vifs={"vif1": port(share), "vif2": port(1.0 - share)},
        uplink=Port(),
        guest_cpu={"one": 0.0, "two": 0.0},
        backend_cpu={"backend": cores * seconds},
        core_busy={0: cores * seconds / 2, 1: cores * seconds / 2},
    )


def by_queue(settings: Settings) -> Sample:
    """A longer queue towards guest one gives more bandwidth at the same cost."""
    gbps = 5.0 * (settings.tx_queue["vif1"] / 32) ** 0.25
    return sample(gbps, 1.0)


_PUT = """
import json, os, sys
file, key, value = sys.argv[1:]
with open(file) as there:
    fields = json.load(there)
fields[key] = json.loads(value)
with open(file + ".new", "w") as fresh:
    json.dump(fields, fresh)
os.replace(file + ".new", file)
"""
"""Puts one field of a JSON file."""


class StumblingHost:
    """A live host in a file: ``calls`` lists what was asked of it.

    ``stumble`` is asked before and after every call whether it fails there. Its folder is reached
    through a transport, so that its watchdog is a real one.
    """

    def __init__(self, state_dir: Path, measured: Callable[[Settings], Sample] = by_queue) -> None:
        self.uri = "lab:fake"
        self.state_dir = state_dir
        self.transport: Transport = LocalTransport()
        self.file = state_dir / "host.json"
        state_dir.mkdir(exist_ok=True)
        self.now = FOUND
        self.calls: list[str] = []
        self.did = memory()
        self.stumble: Callable[[str], bool] = lambda _moment: False
        self.before_measure: Callable[[StumblingHost], None] = lambda _host: None
        self._measured = measured

    @property
    def now(self) -> Settings:
        return from_json(self.file.read_bytes(), Settings)

    @now.setter
    def now(self, settings: Settings) -> None:
        fresh = self.file.with_suffix(".fresh")
        fresh.write_bytes(to_json(settings))
        fresh.replace(self.file)

    def describe(self) -> HostSpec:
        self._call("describe")
        return SPEC

    def settings(self) -> Settings:
        self._call("settings")
        return self.now

    def changes(self, _target: Settings) -> tuple[Change, ...]:
        self._call("changes")
        return ()

    def apply(self, settings: Settings, seen: bytes | None = None) -> None:
        """Half of the knobs are set before a stumble in the middle, the rest after it."""
        self._call("apply")
        as_seen(self.now, seen)
        self.now = Settings(
            placement=settings.placement, weight=settings.weight, tx_queue=self.now.tx_queue
        )
        self.did.append(Result(argv=("set", "half"), rc=0))
        self._call("apply halfway")
        self.now = settings
        self.did.append(Result(argv=("set", "the rest"), rc=1, err="not quite\nreally"))

    def measure(self, seconds: float) -> Sample:
        """A sample at once: the fake does not wait."""
        assert seconds > 0.0
        self._call("measure")
        self.before_measure(self)
        return self._measured(self.now)

    def snapshot(self) -> bytes:
        self._call("snapshot")
        return to_json(self.now)

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        self._call("restore")
        as_seen(self.now, seen)
        wanted = from_json(snapshot, Settings)
        self.now = replace(self.now, placement=wanted.placement, bridge=wanted.bridge)
        self._call("restore halfway")
        self.now = wanted

    def restoring(
        self, snapshot: bytes, others: Sequence[bytes] | None = None
    ) -> tuple[Command, ...]:
        """A part for each field of the settings."""
        self._call("restoring")
        parts = None if others is None else [self._parts(other) for other in others]
        return undoing(self._parts(snapshot), parts)

    def _parts(self, snapshot: bytes) -> tuple[Part, ...]:
        put = (sys.executable, "-c", _PUT, str(self.file))
        fields = json.loads(snapshot)
        return tuple(((*put, key, json.dumps(value)),) for key, value in fields.items())

    def close(self) -> None:
        pass

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.stumble(name):
            raise HostError(f"stumbled at {name}")
