"""A KVM host: described, set and measured through commands on it alone."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from envs import knobs
from envs.errors import HostError, InputError, NotApplied, naming
from envs.host import (
    BRIDGE_MODES,
    Backend,
    Guest,
    HostSpec,
    Knob,
    Limits,
    Role,
    Sample,
    Settings,
    Uplink,
    from_json,
    to_json,
)
from envs.hosts.bridge import BridgeFound
from envs.hosts.change import Change, Command, as_seen, commands, memory
from envs.hosts.kvm import site as sites
from envs.hosts.kvm.counters import measured, measuring, sample
from envs.hosts.kvm.guests import DRIVER
from envs.hosts.kvm.libvirt import Libvirt
from envs.hosts.kvm.site import PATIENCE, Site
from envs.hosts.kvm.state import (
    KvmState,
    answered,
    questions,
    remembered,
    settings,
    wanted,
)
from envs.hosts.kvm.steps import changes, restoring
from envs.hosts.roles import LOOK, roles_of
from envs.hosts.ssh import reach
from envs.hosts.transport import Result, Transport, printed

FOLDER = "/run/viotune/kvm"
"""Where a host keeps what is known of its changes, until it is booted anew."""
LAB = "lab:kvm"
"""The host that ``envs.hosts.kvm.lab`` makes."""
TX_QUEUE = (1, 4096)
"""The TX queue lengths that are set, in packets; with offloads a packet holds up to 64 KiB."""


class KvmHost:
    """A Linux host with QEMU guests, with libvirt (``qemu:``) or without (``kvm:``).

    The CPU time of a backend is that of its vhost worker, or of QEMU's emulator where there is no
    vhost. That of a guest is that of all other threads of its process.
    """

    def __init__(self, found: Site, transport: Transport, *, bypass_filters: bool = False) -> None:
        self.uri = found.uri
        self.transport = transport
        self.state_dir = Path(found.folder)
        self.did = memory()
        self._site = found
        self._bypass_filters = bypass_filters
        self._spec: HostSpec | None = None
        self._found: tuple[Settings, ...] = ()  # the one that was described, once it was

    @classmethod
    def open(
        cls, uri: str, transport: Transport | None = None, *, bypass_filters: bool = False
    ) -> "KvmHost":
        """The host that ``qemu:///system``, ``qemu+ssh://user@host/system`` or ``kvm:`` names.

        ``bypass_filters``: bridge modes may skip what filters frames on its bridge. Raises
        InputError for another URI, HostError where it cannot be reached, has no libvirt, or
        nothing to tune.
        """
        via = libvirt_of(uri)
        carrier = transport or reach(uri)
        try:
            with naming(uri):
                found = sites.look(carrier, uri, FOLDER, via)
        except BaseException:
            if transport is None:  # what was lent stays open
                carrier.close()
            raise
        return cls(found, carrier, bypass_filters=bypass_filters)

    def describe(self) -> HostSpec:
        """What the host has and what can be set on it. The first time it takes a second."""
        if self._spec is None:
            state, present = self._read()
            self._found = (settings(self._site, state),)
            bare = self._describe(present, {})
            seen = self._measure(bare, LOOK)
            self._spec = self._describe(present, roles_of(bare, seen))
        return self._spec

    def settings(self) -> Settings:
        """The five knobs as they are now, each read from the host."""
        return settings(self._site, self._read()[0])

    def changes(self, target: Settings) -> tuple[Change, ...]:
        """What ``apply`` would run now, after the same check."""
        return self._plan(target)[2]

    def apply(self, target: Settings, seen: bytes | None = None) -> None:
        """Set every knob that differs, and read all of them back, in two round trips.

        Raises IllegalSetting before anything is touched, and Meddled where the host is not as in
        the snapshot ``seen`` any more. Where a command fails or a value did not take (NotApplied),
        what was changed is put back first.
        """
        before, after, steps = self._plan(target)
        as_seen(before, seen)
        if not steps:
            return
        asked = commands(steps)
        results = self.transport.run_all((*asked, *questions(self._site)), timeout=PATIENCE)
        self.did.extend(results[: len(asked)])
        try:
            for result in results[: len(asked)]:
                printed(result)
            self._verify(self._taken_in(results[len(asked) :])[0], after)
        except HostError:
            self._force(self._read()[0], before)
            raise

    def measure(self, seconds: float) -> Sample:
        """Counters over an interval of that many seconds, in one round trip.

        Raises HostError where a guest has ended or was started anew.
        """
        return self._measure(self.describe(), seconds)

    def snapshot(self) -> bytes:
        """The state of all that ``apply`` may touch, as JSON."""
        return to_json(self._read()[0])

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        """Put everything back as a snapshot found it; does nothing where it already is.

        A guest that was started anew gets back what it had; of one that is gone there is nothing
        to put back. A command that fails does not keep the rest from being put back. Raises
        NotApplied naming what did not take, and Meddled where the host is not as in the snapshot
        ``seen`` any more.
        """
        with naming(self._site.uri):
            then = from_json(snapshot, KvmState)
            site = sites.look(self.transport, self._site.uri, FOLDER, self._site.libvirt)
        if site.guests != self._site.guests:
            self._site, self._spec = site, None
        now, _ = self._read()
        as_seen(now, seen)
        then = KvmState(now=remembered(now.now, then.now), kept=then.kept)
        self._force(now, then)
        self._verify(self._read()[0], then)

    def restoring(
        self, snapshot: bytes, others: Sequence[bytes] | None = None
    ) -> tuple[Command, ...]:
        """The commands that put everything back as a snapshot found it, from whatever state.

        With ``others``, only what differs in one of these snapshots. Each is harmless where it
        fails or its subject is gone, so that a script on the host can run them all without us.
        Raises InputError for what is no snapshot of a KVM host.
        """
        with naming(self._site.uri):
            states = None if others is None else [from_json(other, KvmState) for other in others]
            return restoring(self._site, from_json(snapshot, KvmState), states)

    def close(self) -> None:
        """Let go of the connection."""
        self.transport.close()

    def _measure(self, spec: HostSpec, seconds: float) -> Sample:
        asked = measuring(self._site, seconds)
        answers = self.transport.run_all(asked, timeout=PATIENCE + seconds)
        with naming(self._site.uri):
            return sample(self._site, spec, *measured(self._site, answers))

    def _read(self) -> tuple[KvmState, BridgeFound]:
        return self._taken_in(self.transport.run_all(questions(self._site), timeout=PATIENCE))

    def _taken_in(self, answers: Sequence[Result]) -> tuple[KvmState, BridgeFound]:
        with naming(self._site.uri):
            return answered(self._site, tuple(answers), bypass_filters=self._bypass_filters)

    def _plan(self, target: Settings) -> tuple[KvmState, KvmState, tuple[Change, ...]]:
        """What is, what is wanted, and the steps in between; checked, nothing touched yet."""
        spec = self.describe()
        before, present = self._read()
        knobs.check(spec, target, *self._found, settings(self._site, before))
        after = wanted(self._site, before, present, target)
        return before, after, changes(self._site, before, after)

    def _force(self, now: KvmState, then: KvmState) -> None:
        """Put back as much as can be: one failure must not keep the rest from it."""
        steps = commands(changes(self._site, now, then))
        self.did.extend(self.transport.run_all(steps, timeout=PATIENCE))

    def _verify(self, now: KvmState, after: KvmState) -> None:
        for left in changes(self._site, now, after):
            raise NotApplied(
                f"{self._site.uri}: {left.knob} of {left.subject!r} did not take "
                f"{left.after!r}, it is {left.before!r}: see tuner status"
            )

    def _describe(self, present: BridgeFound, roles: dict[str, Role]) -> HostSpec:
        site = self._site
        llc = {core.node: core.llc for core in reversed(site.cores)}
        return HostSpec(
            uri=site.uri,
            kind="kvm",
            cores=site.cores,
            driver_domain=DRIVER,
            backends=tuple(
                Backend(name=key, vifs=guest.vifs)
                for guest in site.guests
                for key in guest.backends
            ),
            guests=tuple(
                Guest(name=g.name, role=roles.get(g.name, "io"), vcpus=g.vcpus, vifs=g.vifs)
                for g in site.guests
            ),
            uplink=Uplink(
                name=site.uplink.name,
                gbps=site.uplink.gbps,
                llc=llc.get(site.uplink.node or 0, site.cores[0].llc),
            ),
            limits=self._limits(present),
            softirq_in_tasks=site.softirq_in_tasks,
        )

    def _limits(self, present: BridgeFound) -> Limits:
        site, why_not = self._site, dict[Knob, str]()
        placed = (*site.vcpus, *site.backends)
        placeable = not site.immovable
        side_cores = len(site.cores) - 1 if placeable else 0
        if not placeable:
            why_not["placement"] = why_not["side_cores"] = site.immovable
        elif not side_cores:
            why_not["side_cores"] = "a side-core leaves none for the guests: there is one core"
        unweighed = [f"{g.name}: {g.why_no_weight}" for g in site.guests if g.why_no_weight]
        if unweighed:
            why_not["weight"] = "; ".join(unweighed)
        ours = sorted(present.ours & {vif for guest in site.guests for vif in guest.vifs})
        if ours:
            why_not["tx_queue"] = f"{ours[0]} carries our own connection"
        obstacles = present.obstacles if site.bridge else ("no vif is a port of a Linux bridge",)
        if obstacles:
            why_not["bridge"] = "; ".join(obstacles)
        return Limits(
            backends=placeable,
            guests=placeable,
            reach={key: site.reach[key] for key in placed if key in site.reach},
            weights=tuple(guest.name for guest in site.guests if guest.weight_file),
            weight=site.cpu.range if site.cpu else (1, 1),
            tx_queue=None if ours else TX_QUEUE,
            bridge=("stock",) if obstacles else BRIDGE_MODES,
            side_cores=side_cores,
            why_not=why_not,
        )


def libvirt_of(uri: str) -> Libvirt | None:
    """The libvirt on the host that a URI means, None for ``kvm:``. Raises InputError."""
    if uri == LAB:
        return Libvirt(uri="qemu:///system")
    scheme, _, rest = uri.partition(":")
    kind = scheme.partition("+")[0]
    try:
        path = urlsplit(uri).path
    except ValueError:  # such as a bracket that is never closed
        path = "?"
    if kind == "kvm" and path in ("", "/"):
        return None
    if kind == "qemu" and path in ("/system", "/session") and "?" not in uri and rest[:2] == "//":
        return Libvirt(uri=f"qemu://{path}")
    raise InputError(
        f"{uri!r}: write qemu:///system or qemu+ssh://user@host:port/system, or, for guests that "
        "libvirt does not run, kvm: or kvm+ssh://user@host:port"
    )
