"""A part of a setting that differs, with the commands that change it and change it back."""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from envs.errors import Meddled
from envs.host import Knob, Record, to_json
from envs.hosts.transport import Result

Command = tuple[str, ...]
Part = tuple[Command, ...]
"""The commands that put one part of a host back from any state, in order."""


class Change(Record, frozen=True):
    """One part of one knob on a live host.

    ``subject`` is what is changed (a VCPU, a domain, a vif, the bridge), ``before`` and ``after``
    its values for a person to read, ``do`` and ``undo`` the argument lists, in order.
    """

    knob: Knob
    subject: str
    before: str
    after: str
    do: tuple[Command, ...]
    undo: tuple[Command, ...]


def memory() -> deque[Result]:
    """Where a host remembers what its latest changes did, for who wants to write that down."""
    return deque(maxlen=1000)


def as_seen(now: Record, seen: bytes | None) -> None:
    """Raise Meddled where the state of a host is not the one in a snapshot that was seen.

    Asked with what a change is planned from, so that no edit comes between a look and the change.
    """
    if seen is not None and msgspec.json.decode(to_json(now)) != msgspec.json.decode(seen):
        raise Meddled("somebody else has set the host in this very moment")


def undoing(parts: Sequence[Part], others: Sequence[Sequence[Part]] | None) -> tuple[Command, ...]:
    """The commands of ``parts``, or only of those that are not the same in all ``others``.

    A part that is put back by the same commands is the same: nobody has changed it.
    """
    return tuple(
        command
        for part in parts
        if others is None or any(part not in other for other in others)
        for command in part
    )


def single(
    knob: Knob, subject: str, before: tuple[str, Command], after: tuple[str, Command]
) -> Iterator[Change]:
    """The change of a part that one command sets, if it differs: the value and the command each."""
    (old, undo), (new, do) = before, after
    if old != new:
        yield Change(knob=knob, subject=subject, before=old, after=new, do=(do,), undo=(undo,))


def commands(changes: Sequence[Change]) -> tuple[Command, ...]:
    """All commands that make the changes, in order."""
    return tuple(command for change in changes for command in change.do)
