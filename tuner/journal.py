"""The journal of a host: what the tuner did to it, one JSON line each, only ever appended to.

It is the one durable truth about a host's tuning; everything else (is a transaction open? what is
confirmed? what does a rollback return to?) is folded from it by ``standing``. It lives on the
host, in the folder that the watchdog keeps, and is written before what it announces is done: a
host is never changed without a line that says how to undo it. A reboot of the host ends it, as it
ends the host's settings. So what a machine did to a host stands there, too, in a copy for people:
``tuner status --journal`` shows it when the host cannot be reached or remembers nothing. Nothing is
decided by it.

A host that is kept tuned for months would fill its memory with it. So once it is large, and nothing
is pending, it moves aside (``journal.old.jsonl``), and a new one begins with what a rollback needs.
"""

import errno
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from envs.errors import HostError
from envs.host import Record, Settings
from envs.hosts.transport import Result, Transport
from tuner import watchdog
from tuner.judge import Judgement
from tuner.settings import Difference

JOURNAL = "journal.jsonl"
NO_LOCK = "-"
"""The token of who may write without the lock."""
MOVED = "journal.old.jsonl"
LARGE = 4_000_000
"""Bytes at which a journal moves aside: tens of transactions, with all their measurements."""
LARGEST = 64_000_000
"""Bytes of a journal that are read; one can grow beyond ``LARGE`` only while it is pending."""
REMEMBERED = 20
"""The confirmed changes that a new journal begins with; what was before them is one change."""


COMPLAINT = 500
"""Characters that are kept of what a command complained of."""


class Entry(Record, frozen=True, kw_only=True, tag_field="event"):
    """One event: when (UTC, ISO 8601) and why."""

    time: str = msgspec.field(default_factory=lambda: datetime.now(UTC).isoformat("T", "seconds"))
    reason: str = ""


class Begun(Entry, frozen=True, kw_only=True, tag="begun"):
    """A transaction starts: ``found`` is the host as it is, ``snapshot`` brings it back.

    ``lent`` tells that others may change the host at will until it ends.
    """

    snapshot: str
    found: Settings
    lent: bool = False


