"""A plan as a shell script: the exact commands, and how to undo them."""

import shlex
from collections.abc import Iterable, Sequence

from envs.hosts.change import Change


def script(uri: str, policy: str, changes: Sequence[Change]) -> str:
    """The commands that make ``changes``, and as comments those that undo them, last first."""
    title = _comment(f"{uri}: what {policy} would change")
    lines = ["#!/bin/sh", title, "set -eu", ""]
    if not changes:
        lines.append("# nothing")
    for change in changes:
        lines.append(_comment(_what(change, change.before, change.after)))
        lines += map(shlex.join, change.do)
    lines += ["", "# To undo it, run these:"]
    for change in reversed(changes):
        lines.append(_comment(_what(change, change.after, change.before)))
        lines += _commented(map(shlex.join, change.undo))
    return "\n".join(lines) + "\n"


def _what(change: Change, old: str, new: str) -> str:
    return f"{change.knob} of {change.subject}: {old} -> {new}"


def _comment(text: str) -> str:
    """One line of comment, whatever newlines the names in it hold."""
    return f"# {ascii(text)[1:-1]}"


def _commented(commands: Iterable[str]) -> list[str]:
    """Each line behind a comment sign of its own: a quoted argument may hold a newline."""
    return [f"#   {line}" for command in commands for line in command.split("\n")]
