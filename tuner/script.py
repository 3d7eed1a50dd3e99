"""A plan as a POSIX shell script: ``sh plan.sh apply`` makes its changes, ``undo`` takes them back.

Both are read top to bottom: each step is a comment that names the knob, then its commands as they
are. Only an argument of several lines, a script that a command runs, stands further down under a
name of its own.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from envs.errors import about
from envs.hosts.change import Change, Command

_HEAD = """\
#!/bin/sh
{title}
#
# To be run on that host, as a user who may change it:
#   sh plan.sh apply    makes the changes, up to the first command that fails
#   sh plan.sh undo     takes them back, last first, past commands that fail
# It knows the processes and the values of when it was written, and does not look for others.

"""

_TAIL = """\
usage() {
    echo "usage: ${0##*/} apply | undo" >&2
    exit 2
}

[ "$#" -eq 1 ] || usage
case $1 in
    apply)
        trap '[ "$?" -eq 0 ] || echo "stopped; to take back what was made: ${0##*/} undo" >&2' EXIT
        set -e
        apply </dev/null
        ;;
    undo)
        failed=0
        undo </dev/null
        exit "$failed"
        ;;
    *) usage ;;
esac
"""


def script(uri: str, policy: str, changes: Sequence[Change]) -> str:
    """The script that makes ``changes`` or takes them back; without an argument, its usage.

    It exits with 0 if every command did what it should, 2 if it was called wrongly.
    """
    commands = [command for change in changes for command in (*change.do, *change.undo)]
    long = sorted({word for command in commands for word in command if "\n" in word})
    names = {word: f"text{number}" for number, word in enumerate(long, 1)}
    there = ([_what(c, c.before, c.after), *_lines(c.do, names, "")] for c in changes)
    back = (
        [_what(c, c.after, c.before), *_lines(c.undo, names, " || failed=1")]
        for c in reversed(changes)
    )
    return "".join(
        (
            _HEAD.format(title=_comment(about(uri, f"what {policy} would change"))),
            _function("apply", there),
            _function("undo", back),
            *(f"{name}={shlex.quote(word)}\n\n" for word, name in names.items()),
            _TAIL,
        )
    )


def _function(name: str, steps: Iterable[Sequence[str]]) -> str:
    lines = [line for step in steps for line in step] or ["echo 'nothing to change'"]
    return "\n".join((f"{name}() {{", *(f"    {line}" for line in lines), "}", "", ""))


def _what(change: Change, old: str, new: str) -> str:
    return _comment(f"{change.knob} of {change.subject}: {old} -> {new}")


def _lines(commands: Sequence[Command], names: Mapping[str, str], end: str) -> Iterator[str]:
    for command in commands:
        words = (f'"${names[w]}"' if w in names else shlex.quote(w) for w in command)
        yield " ".join(words) + end


def _comment(text: str) -> str:
    """One line of comment, whatever newlines the names in it hold."""
    return f"# {ascii(text)[1:-1]}"