class Applying(Entry, frozen=True, kw_only=True, tag="applying"):
    """A setting is about to be tried for the first time: ``changes`` to the host as found.

    ``commands`` are the argument lists that a live host runs for it.
    """

    settings: Settings
    changes: tuple[Difference, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()


class Applied(Entry, frozen=True, kw_only=True, tag="applied"):
    """The setting last announced was read back; ``snapshot`` is the host under it."""

    snapshot: str


class Command(Record, frozen=True):
    """A command that was run, its return code, and the first line of what it complained of."""

    argv: tuple[str, ...]
    rc: int
    complaint: str = ""


class Ran(Entry, frozen=True, kw_only=True, tag="ran"):
    """What was run on the host to set it or to put it back, and what came back, in order."""

    commands: tuple[Command, ...]


class Judged(Entry, frozen=True, kw_only=True, tag="judged"):
    """What the measurement of the setting last tried says."""

    judgement: Judgement


class Held(Entry, frozen=True, kw_only=True, tag="held"):
    """The tuner leaves the host with ``settings`` for ``seconds``, for a person to confirm."""

    settings: Settings
    snapshot: str
    seconds: int


class Confirmed(Entry, frozen=True, kw_only=True, tag="confirmed"):
    """The transaction ends and leaves the host with ``settings``, which is ``snapshot``."""

    settings: Settings
    snapshot: str


class Restored(Entry, frozen=True, kw_only=True, tag="restored"):
    """The open transaction or rollback ends, and the host is as it was found before it.

    ``kept`` names what somebody else has set meanwhile and was left alone.
    """

    kept: tuple[str, ...] = ()


class PutBack(Entry, frozen=True, kw_only=True, tag="put-back"):
    """The watchdog had put the host back by itself, at ``when`` by the host's clock.

    ``said`` is what its commands said, each followed by its return code and the command. It is
    written by whoever comes to the host next and ends what was pending.
    """

    when: str
    said: tuple[str, ...] = ()


class RollingBack(Entry, frozen=True, kw_only=True, tag="rolling-back"):
    """The confirmed change ``to`` (counted from 1) and all after it are about to be undone."""

    to: int


Event = (
    Begun | Applying | Applied | Ran | Judged | Held | Confirmed | Restored | PutBack | RollingBack
)


class Generation(Record, frozen=True):
    """A confirmed change: the host before it, and what it left."""

    before: Begun
    after: Confirmed


class Pending(Record, frozen=True):
    """What has not ended: the host as it was found, and the snapshots of what we made of it.

    ``sure`` is False where a setting was begun and never read back, and where the host was lent:
    nobody can tell then what is ours. ``held`` is there while a person's confirmation is awaited.
    ``rolling_back`` is when a rollback was begun of what had been confirmed, empty if none was.
    """

    begun: Begun
    ours: tuple[str, ...] = ()
    sure: bool = True
    held: Held | None = None
    rolling_back: str = ""

    @property
    def since(self) -> str:
        """When what has not ended was begun."""
        return self.rolling_back or self.begun.time


class Standing(Record, frozen=True):
    """What the journal says of the host: what has not ended, and the confirmed changes in order.

    ``edited`` names what somebody else had set when the last transaction put the host back.
    """

    pending: Pending | None = None
    generations: tuple[Generation, ...] = ()
    edited: tuple[str, ...] = ()


def ran(result: Result) -> Command:
    """What the journal tells of a command's result."""
    said = (result.err or result.out).strip() if result.rc else ""
    return Command(argv=result.argv, rc=result.rc, complaint=said.partition("\n")[0][:COMPLAINT])


def standing(events: Iterable[Event]) -> Standing:
    """Where the host stands after ``events``."""
    pending: Pending | None = None
    generations: list[Generation] = []
    edited: tuple[str, ...] = ()
    rolling_back = False
    for event in events:
        match event:
            case Begun():
                pending = Pending(begun=event, sure=not event.lent)
                edited, rolling_back = (), False
            case Restored():
                pending, edited = None, () if rolling_back else event.kept
            case RollingBack() if 0 < event.to <= len(generations):
                rolling_back = True
                undone = generations[event.to - 1 :]
                del generations[event.to - 1 :]
                pending = Pending(
                    begun=undone[0].before,
                    ours=tuple(one.after.snapshot for one in undone),
                    rolling_back=event.time,
                )
            case _ if pending is None:
                continue
            case Confirmed():
                generations.append(Generation(before=pending.begun, after=event))
                pending = None
            case Applying():
                pending = msgspec.structs.replace(pending, sure=False)
            case Applied():
                ours = (*pending.ours, event.snapshot)
                pending = msgspec.structs.replace(pending, ours=ours, sure=True)
            case Held():
                pending = msgspec.structs.replace(pending, held=event)
            case _:
                continue
    return Standing(pending=pending, generations=tuple(generations), edited=edited)


def essence(found: Standing) -> tuple[Event, ...]:
    """The fewest events after which a host stands as it does, its earliest changes told as one."""
    first, rest = found.generations[:-REMEMBERED], found.generations[-REMEMBERED:]
    if first:
        after = msgspec.structs.replace(first[-1].after, reason=f"{len(first)} changes until then")
        rest = (Generation(before=first[0].before, after=after), *rest)
    told = tuple(event for one in rest for event in (one.before, one.after))
    return (*told, Restored(kept=found.edited)) if found.edited else told


class Journal:
    """The journal of the host whose state lives in ``folder`` there; ``copy`` is a file here.

    Reading needs no lock. Only the holder of the lock, whose ``token`` it is, may append: one that
    hung and wakes while another tunes the host meets HostBusy. A simulated host has no watchdog
    (``watched``) that could have put it back, and no lock.
    """

    def __init__(
        self,
        transport: Transport,
        folder: Path,
        copy: Path | None = None,
        *,
        token: str = NO_LOCK,
        watched: bool = True,
    ) -> None:
        self._transport, self._folder, self._copy = transport, folder, copy
        self._token = token
        self._watched = watched
        self._size = 0

    def append(self, event: Event) -> None:
        """Write one event. Raises HostError where it cannot be."""
        self._write(event, "append")

    def close(self, event: Confirmed | Restored) -> None:
        """Write the end of what is pending, and disarm the watchdog: both or neither.

        Raises Reverted where the watchdog has put the host back before it could be confirmed.
        """
        must = self._watched and isinstance(event, Confirmed)
        self._write(event, "close", "must" if must else "may")

    def events(self) -> tuple[Event, ...]:
        """All events, oldest first. Raises HostError naming a line that cannot be read."""
        path = self._folder / JOURNAL
        done = self._transport.run(("head", "-c", str(LARGEST + 1), "--", str(path)))
        if done.rc != 0 and "No such file" not in done.err:
            raise HostError(f"cannot read {path}: {done.err.strip()}")
        self._size = len(done.out)
        return decode(done.out, str(path))

    def tidy(self) -> None:
        """Begin anew where nothing is pending and the journal is large, as it was last read."""
        if self._size > LARGE and (found := self.standing()).pending is None:
            lines = b"".join(_line(event) for event in essence(found))
            done = watchdog.on_host(self._transport, self._folder, "tidy", self._token, stdin=lines)
            watchdog.check(done, self._folder)

    def standing(self) -> Standing:
        """Where the host stands according to the journal."""
        return standing(self.events())

    def _write(self, event: Event, verb: str, *words: str) -> None:
        line = _line(event)
        done = watchdog.on_host(
            self._transport, self._folder, verb, self._token, *words, stdin=line
        )
        watchdog.check(done, self._folder)
        self.copy(event)

    def copy(self, event: Event) -> None:
        """Write an event, which the host has been told, into the copy here alone."""
        if self._copy is not None:
            with suppress(OSError):  # a full disk here must not stop what is under way there
                _append(self._copy, _line(event))


def decode(text: str, where: str) -> tuple[Event, ...]:
    """The events of a journal. Raises HostError naming a line that cannot be read.

    A last line without its newline was torn before anything acted on it: it never happened.
    """
    if len(text) > LARGEST:
        raise HostError(f"{where} is larger than {LARGEST} bytes: move it away")
    lines = text.split("\n")[:-1]
    return tuple(_decode(number, line, where) for number, line in enumerate(lines, 1))


def read_copy(path: Path) -> tuple[Event, ...]:
    """The events in a copy of a journal, none where there is none. Raises HostError.

    Nothing is undone by a copy, so a line that was torn by a full disk is passed over.
    """
    texts = []
    for part in (path.with_name(MOVED), path):
        try:
            with part.open(encoding="utf-8", errors="replace") as file:
                texts.append(file.read(LARGEST))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostError(f"cannot read {part}: {error.strerror}") from error
    events = []
    for number, line in enumerate("".join(texts).splitlines(), 1):
        with suppress(HostError):
            events.append(_decode(number, line, str(path)))
    return tuple(events)


def copy_of(uri: str) -> Path:
    """Where the copy of a host's journal is kept on this machine.

    A URI that means the machine itself means another on each that shares a home.
    """
    home = os.environ.get("XDG_STATE_HOME", "")
    state = Path(home) if home else Path.home() / ".local" / "state"
    name = uri if "+ssh://" in uri else f"{platform.node()} {uri}"
    return state / "viotune" / quote(name, safe="") / JOURNAL


def _line(event: Event) -> bytes:
    return msgspec.json.encode(event, order="deterministic") + b"\n"


def _decode(number: int, line: str, where: str) -> Event:
    try:
        event: Event = msgspec.json.decode(line, type=Event)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise HostError(
            f"{where}, line {number}: damaged ({error}); "
            "repair or remove that line, it is needed to undo changes"
        ) from error
    return event


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file; one that is large moves aside first, over the one before.

    Raises OSError where it cannot, also where the place is another user's: whoever runs this may be
    root in somebody's home, and what is written there must not be where that user would have it.
    """
    above = next(folder for folder in path.parents if folder.exists())
    if above.stat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "another user's folder", str(above))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGE:
        path.replace(path.with_name(MOVED))
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * torn + line)
        file.flush()
        os.fsync(file.fileno())
