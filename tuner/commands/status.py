"""``tuner status``: where a host stands, whatever has happened to it or to the tuner."""

from typing import Literal

import click

from envs.errors import HostError, about
from envs.host import Host, Record, Settings
from tuner import watchdog
from tuner.commands import options
from tuner.console import Output
from tuner.journal import Event, Generation, Pending, Standing, copy_of, read_copy
from tuner.journal_table import journal_table
from tuner.merge import changed
from tuner.settings import Difference, differences
from tuner.state import FOR_A_PERSON, LiveHost, journal_of
from tuner.tables import diff_table, plain_table
from tuner.watchdog import ITSELF, Look, is_gone

State = Literal[
    "simulated",
    "untouched",
    "confirmed",
    "changed",
    "busy",
    "held",
    "reverting",
    "reverted",
    "interrupted",
    "unreadable",
]


class Change(Record, frozen=True):
    """A confirmed change: its number for ``tuner rollback --to``, when, why and what."""

    number: int
    time: str
    reason: str
    changes: tuple[Difference, ...]


class Status(Record, frozen=True):
    """Where a host stands.

    ``state`` is

    - ``simulated``: nothing lasts;
    - ``untouched``: the tuner has changed nothing, or undone it all, except for what somebody else
      had set meanwhile (``edited``);
    - ``confirmed``: as the last confirmed change left it;
    - ``changed``: somebody else has changed it since (``edited`` names the parts);
    - ``busy``: being tuned now;
    - ``held``: left for a person to confirm, for ``seconds_left``;
    - ``reverting``: its tuner is gone, it puts itself back in ``seconds_left``;
    - ``reverted``: it has put itself back, because its tuner fell silent;
    - ``interrupted``: in the middle of a transaction, and nobody there to end it;
    - ``unreadable``: it cannot be read, ``summary`` says why.

    ``changes`` lead from what the host should be to what it is; ``generations`` are the confirmed
    changes, oldest first.
    """

    host: str
    state: State
    summary: str
    settings: Settings | None = None
    changes: tuple[Difference, ...] = ()
    edited: tuple[str, ...] = ()
    seconds_left: float | None = None
    generations: tuple[Change, ...] = ()


@click.command("status")
@options.host_option
@click.option("--journal", is_flag=True, help="Tell all that was done to the host, and why.")
@options.json_option
def command(*, uri: str, journal: bool, as_json: bool) -> None:
    """Say whether a host is as found, as confirmed, or neither; change nothing."""
    output = Output(as_json=as_json)
    if journal:
        events = _journal(uri, output)
        output.show(journal_table(events))
        output.emit(events)
        return
    with options.opened(uri) as host:
        status = examine(uri, host)
    output.show(about(uri, status.summary))
    if status.changes:
        should = "as confirmed" if status.state == "changed" else "as found"
        output.show(diff_table(status.changes, should, "now"))
    elif status.edited:
        output.show(f"  {', '.join(status.edited)}")
    if status.generations:
        output.heading("Confirmed changes, each undone by: tuner rollback --to NUMBER")
        table = plain_table("number", "time", "changed", "reason")
        for one in status.generations:
            subjects = ", ".join(f"{d.knob} of {d.subject}" for d in one.changes)
            table.add_row(str(one.number), one.time, subjects, one.reason)
        output.show(table)
    output.emit(status)


def _journal(uri: str, output: Output) -> tuple[Event, ...]:
    """The journal of a host, or its copy on this machine where the host cannot tell it."""
    copy = copy_of(uri)
    try:
        with options.opened(uri) as host:
            if not isinstance(host, LiveHost):
                return ()
            events = journal_of(host).events()
        if events:
            return events
        why_not = "the host has no journal, as after a reboot"
    except HostError as error:
        if not read_copy(copy):
            raise
        why_not = str(error)
    if copied := read_copy(copy):
        output.say(f"tuner: {why_not}; this is the copy in {copy}")
    return copied


def examine(uri: str, host: Host) -> Status:
    """Compare what the journal and the watchdog say of a host with the host itself."""
    if not isinstance(host, LiveHost):
        summary = "a simulated host lives only within one command, nothing is kept"
        return Status(host=uri, state="simulated", summary=summary, settings=host.settings())
    found = watchdog.look(host.transport, host.state_dir)
    standing = journal_of(host).standing()
    generations = tuple(_change(n, one) for n, one in enumerate(standing.generations, 1))
    try:
        settings, snapshot = host.settings(), host.snapshot()
    except HostError as error:
        story = _story(standing, found)[1]
        return Status(
            host=uri,
            state="unreadable",
            summary=f"cannot be read: {error}; by the journal: {story}",
            generations=generations,
        )
    state, summary = _story(standing, found)
    should = _should_be(standing)
    edited = standing.edited if state == "untouched" else ()
    changes: tuple[Difference, ...] = ()
    if should is not None and state in ("confirmed", "reverted", "interrupted", "reverting"):
        edited, changes = changed(should[1], snapshot), differences(should[0], settings)
        if edited and state == "confirmed":
            state, summary = "changed", f"changed by somebody else since it was {summary}"
        elif state == "reverted":
            summary += ", but it is not as it was found" if edited else ", and is as it was found"
    return Status(
        host=uri,
        state=state,
        summary=summary,
        settings=settings,
        changes=changes,
        edited=edited,
        seconds_left=found.seconds_left,
        generations=generations,
    )


def _story(standing: Standing, found: Look) -> tuple[State, str]:
    """What the journal and the watchdog say, without a look at the knobs."""
    if standing.pending is not None:
        return _unfinished(standing.pending, found)
    if found.holder:
        free = f", which is gone; free in {found.seconds_left or 0.0:.0f} s"
        return "busy", f"held by {found.holder}{free if is_gone(found.holder) else ''}"
    if standing.generations:
        last = standing.generations[-1].after
        return "confirmed", f"as confirmed {last.time}: {last.reason}"
    summary = "as found: no change of the tuner is in place"
    if standing.edited:
        summary += "; when it was last put back, others had changed"
    return "untouched", summary


def _unfinished(pending: Pending, found: Look) -> tuple[State, str]:
    since = f"in the middle of a transaction begun {pending.since}"
    left = f"in {found.seconds_left or 0.0:.0f} s"
    if found.reverted is not None:
        return "reverted", f"{_silence(pending)}; the host put itself back {found.put_back}"
    if found.holder == FOR_A_PERSON:
        return "held", f"waits for: tuner confirm; without it the host goes back {left}"
    if not found.holder:
        return "interrupted", f"left {since}, and its watchdog is gone, too; run: tuner rollback"
    if found.holder == ITSELF:
        return "reverting", f"left {since}; its watchdog puts it back {left}"
    if is_gone(found.holder):
        return "reverting", f"left {since} by {found.holder}, which is gone; goes back {left}"
    return "busy", f"being tuned by {found.holder}; should it fall silent, goes back {left}"


def _silence(pending: Pending) -> str:
    if pending.held is not None:
        return f"nobody confirmed what was held since {pending.held.time}"
    return f"the tuner that began {pending.since} fell silent"


def _should_be(standing: Standing) -> tuple[Settings, bytes] | None:
    """The settings and the snapshot that the host should have; None if the tuner has no say."""
    if standing.pending is not None:
        begun = standing.pending.begun
        return begun.found, begun.snapshot.encode()
    if standing.generations:
        last = standing.generations[-1].after
        return last.settings, last.snapshot.encode()
    return None


def _change(number: int, one: Generation) -> Change:
    return Change(
        number=number,
        time=one.after.time,
        reason=one.after.reason,
        changes=differences(one.before.found, one.after.settings),
    )
