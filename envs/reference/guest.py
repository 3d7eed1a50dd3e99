"""What an I/O guest's VCPU does: receive from its ring, and send what its flows may send."""

from envs.reference.machine import Machine, Port
from envs.reference.packets import LARGE_BATCH, Packet
from envs.reference.processor import Core, Steps, Vcpu
from envs.reference.traffic import Flow
from envs.scenario import Costs

BATCH = 64
"""Packets of one activation: the NAPI weight of netfront and virtio-net."""


class Receive:
    """Driver, stack and application, for what is in the receive ring."""

    def __init__(self, machine: Machine, port: Port) -> None:
        self._machine = machine
        self._port = port
        self._stack_ran = machine.scenario.driver_domain.kind == "relays"

    def ready(self) -> bool:
        """Whether something has arrived."""
        return len(self._port.rx_ring) > 0

    def act(self, me: Vcpu) -> Steps:
        """Handle a batch; then acknowledge, and let the backend use the slots again."""
        packets = self._port.rx_ring.batch(BATCH)
        cost = self._machine.costs.guest_batch
        cost += sum(self._cost(packet, me.core) for packet in packets)
        yield from me.run(self._machine.vary() * cost)
        answered = False
        for packet in packets:
            self._port.rx_ring.pop()
            if packet.is_ack:
                packet.flow.acknowledged(packet)
            else:
                answered |= self._answer(packet.flow.receive(packet), me.core)
        for flow in {packet.flow for packet in packets if not packet.is_ack}:
            answered |= self._answer(flow.acknowledge(), me.core)
        if answered:
            self._machine.notify(me, self._port.collector)
        if len(self._port.queue):
            self._machine.notify(me, self._port.deliverer)

    def _answer(self, ack: Packet | None, core: Core) -> bool:
        """Send an acknowledgement if there is one; whether it is on its way."""
        if ack is not None:
            send_ack(self._machine, self._port, ack, core)
        return ack is not None

    def _cost(self, packet: Packet, core: Core) -> float:
        """The copy to the application reads what the backend wrote."""
        costs = self._machine.costs
        cost = costs.front_packet + (0.0 if self._stack_ran else stack_cost(costs, packet))
        if packet.flow.answers:
            answer = 0.0 if packet.is_ack else costs.app_packet + costs.stack_packet
            return cost + costs.app_packet + answer
        if packet.is_ack:
            return cost
        cost += packet.pages * costs.front_page + costs.app_packet + packet.size * costs.app_byte
        return cost + core.read(packet.size, packet.place)


class Send:
    """Application, stack and driver, for what a flow may send and its ring has room for."""

    def __init__(self, machine: Machine, port: Port, flow: Flow) -> None:
        self._machine = machine
        self._port = port
        self._flow = flow

    def ready(self) -> bool:
        """Whether it may send."""
        return self._count() > 0

    def act(self, me: Vcpu) -> Steps:
        """Make a batch of packets and ring the bell once."""
        costs, count, size = self._machine.costs, self._count(), self._flow.packet_size
        # The data is the application's own and warm.
        each = costs.front_packet + costs.stack_packet + costs.app_packet
        each += max(1.0, size / 4096) * costs.front_page
        each += size * (costs.app_byte + costs.copy_own)
        yield from me.run(self._machine.vary() * (costs.guest_batch + count * each))
        for _ in range(count):
            packet = self._flow.send(size)
            me.core.caches.fill(size)
            packet.place = me.core.caches.here()
            self._port.tx_ring.push(packet)
        self._machine.notify(me, self._port.collector)

    def _count(self) -> int:
        size = self._flow.packet_size
        most = min(self._flow.sendable, BATCH, max(1, LARGE_BATCH // size))
        slots = Packet(self._flow, size, 0).slots
        return min(most, self._port.tx_ring.free // slots)


def stack_cost(costs: Costs, packet: Packet) -> float:
    """What the network stack takes for a packet: an answer is more than an acknowledgement."""
    return costs.ack_packet if packet.is_ack and not packet.flow.answers else costs.stack_packet


def send_ack(machine: Machine, port: Port, ack: Packet, core: Core) -> None:
    """A guest acknowledges, if its ring has room; if not, the next one does it too."""
    if port.tx_ring.free < ack.slots:
        ack.flow.lose(ack)
        return
    ack.born = machine.env.now
    ack.place = core.caches.here()
    port.tx_ring.push(ack)
