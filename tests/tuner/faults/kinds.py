"""Every fault by its name, and what it is when it is thrown at a host."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from math import inf
from signal import SIGINT, SIGKILL, SIGTERM

from child import Say
from faulty import Call, Fault, hang, ignore, kill, once_done, refuse, slow
from subject import Subject, Wire

SLOW = 30.0
"""Seconds that a slow command takes: longer than a tuner waits for it."""
BLOCKED = "port blocked"
BY_SSH = ("connection cut", BLOCKED)
"""Faults of a connection, which is one by SSH where the host would not need any."""
EDIT = "edit by hand"
DONE = " once done"
ONCE_DONE = tuple(
    f"{kind}{DONE}" for kind in ("tuner SIGKILL", "connection cut", "command refused")
)
"""Faults after a command instead of before it, whose reply is lost."""


def kinds(subject: Subject) -> tuple[str, ...]:
    """The names of all faults that can be thrown at a host."""
    found = (*_own(subject), *BY_SSH, "second tuner", *subject.anywhere(), *subject.mishaps())
    return (*found, *ONCE_DONE)


def by_ssh(kind: str) -> bool:
    """Whether a fault is one of a connection."""
    return kind.removesuffix(DONE) in BY_SSH


def silence(subject: Subject, kind: str) -> float:
    """Seconds for which nobody but the host itself can put it back: the tuner says nothing."""
    if kind == _hanging(subject):
        return _longer_than_the_lease(subject)
    return inf if kind.removesuffix(DONE) in ("tuner SIGKILL", BLOCKED) else 0.0


def fault(subject: Subject, kind: str, wire: Wire | None, say: Say) -> Fault:
    """A fault of a kind; ``wire`` is there for those of a connection."""
    if kind in ONCE_DONE:
        return once_done(fault(subject, kind.removesuffix(DONE), wire, say))
    if found := _own(subject).get(kind):
        return found
    if wire is not None:
        return _does(wire.block if kind == BLOCKED else wire.cut)
    if kind == "second tuner":
        return _does(lambda: say(f"second {_second_tuner(subject)}"))
    script = (subject.anywhere() | subject.mishaps())[kind].script
    return _does(lambda: subject.shell(script))


def _own(subject: Subject) -> Mapping[str, Fault]:
    """The faults of the tuner itself and of its commands."""
    return {
        "tuner SIGKILL": kill(SIGKILL),
        "tuner SIGTERM": kill(SIGTERM),
        "tuner SIGINT": kill(SIGINT),
        _hanging(subject): hang(_longer_than_the_lease(subject)),
        "command refused": refuse,
        "command ignored": ignore,
        "command takes 30 s": slow(SLOW),
    }


def _hanging(subject: Subject) -> str:
    return f"tuner hangs {_longer_than_the_lease(subject):.0f} s"


def _longer_than_the_lease(subject: Subject) -> float:
    return subject.confirm_within + 5.0


def _does(what: Callable[[], object]) -> Fault:
    def thrown(_call: Call) -> None:
        what()

    return thrown


def _second_tuner(subject: Subject) -> int:
    """The exit code of a rollback, which must be refused while another has the lock."""
    words = (sys.executable, "-m", "tuner.cli", "rollback", "--host", subject.uri)
    return subprocess.run(words, capture_output=True, check=False).returncode
