"""Packets, and the queues that hold them."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from envs.reference.memory import Place

if TYPE_CHECKING:
    from envs.reference.traffic import Flow

MTU = 1500
ACK_BYTES = 66
PAGE = 4096
LARGE_BATCH = 262144
"""Bytes of one activation at most, where packets are large."""


class Packet:
    """Data of a flow, or an acknowledgement that goes the other way.

    ``number`` counts the flow's data packets; an acknowledgement has the highest that arrived, and
    in ``covers`` the bytes of data it acknowledges. ``place`` is where it was touched last, None
    for nowhere but in memory.
    """

    __slots__ = ("born", "covers", "flow", "is_ack", "number", "place", "size")

    def __init__(self, flow: "Flow", size: int, number: int, *, covers: int = 0) -> None:
        self.flow = flow
        self.size = size
        self.number = number
        self.covers = covers
        self.is_ack = covers > 0
        self.born = 0.0
        self.place: Place | None = None

    @property
    def slots(self) -> int:
        """Ring slots: one, or above a page one for each page and two more."""
        return 1 if self.size <= PAGE else -(-self.size // PAGE) + 2

    @property
    def pages(self) -> float:
        """Pages, a grant or descriptor each."""
        return max(1.0, self.size / PAGE)

    @property
    def frames(self) -> float:
        """Frames of the wire's size that it is as it leaves."""
        return max(1.0, self.size / MTU)


class Queue:
    """First in, first out. How much it takes is for those who put in to ask."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.slots = 0
        self._packets: deque[Packet] = deque()

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[Packet]:
        return iter(self._packets)

    @property
    def head(self) -> Packet:
        """The next packet."""
        return self._packets[0]

    @property
    def free(self) -> int:
        """Ring slots that nothing is in."""
        return self.limit - self.slots

    def push(self, packet: Packet) -> None:
        """Put a packet at the tail."""
        self._packets.append(packet)
        self.slots += packet.slots

    def pop(self) -> Packet:
        """Take the packet at the head."""
        packet = self._packets.popleft()
        self.slots -= packet.slots
        return packet

    def batch(self, most: int) -> list[Packet]:
        """The packets to handle in one activation, which stay queued: at most ``most``.

        Of large ones not so many, that the next stage may begin with the first: ``LARGE_BATCH``
        bytes, but one in any case.
        """
        packets: list[Packet] = []
        size = 0
        for packet in islice(self._packets, most):
            size += 0 if packet.is_ack else packet.size
            if packets and size > LARGE_BATCH:
                break
            packets.append(packet)
        return packets
