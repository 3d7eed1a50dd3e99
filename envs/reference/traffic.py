"""Flows: TCP that backs off on loss, and UDP at a fixed rate.

TCP is Reno, counted in bytes: slow start, then a packet more each round trip; half of that on a
loss, once a window; a timeout if nothing comes back. A loss is noticed when a later packet is
acknowledged. What is sent again is new data: it is of no matter here which bytes a packet has.
"""

from collections import deque

from simpy import Environment

from envs.reference.packets import ACK_BYTES, LARGE_BATCH, MTU, Packet
from envs.scenario import Flow as FlowSpec

LARGEST = 65536
"""Bytes of the largest packet that segmentation offload makes."""
WINDOW_SHARE = 3
"""Offload makes no packet above this part of the window (``tcp_tso_win_divisor``)."""
SMALLEST = 2
"""Offload makes no packet of fewer frames (``tcp_min_tso_segs``)."""
TIMER = 250e3
"""Period (ns) of what is looked at now and then: a guest's UDP, lost acknowledgements, timeouts."""
QUIET = 1e6
"""Nanoseconds without acknowledgement after which the receiver repeats a lost one."""


class Flow:
    """A flow, with its sender's window and its receiver's acknowledgements.

    ``source`` and ``sink`` are vifs by index, None for the outside. ``offered``, ``delivered`` and
    ``dropped`` count bytes of data over all time: the rest is still queued. If it ``answers``, its
    packets are requests and its acknowledgements the answers, and ``waits`` are how long they took.
    """

    def __init__(
        self,
        env: Environment,
        spec: FlowSpec,
        ends: tuple[int | None, int | None],
        *,
        offload: bool,
    ) -> None:
        self.source, self.sink = ends
        self.answers = spec.kind == "rr"
        self.tcp = spec.kind != "udp"
        self.rate = spec.gbps / 8.0
        self.offered = self.delivered = self.dropped = 0
        self._env = env
        self._offload = offload and self.tcp
        self._every = 1 if offload or self.answers else 2
        self._window = spec.connections * ACK_BYTES if self.answers else spec.window_kb * 1024
        self._rto = spec.rto_ms * 1e6
        self._cwnd = self._window if self.answers else 10.0 * MTU
        self._threshold = self._window
        self._inflight = 0
        self._number = 0
        self._recover = 0
        self._lost: deque[tuple[int, int]] = deque()
        self._heard = 0.0
        self._credit = 0.0
        self._unacked: list[Packet] = []
        self._held = 0
        self._highest = 0
        self._asked: dict[int, float] = {}
        self.waits: list[float] = []

    # The sender.

    @property
    def packet_size(self) -> int:
        """Bytes of the packets it makes now."""
        if self.answers:
            return ACK_BYTES
        if not self._offload:
            return MTU
        most = int(min(self._cwnd, self._window)) // WINDOW_SHARE
        return max(SMALLEST, min(most, LARGEST) // MTU) * MTU

    @property
    def sendable(self) -> int:
        """Packets that it may send now."""
        open_for = min(self._cwnd, self._window) - self._inflight if self.tcp else self._credit
        return max(0, int(open_for // self.packet_size))

    def pace(self, time: float) -> None:
        """Let UDP send what its rate allows in ``time`` ns."""
        self._credit = min(self._credit + self.rate * time, LARGE_BATCH)

    def send(self, size: int) -> Packet:
        """The next packet, on its way from now on."""
        self._number += 1
        self.offered += size
        if self.tcp:
            if self._inflight == 0:
                self._heard = self._env.now
            self._inflight += size
        else:
            self._credit -= size
        if self.answers:
            self._asked[self._number] = self._env.now
        packet = Packet(self, size, self._number)
        packet.born = self._env.now
        return packet

    def lose(self, packet: Packet) -> None:
        """A queue had no room for a packet. A lost acknowledgement goes with the next."""
        if packet.is_ack:
            self._held += packet.covers
            return
        self.dropped += packet.size
        if self.tcp:
            self._lost.append((packet.number, packet.size))

    def acknowledged(self, ack: Packet) -> None:
        """The sender learns what has arrived, and what was lost before that."""
        noticed = self._forget_lost(ack.number)
        self._inflight -= ack.covers
        self._heard = self._env.now
        if ack.number in self._asked:
            self.waits.append(self._env.now - self._asked.pop(ack.number))
        if noticed:
            if ack.number > self._recover:
                self._threshold = max(self._cwnd / 2.0, 2.0 * MTU)
                self._cwnd = self._threshold
                self._recover = self._number
        elif self._cwnd < self._threshold:
            self._cwnd += ack.covers
        else:
            self._cwnd += MTU * ack.covers / self._cwnd
        self._cwnd = min(self._cwnd, self._window)

    def time_out(self) -> None:
        """Start anew if nothing was heard for too long."""
        if self._inflight > 0 and self._env.now - self._heard > self._rto:
            self._forget_lost(self._number)
            self._threshold = max(self._cwnd / 2.0, 2.0 * MTU)
            self._cwnd = 2.0 * MTU
            self._recover = self._number
            self._heard = self._env.now

    def _forget_lost(self, upto: int) -> bool:
        """Take out of flight what was lost up to a packet's number; whether there was any."""
        before = len(self._lost)
        while self._lost and self._lost[0][0] <= upto:
            self._inflight -= self._lost.popleft()[1]
        return len(self._lost) < before

    # The receiver.

    def receive(self, packet: Packet) -> Packet | None:
        """A packet of data has arrived; an acknowledgement if it is due."""
        if not self.tcp:
            return None
        self._unacked.append(packet)
        return self.acknowledge() if len(self._unacked) >= self._every else None

    def acknowledge(self) -> Packet | None:
        """An acknowledgement of what has none yet, at the end of a burst or of a long silence."""
        covers = self._held + sum(packet.size for packet in self._unacked)
        if covers == 0:
            return None
        self._highest = max((packet.number for packet in self._unacked), default=self._highest)
        self._held, self._unacked = 0, []
        return Packet(self, ACK_BYTES, self._highest, covers=covers)

    @property
    def owes_ack(self) -> bool:
        """Whether an acknowledgement was lost and none followed for some time."""
        return self._held > 0 and self._env.now - self._heard > QUIET
