"""What a backend does: take packets from the NIC, deliver to guests, collect from guests.

Each duty is three functions: how many packets there are to handle now, what handling them costs,
and what it changes when it is done.
"""

import math

from envs.sim import bridge, cache, fifo, nic, traffic
from envs.sim.compiled import compiled, lowest
from envs.sim.notify import notify
from envs.sim.state import ACK, LATENCIES, State, Vcpu

STEPS = 4
"""Latency classes in a doubling."""


@compiled
def nic_work(s: State, me: int, c: int, vif: int) -> int:
    """Packets in the NIC's ring, at most a batch."""
    q = s.vif[vif].nic_queue
    if s.queue[q].packets == 0:
        return 0
    first = fifo.head(s, q, 0)
    return bridge.burst(s, me, c, first.flow, first.kind, fifo.batch(s, q, s.batch))


@compiled
def nic_cost(s: State, c: int, vif: int, packets: int) -> float:
    """Driver and bridge, and the headers' way from the NIC into the cache."""
    q = s.vif[vif].nic_queue
    cost, k = 0.0, 0
    while packets > 0:
        part = fifo.head(s, q, k)
        count = min(packets, part.packets)
        wires = max(float(count), _bytes(part.kind, count, part.size, part.packets) / s.mtu)
        cost += wires * s.nic_packet + count * s.bridge
        headers = wires * s.header_bytes
        cost += cache.read(s, c, headers, part.core, part.core_clock, part.llc_clock)
        cache.fill(s, c, headers)
        packets -= count
        k += 1
    return cost


@compiled
def nic_done(s: State, me: int, vif: int, packets: int) -> None:
    """Forward, and rouse the backends that have got something to deliver."""
    _rouse(s, me, bridge.forward(s, s.vif[vif].nic_queue, packets))


@compiled
def _rouse(s: State, me: int, reached: int) -> None:
    if reached >> 62 & 1:
        nic.arm(s)
    vifs = reached & ~(1 << 62)
    while vifs:
        notify(s, me, s.vif[lowest(vifs)].deliverer)
        vifs &= vifs - 1


@compiled
def deliver_work(s: State, v: Vcpu, vifs: int) -> int:
    """Packets in the vifs' queues for which the rings have room, at most a batch each."""
    n, left = 0, vifs & s.arrived
    v.serving = 0
    while left:
        vif = lowest(left)
        left &= left - 1
        packets = _deliverable(s, vif)
        if packets > 0:
            s.vif[vif].delivering = packets
            v.serving |= 1 << vif
            n += packets
    return n


@compiled
def _deliverable(s: State, vif: int) -> int:
    port = s.vif[vif]
    queue, ring = s.queue[port.queue], s.queue[port.rx_ring]
    free, n = ring.limit - ring.slots, 0
    most = fifo.batch(s, port.queue, s.batch)
    for k in range(queue.segments):
        part = fifo.head(s, port.queue, k)
        count = min(part.packets, most - n)
        slots = fifo.slots_of(part.kind, part.packets, part.size)
        if slots * count > free * part.packets:
            return n + free * part.packets // slots
        n += count
        free -= slots * count // part.packets
        if n == most:
            break
    return n


@compiled
def deliver_cost(s: State, v: Vcpu, c: int) -> float:
    """One hypercall for all, and for each packet its grants and the copy to the guest's memory."""
    cost, left = s.backend_batch, v.serving
    while left:
        vif = lowest(left)
        left &= left - 1
        cost += _deliver_cost(s, c, vif, s.vif[vif].delivering)
    return cost


@compiled
def _deliver_cost(s: State, c: int, vif: int, packets: int) -> float:
    cost, k = packets * s.backend_packet, 0
    while packets > 0:
        part = fifo.head(s, s.vif[vif].queue, k)
        count = min(packets, part.packets)
        size = _bytes(part.kind, count, part.size, part.packets)
        cost += size * s.backend_byte + fifo.pages(count, size) * s.backend_page
        cost += cache.read(s, c, size, part.core, part.core_clock, part.llc_clock)
        cache.fill(s, c, size)
        if s.runs_guest_stack:
            cost += count * (s.ack_packet if part.kind == ACK else s.stack_packet)
        packets -= count
        k += 1
    return cost


@compiled
def _bytes(kind: int, count: int, size: int, packets: int) -> float:
    """Bytes of ``count`` out of ``packets`` packets of ``size`` bytes in all."""
    if kind == ACK:
        return float(count * traffic.ACK_BYTES)
    return float(size) if count == packets else size * count / packets


@compiled
def deliver_done(s: State, me: int, c: int) -> None:
    """Put the packets into the rings: here the host's last queue ends. Tell the guests."""
    left = s.vcpu[me].serving
    while left:
        vif = lowest(left)
        left &= left - 1
        _delivered(s, me, c, vif, s.vif[vif].delivering)


