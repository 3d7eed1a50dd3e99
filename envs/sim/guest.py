"""What an I/O guest's VCPU does: receive from its ring, and send what its flows may send."""

from envs.sim import cache, fifo, traffic
from envs.sim.compiled import compiled
from envs.sim.notify import notify
from envs.sim.state import ACK, DATA, State

BATCH = 64
"""Packets of one activation: the NAPI weight of netfront and virtio-net."""


@compiled
def receive_work(s: State, vif: int) -> int:
    """Packets in the receive ring, at most a batch."""
    return fifo.batch(s, s.vif[vif].rx_ring, BATCH)


@compiled
def receive_cost(s: State, c: int, vif: int, packets: int) -> float:
    """Driver, stack and application; the copy to the application reads what the backend wrote."""
    q, k = s.vif[vif].rx_ring, 0
    cost = s.guest_batch
    while packets > 0:
        part = fifo.head(s, q, k)
        count = min(packets, part.packets)
        cost += count * s.front_packet
        if part.kind == ACK:
            cost += 0.0 if s.runs_guest_stack else count * s.ack_packet
        else:
            size = part.size * count / part.packets
            cost += count * s.app_packet + size * s.app_byte
            cost += fifo.pages(count, size) * s.front_page
            if not s.runs_guest_stack:
                cost += count * s.stack_packet
            cost += cache.read(s, c, size, part.core, part.core_clock, part.llc_clock)
            cache.fill(s, c, size)
        packets -= count
        k += 1
    return cost


@compiled
def receive_done(s: State, me: int, c: int, vif: int, packets: int) -> None:
    """Take the packets, acknowledge data, let acknowledgements open the senders' windows."""
    port = s.vif[vif]
    answered = False
    while packets > 0:
        first = fifo.head(s, port.rx_ring, 0)
        count = min(packets, first.packets)
        size, f, kind = fifo.split(s, port.rx_ring, count), first.flow, first.kind
        fifo.drop_head(s, port.rx_ring, count, size)
        if kind == ACK:
            traffic.acknowledged(s, f, size)
        elif s.flow[f].tcp:
            traffic.acknowledge_from(s, f, vif, traffic.acks_for(s, count), size, c)
            answered = True
        packets -= count
    if answered:
        notify(s, me, port.collector)
    if s.queue[port.queue].packets > 0:
        notify(s, me, port.deliverer)


@compiled
def send_work(s: State, f: int) -> int:
    """Packets that a flow may send and the ring has room for, at most a batch."""
    size = traffic.packet_size(s, f)
    most = traffic.sendable(s, f, size)
    if most == 0:
        return 0
    most = min(most, BATCH, max(1, fifo.BATCH_BYTES // size))
    return min(most, fifo.room(s, s.vif[s.flow[f].source].tx_ring, DATA, size))


@compiled
def send_cost(s: State, f: int, packets: int) -> float:
    """Application, stack and driver; the data copied is the application's own and warm."""
    size = packets * traffic.packet_size(s, f)
    each = s.front_packet + s.stack_packet + s.app_packet
    cost = s.guest_batch + packets * each + fifo.pages(packets, float(size)) * s.front_page
    return cost + size * (s.app_byte + s.copy_own)


@compiled
def send_done(s: State, me: int, c: int, f: int, packets: int) -> None:
    """Put the packets into the transmit ring and tell the backend."""
    port = s.vif[s.flow[f].source]
    size = traffic.packet_size(s, f)
    packets = min(packets, fifo.room(s, port.tx_ring, DATA, size))
    packets = min(packets, traffic.sendable(s, f, size))
    if packets > 0:
        cache.fill(s, c, float(packets * size))
        core = s.core[c]
        llc = cache.llc_clock(s, core.llc)
        fifo.push(s, port.tx_ring, f, DATA, packets, packets * size, c, s.now, core.touched, llc)
        s.sent |= 1 << s.flow[f].source
        traffic.sent(s, f, packets * size)
        notify(s, me, port.collector)
