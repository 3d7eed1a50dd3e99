"""Something done in a process of its own, that may be killed in the middle of it."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from envs.errors import TunerError
from tuner.interrupts import Interrupted

CRASHED = 70
"""The exit code of work that ended as no tuner may: by an error of Python's."""

Say = Callable[[str], None]
"""How the work tells a line of text to whoever started it."""


class Child:
    """A process that plays, or does something else; what it says line by line, and how it ended."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _work(work, writer)
        os.close(writer)
        os.set_blocking(reader, False)
        self._reader = reader
        self.code: int | None = None
        self.said = ""

    def ended(self) -> bool:
        """Whether it has ended; reads what it has said so far."""
        if self.code is not None:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        with suppress(BlockingIOError):
            while text := os.read(self._reader, 4096):
                self.said += text.decode(errors="replace")
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
            os.close(self._reader)
        return self.code is not None

    def wait(self) -> Self:
        """Until it has ended."""
        while not self.ended():
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """End it."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def line(self, word: str) -> str:
        """What it said after ``word`` at the beginning of a line, empty if it did not."""
        found = (line[len(word) :] for line in self.said.splitlines() if line.startswith(word))
        return next(found, "").strip()


def _work(work: Callable[[Say], None], writer: int) -> None:
    def say(line: str) -> None:
        os.write(writer, f"{' '.join(line.split())}\n".encode())

    code = CRASHED
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 2)
        work(say)
        code = 0
    except TunerError as error:
        say(f"error {type(error).__name__}: {error}")
        code = error.exit_code
    except Interrupted as error:
        code = error.exit_code
    except KeyboardInterrupt:  # before anything was held
        code = 130
    except BaseException as error:  # noqa: BLE001 - told, and counted as a failure
        say(f"error crashed: {type(error).__name__}: {error}")
    finally:
        os._exit(code)
