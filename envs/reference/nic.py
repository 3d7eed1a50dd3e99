"""The uplink: a wire each way, a receive ring, and interrupts that come no faster than they may.

Between an interrupt and the moment at which its ring is found empty, the driver polls the ring
(Linux's NAPI); what arrives then causes no interrupt.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from simpy import Event

from envs.reference.machine import Count, Machine
from envs.reference.memory import Place
from envs.reference.packets import MTU, Packet, Queue
from envs.reference.processor import Steps, Vcpu
from envs.reference.scheduler import MICRO
from envs.reference.traffic import Flow

OVERHEAD = 38
"""Bytes of preamble, header, checksum and gap that each frame has on the wire."""
UPLINK_QUEUE = 1000
"""Packets that wait for the uplink (Linux's default for an Ethernet device)."""


class Ring(Queue):
    """Receive descriptors, and the VCPU whose interrupt they raise."""

    def __init__(self, limit: int, worker: Vcpu) -> None:
        super().__init__(limit)
        self.worker = worker
        self.interrupted = False

    @property
    def watched(self) -> bool:
        """Whether its worker looks into it: polling, or since an interrupt until it is empty."""
        return self.interrupted or (self.worker.core.polled and len(self) > 0)


class Nic:
    """Both wires, and what is outside: senders, receivers, and the time to get there and back."""

    def __init__(
        self, machine: Machine, rings: Mapping[int, Ring], flows: Sequence[Flow], dma: Place | None
    ) -> None:
        link = machine.scenario.uplink
        self.inward, self.outward = Count(), Count()
        self.queue = Queue(UPLINK_QUEUE)
        self.rings = rings
        self._machine = machine
        self._env = machine.env
        self._flows = [flow for flow in flows if flow.source is None]
        self._dma = dma
        self._byte = 8.0 / link.gbps if link.gbps else 0.0
        self._rtt = link.rtt_us * MICRO
        self._moderation = link.moderation_us * MICRO
        self._returning: deque[Packet] = deque()
        self._waiting: set[Flow] = set()
        self._to_send, self._to_receive, self._to_interrupt = (self._env.event() for _ in range(3))
        for process in (self._transmit(), self._receive(), self._interrupt()):
            self._env.process(process)
        for flow in self._flows:
            if not flow.tcp:
                self._env.process(self._pace(flow))

    def leave(self, packet: Packet) -> None:
        """Queue a packet for the wire out of the host, or drop it."""
        if len(self.queue) >= self.queue.limit:
            self.outward.drops += 1
            packet.flow.lose(packet)
            return
        self.queue.push(packet)
        _rouse(self._to_send)

    def more_to_receive(self) -> None:
        """An outside sender may send again."""
        _rouse(self._to_receive)

    def _time(self, packet: Packet) -> float:
        return self._byte * (packet.size + OVERHEAD * packet.frames)

    def _transmit(self) -> Steps:
        while True:
            if not len(self.queue):
                self._to_send = self._env.event()
                yield self._to_send
            packet = self.queue.head
            if self._byte:
                yield self._env.timeout(self._time(packet))
            self.queue.pop()
            self.outward.add(packet.size)
            flow = packet.flow
            if packet.is_ack:
                self.answer(packet)
                continue
            flow.delivered += packet.size
            ack = flow.receive(packet)
            if ack is not None:
                self.answer(ack)
            elif flow.tcp and not len(self.queue):
                self._acknowledge_soon(flow)

    def _acknowledge_soon(self, flow: Flow) -> None:
        """The outside's NIC moderates too: it waits so long for a packet to acknowledge with."""

        def answer(_: Event) -> None:
            self._waiting.discard(flow)
            ack = flow.acknowledge()
            if ack is not None:
                self.answer(ack)

        if flow not in self._waiting:
            self._waiting.add(flow)
            self._env.timeout(self._moderation).callbacks.append(answer)

    def answer(self, ack: Packet) -> None:
        """The outside acknowledges: the sender there or in a guest knows a round trip later."""

        def arrive(_: Event) -> None:
            if ack.flow.source is None:
                ack.flow.acknowledged(ack)
            else:
                ack.place = None
                self._returning.append(ack)
            self.more_to_receive()

        self._env.timeout(self._rtt).callbacks.append(arrive)

    def _receive(self) -> Steps:
        while True:
            packet = self._next()
            if packet is None:
                self._to_receive = self._env.event()
                yield self._to_receive
                continue
            if self._byte:
                yield self._env.timeout(self._time(packet))
            self._arrive(packet)

    def _next(self) -> Packet | None:
        """Acknowledgements for guests first, then the outside senders in turn."""
        if self._returning:
            return self._returning.popleft()
        for _ in self._flows:
            flow = self._flows.pop(0)
            self._flows.append(flow)
            if flow.sendable > 0:
                return flow.send(flow.packet_size)
        return None

    def _arrive(self, packet: Packet) -> None:
        """Put a packet into the ring of its vif; without a free descriptor it is lost."""
        vif = packet.flow.source if packet.is_ack else packet.flow.sink
        ring = self.rings[vif if vif is not None else 0]
        self.inward.add(packet.size)
        if len(ring) >= ring.limit:
            self.inward.drops += 1
            packet.flow.lose(packet)
            return
        packet.born = self._env.now
        if self._dma is not None:
            shared = self._dma.caches.shared
            shared.fill(packet.size)
            packet.place = self._dma._replace(shared=shared.count)
        ring.push(packet)
        if ring.worker.core.polled:
            self._machine.scheduler.wake(ring.worker)
        elif not ring.interrupted:
            _rouse(self._to_interrupt)

    def _interrupt(self) -> Steps:
        while True:
            yield self._to_interrupt
            for ring in dict.fromkeys(self.rings.values()):
                if len(ring) and not ring.watched:
                    ring.interrupted = True
                    if self._machine.scheduler.wake(ring.worker):
                        ring.worker.debt += self._machine.costs.nic_interrupt
            yield self._env.timeout(self._moderation)
            self._to_interrupt = self._env.event()
            if any(len(ring) and not ring.watched for ring in self.rings.values()):
                _rouse(self._to_interrupt)

    def _pace(self, flow: Flow) -> Steps:
        """A fixed rate outside: a packet at a time."""
        gap = MTU / flow.rate
        yield self._env.timeout(self._machine.random.uniform(0.0, gap))
        while True:
            flow.pace(gap)
            self.more_to_receive()
            yield self._env.timeout(gap)


def _rouse(event: Event) -> None:
    if not event.triggered:
        event.succeed()
