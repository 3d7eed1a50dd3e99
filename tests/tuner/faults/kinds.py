"""Every fault by its name, and what it is when it is thrown at a host."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf
from signal import SIGINT, SIGKILL, SIGTERM

from child import Say
from faulty import Fault, hang, ignore, kill, refuse, slow
from subject import Subject, Wire

from envs.hosts.transport import Transport

SLOW, HANGS = 30.0, 25.0
"""Seconds that a slow command takes, and that a tuner stands still: longer than the host waits."""
BLOCKED = "port blocked"
BY_SSH = ("connection cut", BLOCKED)
"""Faults of a connection, which is one by SSH where the host would not need any."""
EDIT = "edit by hand"
SILENCE = {"tuner SIGKILL": inf, "tuner hangs 25 s": HANGS, BLOCKED: inf}
"""Seconds for which nobody but the host itself can put it back: the tuner says nothing."""

ANY: Mapping[str, Fault] = {
    "tuner SIGKILL": kill(SIGKILL),
    "tuner SIGTERM": kill(SIGTERM),
    "tuner SIGINT": kill(SIGINT),
    "tuner hangs 25 s": hang(HANGS),
    "command refused": refuse,
    "command ignored": ignore,
    "command takes 30 s": slow(SLOW),
}


def kinds(subject: Subject) -> tuple[str, ...]:
    """The names of all faults that can be thrown at a host."""
    return (*ANY, *BY_SSH, "second tuner", *subject.anywhere(), *subject.mishaps())


def fault(subject: Subject, kind: str, wire: Wire | None, say: Say) -> Fault:
    """A fault of a kind; ``wire`` is there for those of a connection."""
    if kind in ANY:
        return ANY[kind]
    if wire is not None:
        return _does(wire.block if kind == BLOCKED else wire.cut)
    if kind == "second tuner":
        return _does(lambda: say(f"second {_second_tuner(subject)}"))
    script = (subject.anywhere() | subject.mishaps())[kind].script
    return _does(lambda: subject.shell(script))


def _does(what: Callable[[], object]) -> Fault:
    def thrown(_inner: Transport, _argv: Sequence[str]) -> None:
        what()

    return thrown


def _second_tuner(subject: Subject) -> int:
    """The exit code of a rollback, which must be refused while another has the lock."""
    words = (sys.executable, "-m", "tuner.cli", "rollback", "--host", subject.uri)
    return subprocess.run(words, capture_output=True, check=False).returncode
