"""What an I/O guest's VCPU does: receive from its ring, and send what its flows may send."""

from envs.sim import cache, fifo, traffic
from envs.sim.compiled import compiled
from envs.sim.notify import notify
from envs.sim.state import ACK, COLLECT, DATA, GUEST_RECEIVE, State

BATCH = 64
"""Packets of one activation: the NAPI weight of netfront and virtio-net."""


@compiled
def receive(s: State, c: int, vif: int) -> tuple[int, float]:
    """Take packets from the ring, at most a batch: driver, stack and application.

    The copy to the application reads what the backend wrote.
    """
    q = s.vif[vif].rx_ring
    most = min(BATCH, s.queue[q].packets)
    n, k, cost, free = 0, 0, s.guest_batch, fifo.BATCH_BYTES
    while n < most:
        part = fifo.head(s, q, k)
        count = fifo.share(s, part, most - n, free)
        if s.flow[part.flow].answers:
            cost += count * _answer_cost(s, part.kind)
        elif part.kind == ACK:
            cost += 0.0 if s.runs_guest_stack else count * s.ack_packet
        else:
            size = fifo.bytes_of(part, count)
            cost += count * s.app_packet + size * s.app_byte
            cost += fifo.pages(count, size) * s.front_page
            if not s.runs_guest_stack:
                cost += count * s.stack_packet
            cost += cache.read(s, c, GUEST_RECEIVE, size, part)
            cache.fill(s, c, size)
            free -= size
        n += count
        if count < part.packets:
            break
        k += 1
    return n, cost + n * s.front_packet


@compiled
def _answer_cost(s: State, kind: int) -> float:
    """What stack and application take for a request, which is answered, or for an answer."""
    stacks, apps = (0.0, 1.0) if s.runs_guest_stack else (1.0, 1.0)
    if kind != ACK:
        stacks, apps = stacks + 1.0, apps + 1.0
    return stacks * s.stack_packet + apps * s.app_packet


@compiled
def received(s: State, me: int, c: int, vif: int, packets: int) -> None:
    """Take the packets, acknowledge data, let acknowledgements open the senders' windows."""
    port = s.vif[vif]
    answered = False
    while packets > 0:
        first = fifo.head(s, port.rx_ring, 0)
        count = min(packets, first.packets)
        size, f, kind = fifo.split(s, port.rx_ring, count), first.flow, first.kind
        fifo.drop_head(s, port.rx_ring, count, size)
        if kind == ACK:
            traffic.acknowledged(s, f, size, s.now)
        elif s.flow[f].tcp:
            traffic.acknowledge_from(s, f, vif, traffic.acks_for(s, f, count), size, c)
            answered = True
        packets -= count
    if s.queue[port.rx_ring].packets == 0:
        s.waiting[GUEST_RECEIVE] &= ~(1 << vif)
    if answered:
        notify(s, me, port.collector)
    if s.queue[port.queue].packets > 0:
        notify(s, me, port.deliverer)


@compiled
def send(s: State, f: int) -> tuple[int, float]:
    """Make packets that a flow may send and the ring has room for, at most a batch.

    Application, stack and driver; the data copied is the application's own and warm.
    """
    each = traffic.packet_size(s, f)
    n = traffic.sendable(s, f, each)
    if n == 0:
        return 0, 0.0
    n = min(n, BATCH, max(1, int(fifo.BATCH_BYTES) // each))
    n = min(n, fifo.room(s, s.vif[s.flow[f].source].tx_ring, DATA, each))
    size = float(n * each)
    cost = s.guest_batch + n * (s.front_packet + s.stack_packet + s.app_packet)
    cost += fifo.pages(n, size) * s.front_page + size * (s.app_byte + s.copy_own)
    return n, cost


@compiled
def sent(s: State, me: int, c: int, f: int, packets: int) -> None:
    """Put the packets into the transmit ring and tell the backend."""
    port = s.vif[s.flow[f].source]
    size = traffic.packet_size(s, f)
    packets = min(packets, fifo.room(s, port.tx_ring, DATA, size))
    if traffic.allowance(s, f) < packets * size:
        packets = traffic.sendable(s, f, size)
    if packets > 0:
        cache.fill(s, c, float(packets * size))
        core = s.core[c]
        llc = cache.llc_clock(s, core.llc)
        fifo.push(s, port.tx_ring, f, DATA, packets, packets * size, c, s.now, core.touched, llc)
        s.waiting[COLLECT] |= 1 << s.flow[f].source
        traffic.sent(s, f, packets * size, s.now)
        notify(s, me, port.collector)