@compiled
def _delivered(s: State, me: int, c: int, vif: int, packets: int) -> None:
    port = s.vif[vif]
    clock = cache.llc_clock(s, s.core[c].llc)
    port.in_packets += packets
    while packets > 0:
        first = fifo.head(s, port.queue, 0)
        count = min(packets, first.packets)
        size, f, kind = fifo.split(s, port.queue, count), first.flow, first.kind
        born = first.born
        fifo.drop_head(s, port.queue, count, size)
        fifo.push(s, port.rx_ring, f, kind, count, size, c, born, s.core[c].touched, clock)
        _clock(s, s.now - born, count)
        if kind == ACK:
            port.in_bytes += count * traffic.ACK_BYTES
        else:
            port.in_bytes += size
            s.flow[f].delivered += size
        packets -= count
    if s.queue[port.queue].packets == 0:
        s.arrived &= ~(1 << vif)
    notify(s, me, port.receiver)


@compiled
def _clock(s: State, delay: float, packets: int) -> None:
    """Count a delay in its class: each doubling from 1 us on has ``STEPS`` of equal width."""
    mantissa, doublings = math.frexp(max(1.0, delay * 1e-3))
    at = STEPS * (doublings - 1) + int(STEPS * (2.0 * mantissa - 1.0))
    s.latency[min(at, LATENCIES - 1)] += packets


@compiled
def collect_work(s: State, me: int, c: int, vifs: int) -> int:
    """Packets in the guests' transmit rings, at most a batch each."""
    n, left = 0, vifs & s.sent
    s.vcpu[me].serving = left
    while left:
        vif = lowest(left)
        left &= left - 1
        s.vif[vif].collecting = _collectable(s, me, c, vif)
        n += s.vif[vif].collecting
    return n


@compiled
def _collectable(s: State, me: int, c: int, vif: int) -> int:
    q, n = s.vif[vif].tx_ring, 0
    most = fifo.batch(s, q, s.batch)
    for k in range(s.queue[q].segments):
        part = fifo.head(s, q, k)
        count = min(part.packets, most - n)
        step = bridge.burst(s, me, c, part.flow, part.kind, count)
        n += step
        if step < part.packets or n == most:
            break
    return n


@compiled
def collect_cost(s: State, v: Vcpu, c: int) -> float:
    """Mapping or copying the guests' packets, the bridge, and the NIC if they leave."""
    cost, left = s.backend_batch, v.serving
    while left:
        vif = lowest(left)
        left &= left - 1
        cost += _collect_cost(s, c, vif, s.vif[vif].collecting)
    return cost


@compiled
def _collect_cost(s: State, c: int, vif: int, packets: int) -> float:
    q, k = s.vif[vif].tx_ring, 0
    cost = packets * (s.backend_packet + s.bridge)
    while packets > 0:
        part = fifo.head(s, q, k)
        count = min(packets, part.packets)
        size = _bytes(part.kind, count, part.size, part.packets)
        touched = size
        cost += fifo.pages(count, size) * s.backend_page
        if s.copies_transmit:
            cost += size * s.backend_byte
        else:
            touched = min(size, count * s.header_bytes)
        cost += cache.read(s, c, touched, part.core, part.core_clock, part.llc_clock)
        cache.fill(s, c, touched)
        if bridge.destination(s, part.flow, part.kind) < 0:
            cost += max(float(count), size / s.mtu) * s.nic_packet
        packets -= count
        k += 1
    return cost


@compiled
def collect_done(s: State, me: int, c: int) -> None:
    """Forward, and tell guests that waited for room in their rings."""
    left = s.vcpu[me].serving
    while left:
        vif = lowest(left)
        left &= left - 1
        _collected(s, me, c, vif, s.vif[vif].collecting)


@compiled
def _collected(s: State, me: int, c: int, vif: int, packets: int) -> None:
    port = s.vif[vif]
    ring = s.queue[port.tx_ring]
    was_full = 2 * ring.slots > ring.limit
    port.out_packets += packets
    left, k = packets, 0
    while left > 0:
        part = fifo.head(s, port.tx_ring, k)
        count = min(left, part.packets)
        port.out_bytes += int(_bytes(part.kind, count, part.size, part.packets))
        if s.copies_transmit:
            part.core = c
            part.core_clock = s.core[c].touched
            part.llc_clock = cache.llc_clock(s, s.core[c].llc)
        left -= count
        k += 1
    _rouse(s, me, bridge.forward(s, port.tx_ring, packets))
    if ring.packets == 0:
        s.sent &= ~(1 << vif)
    if was_full:
        notify(s, me, port.receiver)
