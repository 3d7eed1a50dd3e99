"""A lab as a host: described, set and measured through commands alone."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from envs import knobs
from envs.errors import CommandFailed, HostError, InputError, NotApplied, Unprivileged, naming
from envs.host import (
    BRIDGE_MODES,
    Backend,
    Guest,
    HostSpec,
    Knob,
    Limits,
    Sample,
    Settings,
    Uplink,
    from_json,
    to_json,
)
from envs.hosts import bridge, linux
from envs.hosts.bridge import BridgeFound, BridgeState
from envs.hosts.change import Change, Command, as_seen, commands, memory
from envs.hosts.kept import on_file
from envs.hosts.lab import record
from envs.hosts.lab.config import BRIDGE, DRIVER, UPLINK, plan
from envs.hosts.lab.counters import count, sample
from envs.hosts.lab.duties import Duties, Duty
from envs.hosts.lab.record import Lab
from envs.hosts.lab.state import Context, LabState, changes, restoring, settings, wanted
from envs.hosts.transport import (
    LocalTransport,
    Transport,
    files_read,
    output,
    printed,
    read_files,
    reading,
)
from envs.hosts.unexpected import natural

TX_QUEUE = (1, 4096)
"""The TX queue lengths a lab takes, in packets; with offloads a packet holds up to 64 KiB."""

_PATIENCE = 30.0
"""Seconds a round trip, or the relays' following of new orders, may take on a machine that labs
have overloaded; milliseconds else."""


class LabHost:
    """A lab of this machine.

    The CPU time of a backend is that of its relay, and holds the receive stack of the guests it
    serves: delivering a frame runs it (see ``relay``). A guest's CPU time is that of its
    processes: their system calls, the copy out of the socket, and the stack when they send. Where
    one relay serves several vifs, the time stands under that relay; the others slept and cost
    nothing. The outside, its relay included, stands for another machine: it is not counted, is
    kept off side-cores, and has a weight that no boost exceeds. The bridge's work on a frame is
    done by whoever brings the frame: the guest's backend, or for frames from outside the uplink's
    relay, so there a leaner bridge shows in the bandwidth alone.
    """

    def __init__(
        self, lab: Lab, folder: Path, transport: Transport, *, bypass_filters: bool = False
    ) -> None:
        self.uri = f"lab:{lab.config.name}"
        self.transport = transport
        self.state_dir = folder
        self.did = memory()
        self._lab = lab
        self._bypass_filters = bypass_filters
        self._plan = plan(lab.config)
        self._spec: HostSpec | None = None
        self._found: tuple[Settings, ...] = ()  # the one that was described, once it was
        self._context = Context(plan=self._plan, lab=lab, folder=str(folder), cores=())
        self._context = msgspec.structs.replace(self._context, cores=self._cores())

    @classmethod
    def open(
        cls,
        name: str = "default",
        transport: Transport | None = None,
        *,
        bypass_filters: bool = False,
    ) -> "LabHost":
        """The lab of that name. Raises HostError if it is not up, Unprivileged if not ours.

        ``bypass_filters``: bridge modes may skip what filters frames on its bridge.
        """
        via = transport or LocalTransport()
        folder = record.directory(name)
        text = read_files(via, [str(folder / "lab.json")])
        if not text:
            raise record.none_up(folder)
        lab = record.parse(folder, next(iter(text.values())).encode())
        if not lab.processes:
            raise HostError(
                f"lab {name!r} is not up: run: tuner lab down {name}, then: tuner lab up {name}"
            )
        if transport is None:
            _may_enter(name, lab.supervisor.pid)
        return cls(lab, folder, via, bypass_filters=bypass_filters)

    def describe(self) -> HostSpec:
        """What the lab has and what can be set on it."""
        if self._spec is None:
            state, present = self._look()
            self._found = (settings(self._context, state),)
            self._spec = self._describe(present)
        return self._spec

    def settings(self) -> Settings:
        """The five knobs as they are now, each read from the system."""
        return settings(self._context, self._read())

    def changes(self, target: Settings) -> tuple[Change, ...]:
        """What ``apply`` would run now, after the same check."""
        return changes(self._context, *self._planned(target))

    def apply(self, target: Settings, seen: bytes | None = None) -> None:
        """Set every knob that differs, and read all of them back.

        Raises IllegalSetting before anything is touched, and Meddled where the host is not as in
        the snapshot ``seen`` any more. Where a command fails (CommandFailed) or
        a value did not take (NotApplied), what was changed is put back first.
        """
        before, after = self._planned(target)
        as_seen(before, seen)
        try:
            steps = commands(changes(self._context, before, after))
            results = self.transport.run_all(steps, timeout=_PATIENCE)
            self.did.extend(results)
            for result in results:
                printed(result)
            self._verify(after)
        except HostError:
            self._force(self._read(), before)
            raise

    def measure(self, seconds: float) -> Sample:
        """Counters over an interval of that many seconds."""
        spec = self.describe()
        with naming(self.uri):
            before = count(self.transport, self._context)
            time.sleep(max(0.0, seconds - (time.monotonic() - before.at)))
            return sample(spec, before, count(self.transport, self._context))

    def snapshot(self) -> bytes:
        """The state of all that ``apply`` may touch, as JSON."""
        return to_json(self._read())

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        """Put everything back as a snapshot found it; does nothing where it already is.

        A command that fails does not keep the rest from being put back. Raises NotApplied naming
        what did not take, Meddled where the host is not as in the snapshot ``seen`` any more,
        InputError for a snapshot of another lab.
        """
        then, now = self._then(snapshot), self._read()
        as_seen(now, seen)
        self._force(now, then)
        self._verify(then)

    def restoring(
        self, snapshot: bytes, others: Sequence[bytes] | None = None
    ) -> tuple[Command, ...]:
        """The commands that put everything back as a snapshot found it, from whatever state.

        With ``others``, only what differs in one of these snapshots. Each is harmless where it
        fails or its subject is gone, so that a script on the host can run them all without us.
        Raises InputError for what is no snapshot of a lab.
        """
        states = None if others is None else [self._then(other) for other in others]
        return restoring(self._context, self._then(snapshot), states)

    def close(self) -> None:
        """Nothing is held: every command is a connection of its own."""

    def _then(self, snapshot: bytes) -> LabState:
        """The state in a snapshot. Raises InputError for what is none, or is of another lab."""
        then = from_json(snapshot, LabState)
        vifs = sorted(guest.vif for guest in self._plan.guests)
        served = sorted(vif for duty in then.duties.relays.values() for vif in duty.vifs)
        if (
            then.affinity.keys() != self._lab.processes.keys()
            or then.weight.keys() != self._context.weight_files.keys()
            or then.duties.relays.keys() != {guest.backend for guest in self._plan.guests}
            or [sorted(then.tx_queue), served] != [vifs, vifs]
        ):
            raise InputError(f"the snapshot is not of lab {self._lab.config.name!r}")
        return then

    def _force(self, now: LabState, then: LabState) -> None:
        """Put back as much as can be: one failure must not keep the rest from it."""
        with contextlib.suppress(CommandFailed):
            steps = commands(changes(self._context, now, then))
            self.did.extend(self.transport.run_all(steps, timeout=_PATIENCE))

    def _planned(self, target: Settings) -> tuple[LabState, LabState]:
        """The state as it is and the one that a setting means. Raises IllegalSetting."""
        state, found = self._look()
        spec = self.describe()
        knobs.check(spec, target, *self._found, settings(self._context, state))
        return state, wanted(self._context, state, target, found.others)

    def _verify(self, after: LabState) -> None:
        deadline = time.monotonic() + _PATIENCE
        while left := changes(self._context, self._read(), after):
            if time.monotonic() > deadline or any(c.knob != "side_cores" for c in left):
                first = left[0]
                raise NotApplied(
                    f"{first.knob} of {first.subject!r} did not take {first.after!r}, it is "
                    f"{first.before!r}: see tuner status"
                )
            time.sleep(0.005)

    def _cores(self) -> tuple[int, ...]:
        """The cores the lab may use: those of its supervisor, which nobody moves."""
        folder = f"/proc/{self._lab.supervisor.pid}"
        texts = read_files(self.transport, [f"{folder}/stat", f"{folder}/status"])
        with naming(self.uri):
            record.task(self._lab, "supervisor", self._lab.supervisor, texts)
            return linux.affinity(texts[f"{folder}/status"])

    def _describe(self, present: BridgeFound) -> HostSpec:
        with naming(self.uri):
            cores = linux.topology(output(self.transport, linux.TOPOLOGY), self._context.cores)
        uname = output(self.transport, ("uname", "-r")).strip()
        irq = self.transport.run(linux.irq_time_query(uname)).out
        names = self._plan
        io = [
            Guest(name=guest.name, role="io", vcpus=guest.vcpus, vifs=(guest.vif,))
            for guest in names.guests
        ]
        cpu = [Guest(name=n.name, role="cpu", vcpus=(n.vcpu,)) for n in names.neighbours]
        return HostSpec(
            uri=self.uri,
            kind="lab",
            cores=cores,
            driver_domain=DRIVER,
            backends=tuple(Backend(name=g.backend, vifs=(g.vif,)) for g in names.guests),
            guests=(*io, *cpu),
            uplink=Uplink(name=UPLINK),
            limits=self._limits(len(cores), present.obstacles),
            softirq_in_tasks=linux.softirq_in_tasks(irq),
        )

    def _limits(self, cores: int, in_the_way: Sequence[str]) -> Limits:
        lab, why_not = self._lab, dict[Knob, str]()
        if lab.cgroup is None:
            why_not["weight"] = lab.why_not
        modes = BRIDGE_MODES
        if lab.direct or in_the_way:
            modes = modes[: 1 if in_the_way else 2]
            why_not["bridge"] = "; ".join([*in_the_way, *([lab.direct] if lab.direct else [])])
        if cores < 2:
            why_not["side_cores"] = "a side-core leaves none for the guests: there is one core"
        return Limits(
            weights=self._plan.domains if lab.cgroup else (),
            weight=lab.cgroup.range if lab.cgroup else (1, 1),
            tx_queue=TX_QUEUE,
            bridge=modes,
            side_cores=cores - 1,
            polling=cores > 1,
            why_not=why_not,
        )

    def _read(self) -> LabState:
        return self._look()[0]

    def _look(self) -> tuple[LabState, BridgeFound]:
        """The state as it is, and the bridge. Raises HostError if a process of the lab has ended.

        All is asked in one round trip.
        """
        context = self._context
        processes = self._lab.processes
        status = {key: f"/proc/{p.pid}/status" for key, p in processes.items()}
        stats = [f"/proc/{p.pid}/stat" for p in processes.values()]
        reports = {g.backend: self._context.file(f"{g.backend}.json") for g in self._plan.guests}
        weights = context.weight_files
        files = [
            *(*status.values(), *stats, *reports.values(), *weights.values()),
            *(context.duties_file, context.stock_bridge_file),
        ]
        asked = tuple(context.in_driver(words) for words in bridge.questions(BRIDGE))
        read, *answers = self.transport.run_all((reading(files), *asked), timeout=_PATIENCE)
        with naming(self.uri):
            texts = files_read(read)
            record.tasks(self._lab, texts)
            found = bridge.found(BRIDGE, answers, bypass_filters=self._bypass_filters)
            for guest in self._plan.guests:
                if guest.vif not in found.links:
                    raise record.has_ended(self._lab, guest.vif)
            kept = texts.get(context.stock_bridge_file)
            orders = on_file(context.duties_file, texts[context.duties_file], Duties)
            serving = {
                backend: on_file(path, texts.get(path, '{"vifs":[]}'), Duty)
                for backend, path in reports.items()
            }
            state = LabState(
                affinity={key: linux.affinity(texts[path]) for key, path in status.items()},
                weight={d: natural(path, texts[path].strip()) for d, path in weights.items()},
                tx_queue={guest.vif: found.links[guest.vif].txqlen for guest in self._plan.guests},
                duties=msgspec.structs.replace(orders, relays=serving),
                bridge=found.state,
                stock_bridge=on_file(context.stock_bridge_file, kept, BridgeState)
                if kept
                else None,
            )
            return state, found


def _may_enter(name: str, supervisor: int) -> None:
    try:
        Path(f"/proc/{supervisor}/ns/net").readlink()
    except PermissionError as error:
        raise Unprivileged(
            f"lab {name!r} is somebody else's: run this as root, or as who brought it up"
        ) from error
    except OSError:
        pass  # it has ended: what is then asked of it says so
