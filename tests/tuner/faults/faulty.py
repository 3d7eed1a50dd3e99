"""A transport that misbehaves at one of its calls, and knows at which step that is."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from traceback import walk_stack
from typing import NamedTuple

from envs.errors import CommandFailed
from envs.hosts.transport import Result, Transport

STEPS = {
    "held": "lock",
    "recover": "recover",
    "_begin": "snapshot and arm",
    "apply": "apply",
    "_announce": "announce",
    "_read_back": "read back",
    "_probe": "probe",
    "measure": "measure",
    "confirm": "confirm",
    "hold": "hold",
    "confirm_held": "confirm by hand",
    "undo": "undo",
    "roll_back": "roll back",
}
"""What a tuner is doing, by the innermost of its functions that is running."""
OTHER = "describe"
"""What it does outside all of these: ask the host what it has."""


class Call(NamedTuple):
    """A command of the tuner's, and how it is done."""

    inner: Transport
    argv: Sequence[str]
    do: Callable[[], object]


Fault = Callable[[Call], Result | None]
"""Happens in place of a command, if it gives a result, else just before it."""


class Course:
    """The calls of one run, by the steps they belong to, and the one at which the fault is thrown.

    ``announce`` is told the step and the time just before that, and thereafter that ``trace`` was
    seen in what a command printed.
    """

    def __init__(
        self,
        at: int = -1,
        fault: Fault | None = None,
        announce: Callable[[str], None] = len,
        trace: str = "",
    ) -> None:
        self.calls: list[str] = []
        self._at, self._fault, self._announce, self._trace = at, fault, announce, trace

    def call(self, call: Call) -> Result | None:
        """Count a call; the result that the fault has in place of the command's, if any."""
        names = [frame.f_code.co_name for frame, _ in walk_stack(None)]
        step = next((STEPS[name] for name in names if name in STEPS), OTHER)
        self.calls.append(step)
        if self._fault is None or len(self.calls) - 1 != self._at:
            return None
        self._announce(f"thrown {time.monotonic()} {step}")
        return self._fault(call)

    def look(self, printed: str) -> None:
        """Look for the trace of the fault, once it was thrown."""
        if self._trace and -1 < self._at < len(self.calls) and self._trace in printed:
            self._announce(f"seen {time.monotonic()}")
            self._trace = ""


class Faulty:
    """Does as the transport within it does, except where its course has a fault.

    Commands that would travel together go one by one, so that each can be the one that fails;
    with ``together`` they do travel together, and the fault comes before or after all of them.
    """

    def __init__(self, inner: Transport, course: Course, *, together: bool) -> None:
        self._inner, self._course, self._together = inner, course, together

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        do = partial(self._inner.run, argv, stdin=stdin, timeout=timeout)
        result = self._course.call(Call(self._inner, argv, do)) or do()
        self._course.look(result.out)
        return result

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 10.0
    ) -> tuple[Result, ...]:
        if not self._together:
            return tuple(self.run(command, timeout=timeout) for command in commands)
        do = partial(self._inner.run_all, commands, timeout=timeout)
        for command in commands:
            self._course.call(Call(self._inner, command, do))
        return do()

    def close(self) -> None:
        self._inner.close()


def once_done(fault: Fault) -> Fault:
    """A fault after the command instead of before it, whose reply is lost."""

    def late(call: Call) -> Result:
        call.do()
        if instead := fault(call):
            return instead
        call.inner.run(("true",))  # by which a connection that was cut is found to be broken
        raise CommandFailed("the connection broke before the reply came")

    return late


def kill(number: int) -> Fault:
    """The tuner gets a signal."""

    def fault(_call: Call) -> None:
        os.kill(os.getpid(), number)

    return fault


def hang(seconds: float) -> Fault:
    """The tuner stands still, and then goes on as if nothing had been."""

    def fault(_call: Call) -> None:
        time.sleep(seconds)

    return fault


def refuse(call: Call) -> Result:
    """The command fails."""
    return Result(argv=tuple(call.argv), rc=1, err="refused")


def ignore(call: Call) -> Result:
    """The command says that it has worked, and does nothing."""
    return Result(argv=tuple(call.argv), rc=0)


def slow(seconds: float) -> Fault:
    """The command takes so long on the host that nobody waits for it."""

    def fault(call: Call) -> Result:
        late = ("sh", "-c", 'sleep "$0"; exec "$@"', str(seconds), *call.argv)
        return call.inner.run(late, timeout=10.0)

    return fault
