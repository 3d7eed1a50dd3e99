"""A part of a setting that differs, with the commands that change it and change it back."""

from collections.abc import Sequence

from envs.host import Knob, Record

Command = tuple[str, ...]


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


def commands(changes: Sequence[Change]) -> tuple[Command, ...]:
    """All commands that make the changes, in order."""
    return tuple(command for change in changes for command in change.do)
