"""One fault thrown at a host, and what became of the host."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from random import Random

import msgspec
from child import Child, Say
from faulty import Course
from kinds import BLOCKED, EDIT, ONCE_DONE, by_ssh, fault, kinds, silence
from looks import Look, how_soon
from plays import KEEPING, PLAYS, playing
from row import KEPT, NEVER, NOT_BACK, UNDONE, UNSEEN, Row
from subject import EDIT_FOUND, EDIT_READ, Mishap, Readings, Subject, Wire

from envs.errors import HostBusy
from envs.host import Record, Settings
from tuner import state, watchdog
from tuner.commands.status import Status, examine
from tuner.state import LiveHost
from tuner.undo import recover, roll_back

REHEARSAL = 600
"""Seconds to confirm within, where nothing is to go wrong: longer than anything takes."""
BUSY_STEPS = ("lock", "describe", "confirm by hand")
"""Steps at which the lock is for others: before it is taken, and after it was let go of."""
LATER_PLAYS, LATER = ("hold",), 1000
"""What came later has numbers of its own, for others must keep theirs.

Plays have those from 1000 on, and faults once a command is done, in all plays, those from 2000 on.
"""


class Target:
    """A host that faults are thrown at, and the calls of every play there, by their steps."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.calls: dict[str, list[str]] = {}
        self.rehearse("keep", "go back", "give up")

    def renew(self) -> None:
        """Make the host anew; nothing is left of what was thrown at it."""
        self.subject.renew()
        self.rehearse("keep", "go back")

    def rehearse(self, *plays: str) -> None:
        """Play without a fault; see that the host is as found afterwards."""
        subject = self.subject
        subject.forget()
        found = Child(lambda say: say(msgspec.json.encode(self._settings()).decode())).wait()
        subject.target = subject.aim(msgspec.json.decode(found.said, type=Settings))
        for play in plays:
            self.calls[play] = self.play(play)
            if play in KEEPING:
                subject.changed = subject.readings()
            elif subject.readings() != subject.found:
                raise AssertionError(differing(subject.found, subject.readings()))

    def play(self, play: str) -> list[str]:
        """Play without a fault; the steps that its calls belong to."""

        def work(say: Say) -> None:
            say("calls " + ",".join(playing(self.subject, play, confirm_within=REHEARSAL).calls))

        done = Child(work).wait()
        if done.code != 0:
            raise AssertionError(done.said)
        return done.line("calls").split(",")

    def cells(self) -> list[tuple[str, str, str]]:
        """What can be thrown where: fault, play and step.

        Steps that every play has are gone through under the first.
        """
        seen: set[str] = set()
        cells = []
        for play in filter(self.calls.__contains__, PLAYS):
            steps = [step for step in dict.fromkeys(self.calls[play]) if step not in seen]
            seen.update(steps)
            cells += [(kind, play, step) for step, kind in product(steps, kinds(self.subject))]
        return cells

    def draw(self, number: int, seed: int) -> tuple[str, str, int]:
        """The fault of a number, the play, and the call: every cell before any again."""
        series = number // LATER
        if series and not set(LATER_PLAYS) <= self.calls.keys():
            self.rehearse(*LATER_PLAYS, "go back")
        cells = [cell for cell in self.cells() if _series(*cell) == series]
        Random(seed).shuffle(cells)  # noqa: S311 - a draw, not a secret
        kind, play, step = cells[number % LATER % len(cells)]
        calls = [at for at, name in enumerate(self.calls[play]) if name == step]
        return kind, play, Random(f"{seed} {number}").choice(calls)  # noqa: S311 - as above

    def _settings(self) -> Settings:
        transport = self.subject.transport()
        try:
            return self.subject.open(transport).settings()
        finally:
            transport.close()


def throw(target: Target, number: int, seed: int) -> Row:
    """Throw the fault of a number, and see to it that the host is as found for the next."""
    kind, play, at = target.draw(number, seed)
    return throw_at(target, kind, play, at, number)


