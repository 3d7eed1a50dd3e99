"""How long the guests' traffic stood still, by the kernel's own counters of what went to them.

One process sends a small packet to every guest a hundred times a second, another reads the
counters of the vifs; both run where they are told to, with the standard library alone.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

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
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stood_still(self, vifs: Iterable[str]) -> float:
        """The longest time, in seconds, for which any of ``vifs`` carried nothing to its guest."""
        return longest(self._counts.read_text(), set(vifs))


def longest(counts: str, vifs: set[str]) -> float:
    """The longest time without a packet in lines of ``TIME VIF:PACKETS ...``.

    A vif is only counted once something has gone to it, and for as long as it is there.
    """
    found = 0.0
    since: dict[str, tuple[float, str]] = {}
    for line in counts.split("\n")[:-1]:  # the last may be cut off
        time, *pairs = line.split()
        now = dict(pair.split(":") for pair in pairs)
        for vif in vifs & now.keys():
            began, before = since.get(vif, (float(time), now[vif]))
            if now[vif] == before and before != "0":
                found = max(found, float(time) - began)
            else:
                began = float(time)
            since[vif] = began, now[vif]
    return found
