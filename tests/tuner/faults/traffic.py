"""How long the guests' traffic stood still, by the kernel's own counters of what went to them.

One process sends a small packet to every guest a hundred times a second, another reads the
counters of the vifs; both run where they are told to, with the standard library alone.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Self

PATIENCE = 30.0
"""Seconds within which traffic has to flow; without any it is a standstill all along."""

Enter = Callable[[Sequence[str]], Sequence[str]]
"""A command as it is run somewhere."""

SEND = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for address in sys.argv[1:]:
        try:
            sock.sendto(b"x", (address, 9))
        except OSError:
            pass
    print(flush=True)  # so that it ends with a connection that it runs over
    time.sleep(0.01)
"""
COUNT = """
import sys, time
while True:
    with open("/proc/net/dev") as file:
        rows = [line.split() for line in file if line.split(":")[0].strip() in sys.argv[1:]]
    print(time.monotonic(), *(row[0] + row[10] for row in rows), flush=True)
    time.sleep(0.05)
"""


class Traffic:
    """Traffic to guests and the counts of it, from the beginning to the end of a block."""

    def __init__(
        self,
        folder: Path,
        *,
        vifs: Sequence[str],
        inside: Enter,
        addresses: Sequence[str] = (),
        outside: Enter = tuple,
    ) -> None:
        """``inside`` is where the vifs are, ``outside`` where packets to ``addresses`` come from.

        Without addresses nothing is sent: there is traffic already.
        """
        self._vifs = vifs
        self._counts = folder / "counts"
        self._commands = [(inside(("python3", "-ISc", COUNT, *vifs)), self._counts)]
        if addresses:
            send = outside(("python3", "-ISc", SEND, *addresses))
            self._commands.append((send, Path("/dev/null")))

    def __enter__(self) -> Self:
        self._processes = []
        for command, path in self._commands:
            with path.open("wb") as out:
                self._processes.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, process_group=0)
                )
        patient_until = time.monotonic() + PATIENCE
        while not self._flows() and time.monotonic() < patient_until:
            time.sleep(0.05)
        self._began, self._skipped = time.monotonic(), self._counts.stat().st_size
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stood_still(self, vifs: Iterable[str]) -> float:
        """The longest time, in seconds, for which any of ``vifs`` carried nothing to its guest.

        It is without end where what counts or sends has ended; so ask within the block.
        """
        if any(process.poll() is not None for process in self._processes):
            return inf
        lasted = time.monotonic() - self._began
        counts = self._counts.read_text()[self._skipped :]
        return longest(counts.partition("\n")[2], vifs, lasted)

    def _flows(self) -> bool:
        return longest(self._counts.read_text(), self._vifs, 0.0) < inf


def longest(counts: str, vifs: Iterable[str], lasted: float) -> float:
    """The longest time without a packet to one of ``vifs``, in lines of ``TIME VIF:PACKETS ...``.

    It runs from one line that has more packets than before to the next: nobody saw any in between.
    So time without lines counts, up to the end of as much as it ``lasted``, and a vif that never
    got a packet stood still for ever.
    """
    lines = [line.split() for line in counts.split("\n")[:-1]]  # the last may be cut off
    samples = [(float(time), dict(pair.split(":") for pair in pairs)) for time, *pairs in lines]
    found = 0.0
    for vif in vifs:
        there = [(time, int(now[vif])) for time, now in samples if vif in now]
        rises = [time for (_, before), (time, now) in pairwise(there) if now > before]
        if not rises:
            return inf
        end = max(samples[-1][0], samples[0][0] + lasted)
        found = max(found, *(late - soon for soon, late in pairwise([samples[0][0], *rises, end])))
    return found
