"""A watchdog under test, what it is to put back, and states to wait for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.hosts.transport import LocalTransport
from tuner.watchdog import Watchdog, take

HERE = LocalTransport()


class watchdog:  # noqa: N801 - used as a function
    """A watchdog that holds the lock, ended whatever happens."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self.folder, self.dog = folder, Watchdog(HERE, folder, seconds)

    def __enter__(self) -> Watchdog:
        self.dog.start()
        return self.dog

    def __exit__(self, *_: object) -> None:
        take(HERE, self.folder, self.dog.token)


def put_back(knob: Path) -> list[tuple[str, ...]]:
    return [
        ("no-such-program", "whose failure must not matter"),
        ("sh", "-c", 'printf "%s\\n" "$2" >"$1"', "sh", str(knob), "found"),
    ]


def wait(until: Callable[[], bool]) -> None:
    while not until():
        pass


def pid(folder: Path) -> int:
    return int((folder / "lock").read_text().split()[1])


@contextmanager
def stopped(number: int) -> Iterator[None]:
    """A process stands still, and goes on whatever happens."""
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)
