"""What a backend does: take packets from the NIC, deliver to guests, collect from guests.

Each duty is three functions: how many packets there are to handle now, what handling them costs,
and what it changes when it is done.
"""

import math

from numba import njit

from envs.sim import bridge, cache, fifo, nic, traffic
from envs.sim.notify import notify
from envs.sim.state import ACK, DATA, LATENCIES, State

OCTAVE = 4.0
"""Latency classes in a doubling."""


@njit(cache=True)
def nic_work(s: State, me: int, c: int, vif: int) -> int:
    """Packets in the NIC's ring, at most a batch."""
    q = s.vif[vif].nic_queue
    if s.queue[q].packets == 0:
        return 0
    first = fifo.head(s, q, 0)
    return bridge.burst(s, me, c, first.flow, first.kind, min(s.batch, s.queue[q].packets))


@njit(cache=True)
def nic_cost(s: State, c: int, vif: int, packets: int) -> float:
    """Driver and bridge, and the headers' way from the NIC into the cache."""
    q = s.vif[vif].nic_queue
    cost, k = 0.0, 0
    while packets > 0:
        part = fifo.head(s, q, k)
        count = min(packets, part.packets)
        wires = count if part.kind == ACK else nic.wire_packets(s, part.size // part.packets)
        wires = count * wires if part.kind == DATA else count
        cost += wires * s.nic_packet + count * s.bridge
        headers = wires * s.header_bytes
        cost += cache.read(s, c, headers, part.core, part.core_clock, part.llc_clock)
        cache.fill(s, c, headers)
        packets -= count
        k += 1
    return cost


@njit(cache=True)
def nic_done(s: State, me: int, vif: int, packets: int) -> None:
    """Forward, and rouse the backends that have got something to deliver."""
    _rouse(s, me, bridge.forward(s, s.vif[vif].nic_queue, packets))


@njit(cache=True)
def _rouse(s: State, me: int, reached: int) -> None:
    if reached >> 62 & 1:
        nic.arm(s)
    for vif in range(s.vifs):
        if reached >> vif & 1:
            notify(s, me, s.vif[vif].deliverer)


@njit(cache=True)
def deliver_work(s: State, vif: int) -> int:
    """Packets in a vif's queue for which the ring has room, at most a batch."""
    q = s.vif[vif].queue
    if s.queue[q].packets == 0:
        return 0
    first = fifo.head(s, q, 0)
    space = fifo.room(s, s.vif[vif].rx_ring, first.kind, first.size // first.packets)
    return min(min(space, first.packets), s.batch)


@njit(cache=True)
def deliver_cost(s: State, c: int, vif: int, packets: int) -> float:
    """Grants and descriptors, and the copy into the guest's memory."""
    part = fifo.head(s, s.vif[vif].queue, 0)
    size = float(fifo.split(s, s.vif[vif].queue, packets))
    if part.kind == ACK:
        size = float(packets * traffic.ACK_BYTES)
    cost = s.backend_batch + packets * s.backend_packet + size * s.backend_byte
    cost += cache.read(s, c, size, part.core, part.core_clock, part.llc_clock)
    cache.fill(s, c, size)
    if s.runs_guest_stack:
        cost += packets * (s.ack_packet if part.kind == ACK else s.stack_packet)
    return cost


@njit(cache=True)
def deliver_done(s: State, me: int, c: int, vif: int, packets: int) -> None:
    """Put the packets into the ring: here the host's last queue ends. Tell the guest."""
    port = s.vif[vif]
    first = fifo.head(s, port.queue, 0)
    size = fifo.split(s, port.queue, packets)
    llc = cache.llc_clock(s, s.core[c].llc)
    f, kind = first.flow, first.kind
    fifo.push(s, port.rx_ring, f, kind, packets, size, c, first.born, s.core[c].touched, llc)
    _clock(s, s.now - first.born, packets)
    fifo.drop_head(s, port.queue, packets, size)
    port.in_packets += packets
    if kind == ACK:
        port.in_bytes += packets * traffic.ACK_BYTES
    else:
        port.in_bytes += size
        s.flow[f].delivered += size
    notify(s, me, port.receiver)


@njit(cache=True)
def _clock(s: State, delay: float, packets: int) -> None:
    """Count a delay in its class, a quarter of a doubling wide from one microsecond on."""
    at = int(OCTAVE * math.log2(max(1.0, delay * 1e-3)))
    s.latency[min(at, LATENCIES - 1)] += packets


@njit(cache=True)
def collect_work(s: State, me: int, c: int, vif: int) -> int:
    """Packets in a guest's transmit ring, at most a batch."""
    q = s.vif[vif].tx_ring
    if s.queue[q].packets == 0:
        return 0
    first = fifo.head(s, q, 0)
    return bridge.burst(s, me, c, first.flow, first.kind, min(first.packets, s.batch))


@njit(cache=True)
def collect_cost(s: State, c: int, vif: int, packets: int) -> float:
    """Mapping or copying the guest's packets, the bridge, and the NIC if they leave."""
    q = s.vif[vif].tx_ring
    part = fifo.head(s, q, 0)
    size = packets * traffic.ACK_BYTES if part.kind == ACK else fifo.split(s, q, packets)
    read = size if s.copies_transmit else min(size, int(packets * s.header_bytes))
    cost = s.backend_batch + packets * (s.backend_packet + s.bridge)
    cost += cache.read(s, c, float(read), part.core, part.core_clock, part.llc_clock)
    cache.fill(s, c, float(read))
    if s.copies_transmit:
        cost += size * s.backend_byte
    if bridge.destination(s, part.flow, part.kind) < 0:
        cost += packets * nic.wire_packets(s, size // packets) * s.nic_packet
    return cost


@njit(cache=True)
def collect_done(s: State, me: int, c: int, vif: int, packets: int) -> None:
    """Forward, and tell a guest that waited for room in its ring."""
    port = s.vif[vif]
    ring, first = s.queue[port.tx_ring], fifo.head(s, port.tx_ring, 0)
    was_full = 2 * ring.slots > ring.limit
    port.out_packets += packets
    if first.kind == ACK:
        port.out_bytes += packets * traffic.ACK_BYTES
    else:
        port.out_bytes += fifo.split(s, port.tx_ring, packets)
    if s.copies_transmit:
        first.core = c
        first.core_clock = s.core[c].touched
        first.llc_clock = cache.llc_clock(s, s.core[c].llc)
    _rouse(s, me, bridge.forward(s, port.tx_ring, packets))
    if was_full:
        notify(s, me, port.receiver)