def throw_at(target: Target, kind: str, play: str, at: int, number: int = 0) -> Row:
    """Throw a fault of a kind at a call of a play."""
    subject = target.subject
    mishap = (subject.anywhere() | subject.mishaps()).get(kind, Mishap(script=""))
    subject.forget()
    if play == "go back":
        target.play("keep")
    watched = [vif for vif in subject.vifs if vif != mishap.vif]
    with ExitStack() as stack:
        wire = stack.enter_context(subject.wire()) if by_ssh(kind) else None
        traffic = stack.enter_context(subject.traffic())
        began = time.monotonic()
        child = Child(_work(subject, kind, play, at, wire))
        outcome, back = _watch(subject, child, mishap, play, kind)
        took = time.monotonic() - began
        stood_still = traffic.stood_still(watched)
    status, left = _afterwards(target, child, mishap, play, kind, outcome)
    return Row(
        number=number,
        host=subject.uri,
        fault=kind,
        play=play,
        step=_thrown(child)[1] or NEVER,
        call=at,
        outcome=outcome,
        back=round(back, 1),
        took=round(took, 1),
        stood_still=round(stood_still, 2),
        load=round(os.getloadavg()[0], 1),
        exit_code=-1 if child.code is None else child.code,
        error=child.line("error"),
        status=status.state,
        summary=status.summary,
        left="; ".join(left),
    )


def _work(
    subject: Subject, kind: str, play: str, at: int, wire: Wire | None
) -> Callable[[Say], None]:
    def work(say: Say) -> None:
        course = Course(at, fault(subject, kind, wire, say), say, trace=EDIT_READ)
        playing(subject, play, course, wire, confirm_within=subject.confirm_within)

    return work


def _watch(
    subject: Subject, child: Child, mishap: Mishap, play: str, kind: str
) -> tuple[str, float]:
    """Wait until the tuner has ended and the host is as it must be; how it is, and how soon."""
    began = time.monotonic()
    limit = subject.confirm_within + subject.slack
    outcome, end, looks = NOT_BACK, 0.0, list[Look]()
    while True:
        ended, now = child.ended(), time.monotonic()
        end = end or (now if ended else 0.0)
        thrown = _thrown(child)[0] or end
        if thrown:
            outcome = _match(subject, child, mishap, play, kind)
            looks.append(Look(now, time.monotonic(), outcome))
        if ended and (outcome != NOT_BACK or now > end + limit):
            return outcome, how_soon(looks, thrown, silence(subject, kind), end)
        if kind == BLOCKED and thrown and not ended and now > thrown + limit:
            child.kill()
        if not ended and now > began + subject.longest:
            child.kill()
            child.said += "error crashed: it never ended\n"
        time.sleep(0.2)


def _thrown(child: Child) -> tuple[float, str]:
    """When the fault was thrown and at which step; 0 and nothing if it was not."""
    when, _, step = child.line("thrown").partition(" ")
    return float(when or 0.0), step


def _match(subject: Subject, child: Child, mishap: Mishap, play: str, kind: str) -> str:
    """How the host is, if that is one of the ways it may be."""
    told = subject.shell(f"cat {subject.state}/journal.jsonl")
    armed = bool(subject.shell(f"ls {subject.state}/undo {subject.state}/undone"))
    edited = kind == EDIT and bool(_thrown(child)[0])
    now = _without(subject.readings(), mishap)
    for name, readings in _allowed(subject, child.code, play, told, armed=armed):
        if _without(readings, mishap) == now:
            if not edited or (name == "as confirmed" and re.search(EDIT_FOUND, told)):
                return name  # what was found is replaced by what was confirmed, an edit included
            return name + (UNDONE if child.line("seen") else UNSEEN)
        if edited and _without(subject.edited(readings), mishap) == now:
            return name + KEPT
    return NOT_BACK


