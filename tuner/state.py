"""A host held: its lock taken, its journal at hand.

A live host keeps its state in a folder of its own (``state_dir``), reached through its transport
alone. A simulated host lives and dies with the process, and so does its state.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, runtime_checkable

from envs.errors import HostBusy, HostError
from envs.host import Host, Settings
from envs.hosts.change import Change, Command
from envs.hosts.transport import LocalTransport, Result, Transport
from tuner import watchdog
from tuner.journal import NO_LOCK, Journal, Ran, copy_of, ran
from tuner.watchdog import CONFIRM_WITHIN, Watchdog


@runtime_checkable
class LiveHost(Host, Protocol):
    """A host that is reached through a transport, and on which things stay when we go."""

    uri: str
    transport: Transport
    state_dir: Path
    did: deque[Result]
    """What the commands did that ``apply`` and ``restore`` have run, until somebody clears it."""

    def apply(self, settings: Settings, seen: bytes | None = None) -> None:
        """As any host; raises Meddled where it is not as in the snapshot ``seen`` any more."""
        ...

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        """As any host; raises Meddled where it is not as in the snapshot ``seen`` any more."""
        ...

    def changes(self, target: Settings) -> tuple[Change, ...]:
        """What ``apply(target)`` would run, from the settings as they are now."""
        ...

    def restoring(
        self, snapshot: bytes, others: Sequence[bytes] | None = None
    ) -> tuple[Command, ...]:
        """Commands that put a snapshot back from any state, for a host without us.

        With ``others``, only the parts that are different in one of these snapshots.
        """
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A host whose lock this process holds. ``watchdog`` is None for a simulated host.

    ``reopen`` opens the host once more, by a connection of its own.
    """

    host: Host
    journal: Journal
    watchdog: Watchdog | None
    confirm_within: int
    reopen: Callable[[], Host] | None = None

    def arm(self, undo: Iterable[Command], *, instead: bool = False) -> None:
        """Have the watchdog carry out ``undo`` should we fall silent. See ``Watchdog.arm``."""
        if self.watchdog is not None:
            self.watchdog.arm(undo, instead=instead)

    def note(self) -> None:
        """Write down the commands that have set the host since the last time, and what they did."""
        if isinstance(self.host, LiveHost) and self.host.did:
            self.journal.append(Ran(commands=tuple(map(ran, self.host.did))))
            self.host.did.clear()

    def renew(self) -> None:
        """Tell the watchdog that we live."""
        if self.watchdog is not None:
            self.watchdog.renew()


@contextmanager
def held(
    host: Host,
    *,
    confirm_within: int = CONFIRM_WITHIN,
    reopen: Callable[[], Host] | None = None,
    over_a_hold: bool = False,
) -> Iterator[Held]:
    """Hold the host's lock until the end of the block.

    The lock of a tuner of this machine that is gone is taken over. A host that waits for a
    person's confirmation is held, too: only with ``over_a_hold`` is that taken over. Raises
    HostBusy where somebody else holds the lock.
    """
    if not isinstance(host, LiveHost):
        with TemporaryDirectory(prefix="viotune-") as folder:
            journal = Journal(LocalTransport(), Path(folder), watched=False)
            yield Held(host, journal, watchdog=None, confirm_within=confirm_within)
        return
    dog = Watchdog(host.transport, host.state_dir, confirm_within)
    try:
        dog.start()
    except HostBusy:
        holder = watchdog.look(host.transport, host.state_dir)
        orphaned = watchdog.is_gone(holder.holder)
        if not (orphaned or (over_a_hold and holder.holder == FOR_A_PERSON)):
            raise
        watchdog.take(host.transport, host.state_dir, holder.token)
        dog.start()
    try:
        yield Held(host, journal_of(host, dog.token), dog, confirm_within, reopen)
    finally:
        with suppress(HostError):  # a lock that cannot be let go of runs out by itself
            dog.release()


FOR_A_PERSON = "the person who is to confirm it: tuner confirm, or tuner rollback"
"""Who holds the lock of a host that was left with ``--hold``."""


def journal_of(host: LiveHost, token: str = NO_LOCK) -> Journal:
    """The journal of a live host, which has a copy here unless the host is a lab of this machine.

    To write it needs the ``token`` of the lock. The host is not asked for anything: one that cannot
    be described must be put back all the same.
    """
    passing = host.uri.startswith("lab:")
    copy = None if passing else copy_of(host.uri)
    return Journal(host.transport, host.state_dir, copy, token=token)
