"""What a backend does: take packets from the NIC, deliver to guests, collect from guests.

Forwarding is packet by packet; copying is by the batch, in which one hypercall or wake-up serves
all, and which takes effect as a whole.
"""

from collections.abc import Sequence
from typing import Protocol

from envs.reference.bridge import Bridge
from envs.reference.guest import stack_cost
from envs.reference.machine import Machine, Port
from envs.reference.nic import Ring
from envs.reference.packets import LARGE_BATCH, Packet
from envs.reference.processor import Core, Steps, Vcpu


class Duty(Protocol):
    """One kind of work of a VCPU."""

    def ready(self) -> bool:
        """Whether there is any."""
        ...

    def act(self, me: Vcpu) -> Steps:
        """Do one activation's worth."""
        ...


class FromNic:
    """Driver and bridge, for what is in the NIC's ring, until it is empty or a batch is done."""

    def __init__(self, machine: Machine, bridge: Bridge, ring: Ring) -> None:
        self._machine = machine
        self._bridge = bridge
        self._ring = ring

    def ready(self) -> bool:
        """Whether it is to be looked at."""
        return self._ring.watched

    def act(self, me: Vcpu) -> Steps:
        """One poll of the driver."""
        machine, costs, ring = self._machine, self._machine.costs, self._ring
        share = machine.vary()
        handled = size = 0
        told: dict[Vcpu | None, None] = {}
        while len(ring) and handled < machine.scenario.driver_domain.batch:
            packet = ring.head
            handled, size = handled + 1, size + packet.size
            if handled > 1 and size > LARGE_BATCH:
                break
            cost = packet.frames * costs.nic_packet + machine.bridge_cost
            cost += me.core.read(packet.frames * costs.header_bytes, packet.place)
            yield from me.run(share * cost)
            told[self._bridge.forward(ring.pop(), me)] = None
        self._machine.notify_all(me, told)
        if not len(ring):
            ring.interrupted = False


class Deliver:
    """From the vifs' queues into the guests' rings: here the host's last queue ends."""

    def __init__(self, machine: Machine, ports: Sequence[Port]) -> None:
        self._machine = machine
        self._ports = ports
        self._batch = machine.scenario.driver_domain.batch
        self._stack_too = machine.scenario.driver_domain.kind == "relays"
        self._flips = machine.scenario.driver_domain.flips

    def ready(self) -> bool:
        """Whether a packet waits that its ring has room for."""
        return any(len(p.queue) and p.queue.head.slots <= p.rx_ring.free for p in self._ports)

    def act(self, me: Vcpu) -> Steps:
        """A batch of each vif, in one hypercall."""
        batches = [(port, self._fitting(port)) for port in self._ports]
        cost = self._machine.costs.backend_batch
        cost += sum(self._cost(packet, me.core) for _, packets in batches for packet in packets)
        yield from me.run(self._machine.vary() * cost)
        for port, packets in batches:
            for packet in packets:
                port.queue.pop()
                self._hand_over(packet, port, me.core)
            if packets:
                self._machine.notify(me, port.guest)

    def _fitting(self, port: Port) -> list[Packet]:
        free, fitting = port.rx_ring.free, []
        for packet in port.queue.batch(self._batch):
            free -= packet.slots
            if free < 0:
                break
            fitting.append(packet)
        return fitting

    def _cost(self, packet: Packet, core: Core) -> float:
        """Bookkeeping, a grant a page, and the copy into the guest's memory if it is one."""
        costs = self._machine.costs
        cost = costs.backend_packet + packet.pages * costs.backend_page
        touched = min(packet.size, costs.header_bytes) if self._flips else packet.size
        cost += packet.size * costs.backend_byte + core.read(touched, packet.place)
        if self._stack_too:
            cost += stack_cost(costs, packet)
        return cost

    def _hand_over(self, packet: Packet, port: Port, core: Core) -> None:
        if not self._flips:
            packet.place = core.caches.here()
        port.rx_ring.push(packet)
        port.inward.add(packet.size)
        packet.flow.delivered += 0 if packet.is_ack else packet.size
        self._machine.latencies.append(self._machine.env.now - packet.born)


class Collect:
    """From the guests' transmit rings onto the bridge, and through the NIC if they leave."""

    def __init__(self, machine: Machine, bridge: Bridge, ports: Sequence[Port]) -> None:
        self._machine = machine
        self._bridge = bridge
        self._ports = ports

    def ready(self) -> bool:
        """Whether a guest has sent something."""
        return any(len(port.tx_ring) for port in self._ports)

    def act(self, me: Vcpu) -> Steps:
        """A batch of each vif: one hypercall, then packet by packet."""
        machine = self._machine
        share = machine.vary()
        batches = [(p, p.tx_ring.batch(machine.scenario.driver_domain.batch)) for p in self._ports]
        yield from me.run(share * machine.costs.backend_batch)
        told: dict[Vcpu | None, None] = {}
        for port, packets in batches:
            guest_may_wait = 2 * port.tx_ring.slots > port.tx_ring.limit
            for packet in packets:
                yield from me.run(share * self._cost(packet, me.core))
                port.tx_ring.pop()
                port.outward.add(packet.size)
                if machine.scenario.driver_domain.copies_transmit:
                    packet.place = me.core.caches.here()
                told[self._bridge.forward(packet, me)] = None
            if packets and guest_may_wait:
                machine.notify(me, port.guest)
        machine.notify_all(me, told)

    def _cost(self, packet: Packet, core: Core) -> float:
        """Mapping or copying, the bridge, and the NIC's driver."""
        costs, touched = self._machine.costs, float(packet.size)
        cost = costs.backend_packet + self._machine.bridge_cost + packet.pages * costs.backend_page
        if self._machine.scenario.driver_domain.copies_transmit:
            cost += packet.size * costs.backend_byte
        else:
            touched = min(touched, costs.header_bytes)
        if self._bridge.target(packet) is None:
            cost += packet.frames * costs.nic_packet
        return cost + core.read(touched, packet.place)
