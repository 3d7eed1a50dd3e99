"""The journal of a host: what the tuner did to it, one JSON line each, only ever appended.

It is the one durable truth about a host's tuning; everything else (is a transaction open? what is
confirmed? what does a rollback return to?) is folded from it by ``standing``. A line is on disk
before what it announces is done: a host is never changed without a line that says how to undo it.
A line without its newline was torn by a crash before anything acted on it, so it never happened.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from envs.errors import HostError
from envs.host import Record, Settings
from tuner.judge import Judgement


class Entry(Record, frozen=True, kw_only=True, tag_field="event"):
    """One event: when (UTC, ISO 8601) and why."""

    time: str = msgspec.field(default_factory=lambda: datetime.now(UTC).isoformat("T", "seconds"))
    reason: str = ""


class Begun(Entry, frozen=True, kw_only=True, tag="begun"):
    """A transaction starts: ``found`` is the host as it is, ``snapshot`` brings it back."""

    snapshot: str
    found: Settings


class Applying(Entry, frozen=True, kw_only=True, tag="applying"):
    """A setting is about to be tried."""

    settings: Settings


class Judged(Entry, frozen=True, kw_only=True, tag="judged"):
    """What the measurement of the setting last tried says."""

    judgement: Judgement


class Confirmed(Entry, frozen=True, kw_only=True, tag="confirmed"):
    """The transaction ends and leaves the host with ``settings``."""

    settings: Settings


class Restored(Entry, frozen=True, kw_only=True, tag="restored"):
    """The open transaction or rollback ends, and the host is as it was found before it."""


class RollingBack(Entry, frozen=True, kw_only=True, tag="rolling-back"):
    """The last confirmed change is about to be undone."""


Event = Begun | Applying | Judged | Confirmed | Restored | RollingBack


class Generation(Record, frozen=True):
    """A confirmed change: the host before it, and the settings it left."""

    before: Begun
    after: Confirmed


class Standing(Record, frozen=True):
    """What the journal says of the host.

    ``pending`` is the state to return to where a transaction or rollback has not ended;
    ``generations`` are the confirmed changes, oldest first.
    """

    pending: Begun | None = None
    generations: tuple[Generation, ...] = ()


def standing(events: Iterable[Event]) -> Standing:
    """Where the host stands after ``events``."""
    pending: Begun | None = None
    generations: list[Generation] = []
    for event in events:
        match event:
            case Begun():
                pending = event
            case Confirmed() if pending is not None:
                generations.append(Generation(before=pending, after=event))
                pending = None
            case Restored():
                pending = None
            case RollingBack() if generations:
                pending = generations.pop().before
            case _:
                pass
    return Standing(pending=pending, generations=tuple(generations))


class Journal:
    """The journal in a file. Reading needs no lock; only the holder of the lock may append."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Event) -> None:
        """Write one event; it is on disk when this returns. Raises HostError where it cannot."""
        try:
            with self.path.open("ab+") as file:
                self._drop_torn_line(file.fileno())
                file.write(msgspec.json.encode(event, order="deterministic") + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HostError(f"cannot write {self.path}: {error.strerror}") from error

    def events(self) -> tuple[Event, ...]:
        """All events, oldest first. Raises HostError naming a line that cannot be read."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise HostError(f"cannot read {self.path}: {error.strerror}") from error
        lines = data.split(b"\n")[:-1]
        return tuple(self._decode(number, line) for number, line in enumerate(lines, 1))

    def standing(self) -> Standing:
        """Where the host stands according to the journal."""
        return standing(self.events())

    def _decode(self, number: int, line: bytes) -> Event:
        try:
            event: Event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError as error:
            raise HostError(
                f"{self.path}, line {number}: damaged ({error}); "
                "repair or remove that line, it is needed to undo changes"
            ) from error
        return event

    def _drop_torn_line(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            whole = self.path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(descriptor, whole)
