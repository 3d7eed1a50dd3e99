"""A Xen host: described, set and measured through commands in dom0 alone."""

import time
from collections.abc import Sequence
from pathlib import Path

from envs import knobs
from envs.errors import HostError, InputError, NotApplied, about, naming
from envs.host import HostSpec, Sample, Settings, from_json, to_json
from envs.hosts.change import Change, Command, as_seen, commands, memory
from envs.hosts.roles import LOOK, roles_of
from envs.hosts.ssh import reach
from envs.hosts.transport import Result, Transport, printed
from envs.hosts.xen import reading, site
from envs.hosts.xen.counters import QUESTIONS, Counters, count, sample
from envs.hosts.xen.reading import Present
from envs.hosts.xen.site import PATIENCE, Site
from envs.hosts.xen.spec import spec_of
from envs.hosts.xen.state import XenState, remembered, settings, state_of, wanted
from envs.hosts.xen.steps import changes, restoring

FOLDER = "/run/viotune/xen"
"""Where a Xen host keeps what is known of its changes, until it is booted anew."""


class XenHost:
    """Xen's dom0 and the guests in its pool.

    The CPU time of a backend is that of its VCPU, whatever dom0 did on it: netback, the bridge,
    the NIC's interrupts and all else. That of a guest is that of its VCPUs, offline ones included.
    """

    def __init__(self, found: Site, transport: Transport, *, bypass_filters: bool = False) -> None:
        self.uri = found.uri
        self.transport = transport
        self.state_dir = Path(found.folder)
        self.did = memory()
        self._site = found
        self._bypass_filters = bypass_filters
        self._described: tuple[HostSpec, Present] | None = None

    @classmethod
    def open(
        cls, uri: str, transport: Transport | None = None, *, bypass_filters: bool = False
    ) -> "XenHost":
        """The host that ``xen:`` or ``xen+ssh://user@host:port`` names.

        ``bypass_filters``: bridge modes may skip what filters frames on the bridge.
        Raises InputError for another URI, HostError where it cannot be reached or is no Xen host.
        """
        if uri.partition(":")[0] == "xen" and uri != "xen:":
            raise InputError(f"{uri!r}: write xen: or xen+ssh://user@host:port")
        via = transport or reach(uri)
        try:
            with naming(uri):
                found = site.look(via, uri, FOLDER)
            return cls(found, via, bypass_filters=bypass_filters)
        except BaseException:
            if transport is None:  # what was lent stays open
                via.close()
            raise

    def describe(self) -> HostSpec:
        """What the host has and what can be set on it. The first time it takes a second."""
        return self._describe()[0]

    def settings(self) -> Settings:
        """The five knobs as they are now, each read from the host."""
        present, state = self._read()
        return settings(self._site, present, state)

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
        questions = reading.questions(self._site)
        results = self.transport.run_all((*asked, *questions), timeout=PATIENCE)
        self.did.extend(results[: len(asked)])
        try:
            for result in results[: len(asked)]:
                printed(result)
            self._verify(self._taken_in(results[len(asked) :]), after)
        except HostError:
            self._force(self._read(), before)
            raise

    def measure(self, seconds: float) -> Sample:
        """Counters over an interval of that many seconds, in two round trips.

        Raises HostError where a guest is gone, rebooted or migrated.
        """
        spec, present = self._describe()
        return self._sample(spec, present, seconds)

    def snapshot(self) -> bytes:
        """The state of all that ``apply`` may touch, as JSON."""
        return to_json(self._read()[1])

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        """Put everything back as a snapshot found it; does nothing where it already is.

        A guest that was rebooted or migrated gets back what it had; of one that is gone there is
        nothing to put back. A command that fails does not keep the rest from being put back.
        Raises NotApplied naming what did not take, and Meddled where the host is not as in the
        snapshot ``seen`` any more.
        """
        then, read = self._snapshot(snapshot), self._read()
        as_seen(read[1], seen)
        self._force(read, then)
        self._verify(self._read(), then)

    def restoring(
        self, snapshot: bytes, others: Sequence[bytes] | None = None
    ) -> tuple[Command, ...]:
        """The commands that put everything back as a snapshot found it, from whatever state.

        With ``others``, only what differs in one of these snapshots. Each is harmless where it
        fails or its subject is gone, so that a script on the host can run them all without us.
        Raises InputError for what is no snapshot of a Xen host.
        """
        states = None if others is None else [self._snapshot(other) for other in others]
        return restoring(self._site, self._read()[0], self._snapshot(snapshot), states)

    def close(self) -> None:
        """Let go of the connection."""
        self.transport.close()

    def _describe(self) -> tuple[HostSpec, Present]:
        if self._described is None:
            present, _ = self._read()
            with naming(self._site.uri):
                bare = spec_of(self._site, present)
            roles = roles_of(bare, self._sample(bare, present, LOOK))
            self._described = spec_of(self._site, present, roles), present
        return self._described

    def _sample(self, spec: HostSpec, present: Present, seconds: float) -> Sample:
        started = time.monotonic()
        before = self._count()
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))
        after = self._count()
        with naming(self._site.uri):
            return sample(self._site, present, spec, before, after)

    def _read(self) -> tuple[Present, XenState]:
        questions = reading.questions(self._site)
        return self._taken_in(self.transport.run_all(questions, timeout=PATIENCE))

    def _taken_in(self, answers: Sequence[Result]) -> tuple[Present, XenState]:
        with naming(self._site.uri):
            present = reading.present(self._site, answers, bypass_filters=self._bypass_filters)
            return present, state_of(present)

    def _plan(self, target: Settings) -> tuple[XenState, XenState, tuple[Change, ...]]:
        """What is, what is wanted, and the steps in between; checked, nothing touched yet."""
        spec, described = self._describe()
        present, before = self._read()
        _same_guests(self._site.uri, described, present)
        found = settings(self._site, described, state_of(described))
        knobs.check(spec, target, found, settings(self._site, present, before))
        after = wanted(self._site, present, before, target)
        return before, after, changes(self._site, present, before, after)

    def _force(self, read: tuple[Present, XenState], then: XenState) -> None:
        """Put back as much as can be: one failure must not keep the rest from it."""
        steps = self._left(read, then)
        if steps:
            self.did.extend(self.transport.run_all(commands(steps), timeout=PATIENCE))

    def _verify(self, read: tuple[Present, XenState], then: XenState) -> None:
        for left in self._left(read, then):
            raise NotApplied(
                f"{self._site.uri}: {left.knob} of {left.subject!r} did not take "
                f"{left.after!r}, it is {left.before!r}"
            )

    def _left(self, read: tuple[Present, XenState], then: XenState) -> tuple[Change, ...]:
        """What is not as it was or should be, of what there is."""
        present, now = read
        return changes(self._site, present, now, remembered(then, now.now))

    def _count(self) -> Counters:
        answers = self.transport.run_all(QUESTIONS, timeout=PATIENCE)
        with naming(self._site.uri):
            return count(answers)

    def _snapshot(self, snapshot: bytes) -> XenState:
        with naming(self._site.uri):
            return from_json(snapshot, XenState)


def _same_guests(uri: str, described: Present, present: Present) -> None:
    """Raise HostError where a guest or a vif is not the one that was described."""
    was, now = described.domids, present.domids
    for uuid, name in {**described.names, **present.names}.items():
        if uuid not in now:
            raise HostError(about(uri, f"guest {name!r} is gone since the host was described"))
        if uuid not in was:
            raise HostError(about(uri, f"guest {name!r} is new since the host was described"))
        if was[uuid] != now[uuid]:
            raise HostError(
                about(
                    uri,
                    f"guest {name!r} was rebooted or migrated: it was domain {was[uuid]}, "
                    f"it is domain {now[uuid]}",
                )
            )
    for key in described.vifs.keys() ^ present.vifs.keys():
        uuid, _, device = key.rpartition("/")
        what = "new" if key in present.vifs else "gone"
        raise HostError(about(uri, f"{device} of guest {described.names[uuid]!r} is {what}"))
