"""A journal for people to read: when, what, and why or with which result."""

import shlex
from collections.abc import Iterable, Iterator

from rich.table import Table

from tuner.journal import (
    Applied,
    Applying,
    Command,
    Confirmed,
    Event,
    Held,
    Judged,
    PutBack,
    Ran,
    Restored,
)
from tuner.tables import plain_table


def journal_table(events: Iterable[Event]) -> Table:
    """A row for each event and for each command that was run, oldest first.

    Commands are many and dim, so that what was decided, and why, stands out.
    """
    table = plain_table("time", "event", "what")
    for event in events:
        style = "dim" if isinstance(event, Ran) else "bold"
        for number, line in enumerate(_lines(event)):
            head = (event.time, str(event.__struct_config__.tag)) if number == 0 else ("", "")
            table.add_row(*head, line, style=style)
    return table


def _lines(event: Event) -> Iterator[str]:
    match event:
        case Ran():
            yield from map(_command, event.commands)
        case Applying():
            parts = (f"{d.knob} of {d.subject}: {d.before} -> {d.after}" for d in event.changes)
            yield "; ".join([*parts, *([event.reason] if event.reason else [])])
        case Applied():
            yield event.reason or "read back as it should be"
        case Judged():
            yield f"{event.judgement.outcome}: {event.judgement.reason}"
        case Held():
            yield f"for {event.seconds} s, until: tuner confirm; {event.reason}"
        case Confirmed():
            yield event.reason
        case PutBack():
            yield event.reason
            yield from event.said
        case Restored() if event.kept:
            yield f"{event.reason}; others have changed {', '.join(event.kept)}"
        case _:
            yield event.reason


def _command(command: Command) -> str:
    """A command as a shell has it, ``…`` for a script, and what came of it."""
    words = " ".join("…" if "\n" in word else shlex.quote(word) for word in command.argv)
    came = f"return code {command.rc}: {command.complaint}" if command.rc else "done"
    return "".join(c if c.isprintable() else "?" for c in f"{words}  [{came}]")
