"""Ctrl-C and SIGTERM while a host is held: noted at once, obeyed only where it is safe.

Cutting off a command halfway through changing a host would leave it in a state that nobody chose.
So a signal is only noted, and raised as ``Interrupted`` where nothing is being changed: while
waiting for a measurement, and between steps. The undoing that follows cannot be cut off.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A person or the system asked the process to end. ``exit_code`` is the shell's: 128 + n."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """The signals noted so far, and where they may be raised."""

    def __init__(self) -> None:
        self._noted: int | None = None
        self._waiting = self._raised = False

    def check(self) -> None:
        """Raise Interrupted if a signal has been noted."""
        if self._noted is not None:
            self._raised = True
            raise Interrupted(self._noted)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within this, a signal is raised at once; one noted before is raised on entry."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False
        self.check()

    def note(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler. Only the first signal is raised, so that clean-up is not cut off."""
        first, self._noted = self._noted is None, self._noted or number
        if first and self._waiting:
            self._raised = True
            raise Interrupted(number)

    def pass_on(self, outer: object) -> None:
        """Give what came too late to be raised here to who notes signals around this, if any."""
        if self._noted is not None and not self._raised and isinstance(outer, Interrupts):
            outer.note(self._noted, None)


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle the signals until the end of the block, then as before. For the main thread."""
    noted = Interrupts()
    previous = {number: signal.signal(number, noted.note) for number in SIGNALS}
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        noted.pass_on(getattr(previous[SIGNALS[0]], "__self__", None))


@contextmanager
def terminable() -> Iterator[None]:
    """Within this, SIGTERM raises KeyboardInterrupt. For the main thread.

    SIGINT would not do where one thread is to interrupt another: what a script runs in the
    background ignores it.
    """
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