def _allowed(
    subject: Subject, code: int | None, play: str, told: str, *, armed: bool
) -> Iterator[tuple[str, Readings]]:
    """The ways the host may be: as confirmed if it was told so, as found unless it must not.

    A rollback that could not arm the watchdog touches nothing.
    """
    begun = '"event":"rolling-back"' in told and (armed or code == 0)
    confirmed = '"event":"confirmed"' in told and not begun
    if confirmed and (play in KEEPING or code != 0):
        yield "as confirmed", subject.changed
    if not confirmed or (play in KEEPING and code is None):
        yield "as found", subject.found


def _without(readings: Readings, mishap: Mishap) -> Readings:
    """Readings without what the mishap itself has changed."""
    if not mishap.touches:
        return readings
    return tuple(line for line in readings if not re.search(mishap.touches, line))


def _afterwards(
    target: Target, child: Child, mishap: Mishap, play: str, kind: str, outcome: str
) -> tuple[Status, list[str]]:
    """What status says once no watchdog runs, and what is left over after the next command.

    What the watchdog does meanwhile must leave the host as it was matched.
    """
    subject = target.subject
    subject.shell(f"flock -w {subject.confirm_within} {subject.state}/lock true")
    told = _apart(subject, lambda host, say: say(_json(examine(subject.uri, host))))
    unknown = Status(host=subject.uri, state="unreadable", summary=told.line("error"))
    status = msgspec.json.decode(told.line("said") or _json(unknown), type=Status)
    left = [f"status: {told.line('error')}"] if told.code else []
    if outcome == NOT_BACK:
        left.append(f"not as found: {_astray(subject, mishap)}")
    if outcome != (now := _match(subject, child, mishap, play, kind)):
        left.append(f"{outcome} at first, then {now}")
    second = child.line("second")
    if second not in ("", str(HostBusy.exit_code)) and _thrown(child)[1] not in BUSY_STEPS:
        left.append(f"a second tuner ended with {second}")
    subject.shell(f"rm -f {subject.state}/filler")
    if status.state != "unreadable":  # else nobody could
        undone = _apart(subject, lambda host, _say: _undo(host))
        if kind == EDIT:
            (length,) = set(
                re.findall(rf"\b{subject.vifs[1]}[:@].*qlen (\d+)", "\n".join(subject.found))
            )
            subject.shell(f"ip link set dev {subject.vifs[1]} txqueuelen {length}")
        left += [undone.line("error")] if undone.code else []
        left += [f"knobs: {astray}"] if (astray := _astray(subject, mishap)) else []
    looked = _apart(
        subject, lambda host, say: say(_json(watchdog.look(host.transport, host.state_dir)))
    )
    found = msgspec.json.decode(looked.line("said"), type=watchdog.Look)
    left += [f"the lock of {found.holder}"] if found.token else []
    left += ["an armed watchdog"] if found.armed else []
    if left or mishap.lasting:
        target.renew()
    return status, left


def _astray(subject: Subject, mishap: Mishap) -> str:
    """What is not as found, apart from what the mishap itself has changed; empty if nothing is."""
    found, now = _without(subject.found, mishap), _without(subject.readings(), mishap)
    return (differing(found, now) or "other lines as often") if found != now else ""


def _undo(host: LiveHost) -> None:
    """Do what a person would who wants the host as it was before any of this."""
    with state.held(host) as held:
        recover(held)
        while held.journal.standing().generations:
            roll_back(held, force=True)


def _series(kind: str, play: str, _step: str) -> int:
    """Which thousand the numbers of a cell are in."""
    return 2 if kind in ONCE_DONE else 1 if play in LATER_PLAYS else 0


def _apart(subject: Subject, work: Callable[[LiveHost, Say], None]) -> Child:
    """Do something with the host in a process of its own."""

    def run(say: Say) -> None:
        transport = subject.transport()
        try:
            work(subject.open(transport), lambda line: say(f"said {line}"))
        finally:
            transport.close()

    return Child(run).wait()


def _json(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def differing(one: Readings, other: Readings) -> str:
    """The lines that only one of two readings has: ``-`` before those of the first."""
    gone = [f"-{line}" for line in sorted(set(one) - set(other))]
    return " | ".join([*gone, *(f"+{line}" for line in sorted(set(other) - set(one)))])
