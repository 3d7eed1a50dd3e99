"""The uplink: a wire each way that no more than its rate passes, and a NIC that moderates.

The wire is not followed packet by packet: now and then it is looked at, and what it had time to
carry by then arrives or has left. When something arrived, the driver domain is interrupted, if it
was not at work already, and the next look is an interrupt interval later, as nobody is told of
what comes before (a poller sees it sooner). Otherwise it is when something can arrive.
"""

from envs.sim import cache, fifo, scheduler, traffic
from envs.sim.compiled import compiled, lowest
from envs.sim.state import ACK, DATA, FOREVER, IN_MEMORY, NIC_RECEIVE, State

WIRE_OVERHEAD = 38
"""Bytes that each packet of the wire takes besides itself: preamble, header, checksum, gap."""
CHUNK = 32
POLLED = 20e3
"""Nanoseconds after which a worker that polls is shown what came: it needs no interrupt."""
SOON = 1e3
"""Nanoseconds that two looks are apart at least."""


@compiled
def wire_time(s: State, packets: int, size: int) -> float:
    """Nanoseconds that packets of ``size`` bytes in all take on the wire."""
    frames = float(packets) if size <= packets * s.mtu else size / s.mtu
    return s.wire * (size + WIRE_OVERHEAD * frames)


@compiled
def carried(packets: int, each: float, time: float) -> int:
    """How many of ``packets``, each of which takes ``each`` ns, a wire carries in ``time``."""
    return packets if each * packets <= time else int(time / each)


@compiled
def arm(s: State) -> None:
    """See to it that the wire is looked at, if there is anything to see."""
    if s.next_wire >= FOREVER:
        s.next_wire = _next_look(s)
        s.last_wire = s.now


@compiled
def turn(s: State) -> None:
    """A look at the wire: what has left, what has come, and an interrupt."""
    since = s.last_wire
    s.last_wire = s.now
    _leave(s)
    woken = _returned(s)
    woken |= _arrive(s, since)
    while woken:
        worker = s.vif[lowest(woken)].deliverer  # whose interrupt it is: it follows the backend
        woken &= woken - 1
        asleep = scheduler.wake(s, worker)
        if s.core[s.vcpu[worker].core].polled:
            s.next_interrupt = max(s.next_interrupt, s.now + min(s.moderation, POLLED))
        else:
            s.next_interrupt = s.now + s.moderation
            s.vcpu[worker].debt += s.nic_interrupt if asleep else 0.0
    s.next_wire = _next_look(s)


@compiled
def _next_look(s: State) -> float:
    """When the wire is to be looked at: when something can arrive and be told of."""
    soonest = FOREVER
    if s.queue[s.uplink_queue].segments > 0:
        soonest = s.now + min(s.moderation, s.rtt)
    least = wire_time(s, 1, s.mtu)
    for f in range(s.flows):
        flow = s.flow[f]
        if s.queue[flow.line].segments > 0:
            soonest = min(soonest, fifo.head(s, flow.line, 0).born + least)
        if flow.source < 0:
            size = traffic.packet_size(s, f)
            if traffic.allowance(s, f) >= size:
                free = max(s.in_clock, min(s.in_since, s.now))
                soonest = min(soonest, free + wire_time(s, 1, size))
            elif not flow.tcp:
                soonest = min(soonest, s.now + s.moderation)
    if soonest >= FOREVER:
        return FOREVER
    return max(soonest, s.next_interrupt, s.now + SOON)


@compiled
def _leave(s: State) -> None:
    """Packets that the wire had time to take out of the host, each as soon as it was there."""
    q = s.uplink_queue
    while s.queue[q].segments > 0:
        first = fifo.head(s, q, 0)
        size = fifo.ACK_BYTES * first.packets if first.kind == ACK else first.size
        each = wire_time(s, first.packets, size) / first.packets
        start = max(s.out_clock, first.born)
        count = carried(first.packets, each, s.now - start)
        if count == 0:
            break
        s.out_clock = start + each * count
        # Those that left together are answered together, in the middle of that time.
        answered = start + each * (count + 1) / 2.0 + s.rtt
        part = fifo.split(s, q, count)
        f, kind = first.flow, first.kind
        fifo.drop_head(s, q, count, part)
        s.up_out_packets += count
        if kind == ACK:
            s.up_out_bytes += fifo.ACK_BYTES * count
            traffic.return_outside(s, f, count, part, answered)
        else:
            s.up_out_bytes += part
            s.flow[f].delivered += part
            if s.flow[f].tcp:
                acks = traffic.acks_for(s, f, count)
                traffic.return_outside(s, f, acks, part + traffic.take_held(s, f), answered)


@compiled
def _arrive(s: State, since: float) -> int:
    """Packets that outside senders had time to put on the wire; the vifs that they are for.

    The senders take turns. ``in_since`` is when the first had something to send, if any has; what
    the wire had begun to carry at the last look goes on.
    """
    for k in range(s.flows):
        if s.flow[k].source < 0 and not s.flow[k].tcp:
            traffic.pace(s, k, s.now - since)
            s.in_since = min(s.in_since, since)
    if s.in_since >= FOREVER:
        return 0
    s.in_clock = max(s.in_clock, s.in_since)
    woken, idle, f = 0, 0, s.turn
    least = wire_time(s, 1, s.mtu)
    while s.now - s.in_clock >= least:
        f = f + 1 if f + 1 < s.flows else 0
        flow = s.flow[f]
        size, count = s.mtu, 0
        if flow.source < 0:
            size = traffic.packet_size(s, f)
            count = min(CHUNK, traffic.sendable(s, f, size))
        if count == 0:
            idle += 1
            if idle == s.flows:
                s.in_since = FOREVER
                break
            continue
        idle = 0
        each = wire_time(s, 1, size)
        count = carried(count, each, s.now - s.in_clock)
        if count == 0:  # a packet is on the wire, and not yet all of it
            f = f - 1 if f > 0 else s.flows - 1
            break
        arrived = s.in_clock + each * (count + 1) / 2.0
        traffic.sent(s, f, count * size, arrived - each)
        s.in_clock += each * count
        woken |= _into_ring(s, f, DATA, count, count * size, flow.sink, arrived)
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
            packets, size, born = first.packets, first.size, first.born
            fifo.drop_head(s, line, packets, size)
            if s.flow[f].source < 0:
                traffic.acknowledged(s, f, size, born)
                s.in_since = min(s.in_since, born)
            else:
                s.in_clock += wire_time(s, packets, packets * fifo.ACK_BYTES)
                woken |= _into_ring(s, f, ACK, packets, size, s.flow[f].source, born)
    return woken


@compiled
def _into_ring(
    s: State, f: int, kind: int, packets: int, size: int, vif: int, arrived: float
) -> int:
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
    fifo.push(s, q, f, kind, taken, part, s.dma_core, arrived, -1e18, clock)
    s.waiting[NIC_RECEIVE] |= 1 << vif
    return 1 << vif
