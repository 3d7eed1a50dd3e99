"""A CPU-bound neighbour: works without end and counts what it got done where others can read it.

Run as a script with the standard library alone: ``busy.py COUNTER``. The counter is a line of
decimal digits of fixed width, rewritten in place through a memory map: a reader needs no help
from this process, and sees the old number or the new.
"""

import mmap
import os
import sys

WIDTH = 20
UNIT = 20_000
"""Additions in one unit of work, about a millisecond."""


def work() -> int:
    """One unit of work."""
    total = 0
    for number in range(UNIT):
        total += number
    return total


def main(path: str) -> None:
    """Work and count for ever."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(descriptor, b"0".zfill(WIDTH) + b"\n")
    done = 0
    with mmap.mmap(descriptor, WIDTH) as counter:
        while True:
            work()
            done += 1
            counter[:] = str(done).zfill(WIDTH).encode()


if __name__ == "__main__":
    main(sys.argv[1])
