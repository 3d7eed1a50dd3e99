"""The uplink: a wire each way that no more than its rate passes, and a NIC that moderates.

The wire is looked at once an interrupt interval. What it had time to carry since then arrives or
leaves, and the driver domain is interrupted if it was not at work already.
"""

from envs.sim import cache, fifo, scheduler, traffic
from envs.sim.compiled import compiled
from envs.sim.state import ACK, DATA, IN_MEMORY, State

WIRE_OVERHEAD = 38
"""Bytes that each packet of the wire takes besides itself: preamble, header, checksum, gap."""
FOREVER = 1e18
CHUNK = 32


@compiled
def wire_time(s: State, packets: int, size: int) -> float:
    """Nanoseconds that packets of ``size`` bytes in all take on the wire."""
    return s.wire * (size + WIRE_OVERHEAD * max(float(packets), size / s.mtu))


@compiled
def arm(s: State) -> None:
    """Look at the wire one interval from now, if nothing else is due before."""
    if s.next_wire >= FOREVER:
        s.next_wire = s.now + s.moderation
        s.last_wire = s.now


@compiled
def turn(s: State) -> None:
    """One interval of the wire: leave, arrive, and interrupt."""
    since = s.last_wire
    s.last_wire = s.now
    _leave(s, since)
    woken = _arrive(s, since)
    woken |= _returned(s)
    for vif in range(s.vifs):
        if woken >> vif & 1:
            worker = s.vif[vif].deliverer  # whose interrupt it is: it follows the backend
            polled = s.core[s.vcpu[worker].core].polled
            if scheduler.wake(s, worker) and not polled:
                s.vcpu[worker].debt += s.nic_interrupt
    s.next_wire = s.now + s.moderation if _pending(s) else FOREVER


@compiled
def _pending(s: State) -> bool:
    if s.queue[s.uplink_queue].segments > 0:
        return True
    for f in range(s.flows):
        flow = s.flow[f]
        if s.queue[flow.line].segments > 0:
            return True
        if flow.source < 0 and (not flow.tcp or traffic.sendable(s, f, s.mtu) > 0):
            return True
    return False


@compiled
def _leave(s: State, since: float) -> None:
    """Packets that the wire had time to take out of the host."""
    q = s.uplink_queue
    s.out_clock = max(s.out_clock, since)
    while s.queue[q].segments > 0:
        first = fifo.head(s, q, 0)
        size = first.packets * fifo.ACK_BYTES if first.kind == ACK else first.size
        each = wire_time(s, 1, size // first.packets)
        count = first.packets
        if each > 0.0:
            count = min(count, int((s.now - s.out_clock) / each))
        if count == 0:
            break
        s.out_clock += each * count
        part = fifo.split(s, q, count)
        f, kind = first.flow, first.kind
        fifo.drop_head(s, q, count, part)
        s.up_out_packets += count
        if kind == ACK:
            s.up_out_bytes += fifo.ACK_BYTES * count
            traffic.return_outside(s, f, count, part)
        else:
            s.up_out_bytes += part
            s.flow[f].delivered += part
            if s.flow[f].tcp:
                acks = traffic.acks_for(s, count)
                traffic.return_outside(s, f, acks, part + traffic.take_held(s, f))


@compiled
def _arrive(s: State, since: float) -> int:
    """Packets that outside senders had time to put on the wire; the vifs that they are for.

    The senders take turns. What becomes sendable only now is left to the next interval.
    """
    s.in_clock = max(s.in_clock, since)
    for k in range(s.flows):
        if s.flow[k].source < 0 and not s.flow[k].tcp:
            traffic.pace(s, k, s.now - since)
    woken, idle, f = 0, 0, s.turn
    least = wire_time(s, 1, s.mtu)
    while idle < s.flows and s.now - s.in_clock >= least:
        f = f + 1 if f + 1 < s.flows else 0
        flow = s.flow[f]
        idle += 1
        if flow.source >= 0:
            continue
        size = traffic.packet_size(s, f)
        count = min(CHUNK, traffic.sendable(s, f, size))
        each = wire_time(s, 1, size)
        if each > 0.0:
            count = min(count, int((s.now - s.in_clock) / each))
        if count <= 0:
            continue
        idle = 0
        s.in_clock += each * count
        traffic.sent(s, f, count * size)
        woken |= _into_ring(s, f, DATA, count, count * size, flow.sink)
    s.turn = f
    return woken


@compiled
def _returned(s: State) -> int:
    """Acknowledgements whose round trip is over: to outside senders, or in towards a guest."""
    woken = 0
    for f in range(s.flows):
        line = s.flow[f].line
        while s.queue[line].segments > 0 and fifo.head(s, line, 0).born <= s.now:
            first = fifo.head(s, line, 0)
            packets, size = first.packets, first.size
            fifo.drop_head(s, line, packets, size)
            if s.flow[f].source < 0:
                traffic.acknowledged(s, f, size)
            else:
                s.in_clock += wire_time(s, packets, packets * fifo.ACK_BYTES)
                woken |= _into_ring(s, f, ACK, packets, size, s.flow[f].source)
    return woken


@compiled
def _into_ring(s: State, f: int, kind: int, packets: int, size: int, vif: int) -> int:
    """Put packets into the NIC's receive ring; what finds no descriptor is dropped."""
    s.up_in_packets += packets
    s.up_in_bytes += packets * fifo.ACK_BYTES if kind == ACK else size
    q = s.vif[vif].nic_queue
    taken = min(packets, max(0, s.queue[q].limit - s.queue[q].packets))
    part = size if taken == packets else size * taken // packets
    if taken < packets:
        s.up_in_drops += packets - taken
        traffic.dropped(s, f, kind, size - part)
    if taken == 0:
        return 0
    clock = 0.0
    if s.dma_core != IN_MEMORY:
        llc = s.core[s.dma_core].llc
        s.llc[llc].touched += part
        clock = cache.llc_clock(s, llc)
    fifo.push(s, q, f, kind, taken, part, s.dma_core, s.now, -1e18, clock)
    return 1 << vif
