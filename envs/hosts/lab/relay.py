"""A backend of the lab: moves frames between guests' taps and their vifs.

Run as a script with the standard library alone, so that it starts quickly:

    relay.py NAME DUTIES REPORT VIF=VIF_FD:GUEST_FD ...

Every relay holds the descriptors of every vif. Which of them it serves, and whether it sleeps
(epoll) or polls, stands under NAME in the JSON file DUTIES; SIGHUP makes it read the file again.
What it now does it writes to REPORT, so that a setting can be read back. So a vif moves from one
relay to another live, as a queue moves from one vhost thread to another, and no tap is lost.

Who pays for what: reading a vif's descriptor empties its TX queue, and *writing* a guest's
descriptor runs the guest's whole receive stack inside ``write``, so a relay's CPU time holds it.
The guest's processes pay for their own system calls and, when they send, for their stack.
"""

import json
import os
import select
import signal
import sys
from types import FrameType

BATCH = 64
"""Frames of one direction before the next has its turn, as netback's NAPI weight."""
FRAME = 65536 + 128
"""The largest frame: a TSO frame with its headers."""
SPINS = 64
"""Rounds of polling between two looks at whether there are new orders."""

Way = tuple[int, int]


class Gone(Exception):
    """The tap ``source`` was removed, and nothing will ever come from it again."""

    def __init__(self, source: int) -> None:
        super().__init__(source)
        self.source = source


def move(ways: list[Way], frame: bytearray, view: memoryview) -> int:
    """Carry up to a batch of frames each way; how many were carried in all. Raises Gone."""
    moved = 0
    into = [frame]
    readv, write = os.readv, os.write
    for source, sink in ways:
        try:
            for _ in range(BATCH):
                length = readv(source, into)
                moved += 1
                try:
                    write(sink, view[:length])
                except OSError:  # the receiving side is down: the frame is lost, as on a wire
                    continue
        except BlockingIOError:
            continue
        except OSError as error:
            raise Gone(source) from error
    return moved


class Relay:
    """One backend: its orders, and the loop that carries them out until the process ends."""

    def __init__(self, name: str, duties: str, report: str, taps: dict[str, Way]) -> None:
        self._name, self._duties, self._report = name, duties, report
        self._taps = taps
        self._ways: list[Way] = []
        self._poll = False
        self._new_orders = True
        self._frame = bytearray(FRAME)
        self._wake, wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, self._hang_up)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            if self._new_orders:
                self._new_orders = False
                self._take_orders()
            try:
                if self._poll and self._ways:
                    self._spin()
                else:
                    self._sleep()
            except Gone as gone:  # the other vifs are served as before
                self._ways = [way for way in self._ways if gone.source not in way]

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._new_orders = True

    def _take_orders(self) -> None:
        with open(self._duties, encoding="utf-8") as file:  # noqa: PTH123 - pathlib starts slowly
            duty = json.load(file)["relays"][self._name]
        pairs = [self._taps[vif] for vif in duty["vifs"]]
        self._ways = [way for out, back in pairs for way in ((out, back), (back, out))]
        self._poll = bool(duty["poll"] and pairs)
        text = json.dumps({"vifs": duty["vifs"], "poll": self._poll}, separators=(",", ":"))
        self._tell(text + "\n")

    def _tell(self, text: str) -> None:
        """Replace the report as a whole, or on a full disk, where that cannot be, in its place.

        It is not emptied first: another could have the room before the text is back in it.
        """
        fresh = self._report + ".new"
        try:
            with open(fresh, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
            os.replace(fresh, self._report)  # noqa: PTH105
        except OSError:
            with open(self._report, "r+", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
                file.truncate()

    def _spin(self) -> None:
        ways, frame, view = self._ways, self._frame, memoryview(self._frame)
        while not self._new_orders:
            for _ in range(SPINS):
                move(ways, frame, view)

    def _sleep(self) -> None:
        ways, frame, view = dict(self._ways), self._frame, memoryview(self._frame)
        with select.epoll() as epoll:
            epoll.register(self._wake, select.EPOLLIN)
            for source in ways:
                epoll.register(source, select.EPOLLIN)
            while not self._new_orders:
                ready = [(fd, ways[fd]) for fd, _ in epoll.poll() if fd in ways]
                while ready and move(ready, frame, view) and not self._new_orders:
                    pass  # a batch may have left frames, and brought answers to them
            self._drain_wake_ups()

    def _drain_wake_ups(self) -> None:
        try:
            while os.read(self._wake, 64):
                pass
        except BlockingIOError:
            pass


def main(argv: list[str]) -> None:
    """Parse the command line and serve."""
    name, duties, report, *pairs = argv
    taps = {}
    for pair in pairs:
        vif, _, ends = pair.rpartition("=")
        out, _, back = ends.partition(":")
        taps[vif] = (int(out), int(back))
    Relay(name, duties, report, taps).run()


if __name__ == "__main__":
    main(sys.argv[1:])
