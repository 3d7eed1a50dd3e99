"""Senders and receivers of flows: TCP that backs off on loss, UDP at a fixed rate.

TCP here is Reno in bytes: slow start, additive increase, halving once a window on loss, and a
timeout when nothing comes back. Everything is clocked by what was really delivered.
"""

from envs.sim import fifo, latency, scheduler
from envs.sim.compiled import compiled
from envs.sim.state import ACK, COLLECT, CONNECTIONS, IN_MEMORY, SEGMENTS, Segment, State

LARGEST = 65536
"""Bytes of the largest packet that segmentation offload makes."""
WINDOW_SHARE = 3
"""Offload makes no packet above this part of the window (``tcp_tso_win_divisor``)."""
SMALLEST = 2
"""Offload makes no packet below so many of the wire's size (``tcp_min_tso_segs``)."""
PULSE = 250e3
"""Period (ns) of the timers: UDP's pace, lost acknowledgements, timeouts."""
QUIET = 1e6
"""After so long (ns) without acknowledgement, a receiver repeats a lost one."""
UDP_BURST = 262144.0


@compiled
def packet_size(s: State, f: int) -> int:
    """Bytes of the packets that flow ``f`` makes now."""
    flow = s.flow[f]
    if flow.answers:
        return fifo.ACK_BYTES
    if not s.offload or not flow.tcp:
        return s.mtu
    most = int(min(flow.cwnd, flow.window)) // WINDOW_SHARE
    return max(SMALLEST, min(most, LARGEST) // s.mtu) * s.mtu


@compiled
def allowance(s: State, f: int) -> int:
    """Bytes that flow ``f`` may send now; below 0 if its window shrank below what is under way."""
    flow = s.flow[f]
    return int(min(flow.cwnd, flow.window)) - flow.inflight if flow.tcp else int(flow.carry)


@compiled
def sendable(s: State, f: int, size: int) -> int:
    """Packets of ``size`` bytes that flow ``f`` may send now."""
    open_for = allowance(s, f)
    return open_for // size if open_for >= size else 0


@compiled
def sent(s: State, f: int, size: int, at: float) -> None:
    """Flow ``f`` put ``size`` bytes into the first queue of the host, or the wire, at ``at``."""
    flow = s.flow[f]
    flow.offered += size
    if flow.answers:
        for _ in range(size // fifo.ACK_BYTES):
            s.asked[f * CONNECTIONS + flow.asked % CONNECTIONS] = at
            flow.asked += 1
    if flow.tcp:
        if flow.inflight == 0:
            flow.last_ack = s.now
        flow.inflight += size
    else:
        flow.carry -= size


@compiled
def dropped(s: State, f: int, kind: int, size: int) -> None:
    """A queue had no room. A lost acknowledgement goes with the next one, as they add up."""
    flow = s.flow[f]
    if kind == ACK:
        flow.held += size
    else:
        flow.dropped += size
        if flow.tcp:
            flow.lost += size


@compiled
def acknowledged(s: State, f: int, size: int, at: float) -> None:
    """The sender of ``f`` learns, ``at`` a time, that ``size`` bytes arrived, and what was lost."""
    flow = s.flow[f]
    lost = flow.lost
    if flow.answers:
        _answered(s, f, size, at)
    flow.inflight -= size + lost
    flow.lost = 0
    flow.acked += size
    flow.last_ack = s.now
    if lost > 0:
        if flow.acked >= flow.recover:
            flow.threshold = max(flow.cwnd / 2.0, 2.0 * s.mtu)
            flow.cwnd = flow.threshold
            flow.recover = flow.acked + flow.inflight
    elif flow.cwnd < flow.threshold:
        flow.cwnd += size
    else:
        flow.cwnd += s.mtu * size / flow.cwnd
    flow.cwnd = min(flow.cwnd, flow.window)


@compiled
def _answered(s: State, f: int, size: int, at: float) -> None:
    """Requests are answered in the order in which they were sent; those before that were lost."""
    flow = s.flow[f]
    flow.done += flow.lost // fifo.ACK_BYTES
    for _ in range(size // fifo.ACK_BYTES):
        asked = s.asked[f * CONNECTIONS + flow.done % CONNECTIONS]
        s.answered[latency.class_of(at - asked)] += 1
        flow.done += 1


@compiled
def stack_cost(s: State, part: Segment) -> float:
    """What the network stack takes for a packet of a segment: an answer is more than an ack."""
    return s.ack_packet if part.kind == ACK and not s.flow[part.flow].answers else s.stack_packet


@compiled
def acks_for(s: State, f: int, packets: int) -> int:
    """Acknowledgements for packets received together: one for two, each large one or request."""
    return packets if s.offload or s.flow[f].answers else (packets + 1) // 2


@compiled
def take_held(s: State, f: int) -> int:
    """Bytes whose acknowledgement was lost, to go with the next."""
    held = s.flow[f].held
    s.flow[f].held = 0
    return held


@compiled
def return_outside(s: State, f: int, packets: int, size: int, due: float) -> None:
    """Put acknowledgements on the line between the outside and the host, until ``due``.

    They stay by themselves: one that is due does not wait for those that come later.
    """
    line = s.flow[f].line
    if s.queue[line].segments < SEGMENTS:
        fifo.append(s, line, f, ACK, packets, size, IN_MEMORY, due, 0.0, 0.0)
    else:
        fifo.push(s, line, f, ACK, packets, size, IN_MEMORY, due, 0.0, 0.0)


@compiled
def acknowledge_from(s: State, f: int, vif: int, packets: int, size: int, core: int) -> None:
    """The guest behind ``vif`` sends acknowledgements of ``size`` bytes, if its ring has room."""
    size += take_held(s, f)
    ring = s.vif[vif].tx_ring
    packets = min(packets, fifo.room(s, ring, ACK, fifo.ACK_BYTES))
    if packets == 0:
        s.flow[f].held = size
        return
    fifo.push(s, ring, f, ACK, packets, size, core, s.now, s.core[core].touched, 0.0)
    s.waiting[COLLECT] |= 1 << vif


@compiled
def pace(s: State, f: int, time: float) -> None:
    """Let UDP flow ``f`` send what its rate allows in ``time``."""
    s.flow[f].carry = min(s.flow[f].carry + s.flow[f].rate * time, UDP_BURST)


@compiled
def pulse(s: State) -> None:
    """Timers: pace UDP, repeat lost acknowledgements, and time out."""
    for f in range(s.flows):
        flow = s.flow[f]
        if not flow.tcp:
            if flow.source >= 0:
                pace(s, f, PULSE)
        elif flow.held > 0 and s.now - flow.last_ack > QUIET:
            if flow.sink < 0:
                return_outside(s, f, 1, take_held(s, f), s.now + s.rtt)
            else:
                acknowledge_from(s, f, flow.sink, 1, 0, s.vcpu[s.vif[flow.sink].receiver].core)
                scheduler.wake(s, s.vif[flow.sink].collector)
        elif flow.inflight > 0 and s.now - flow.last_ack > flow.rto:
            flow.threshold = max(flow.cwnd / 2.0, 2.0 * s.mtu)
            flow.cwnd = 2.0 * s.mtu
            flow.inflight -= flow.lost
            flow.done += flow.lost // fifo.ACK_BYTES if flow.answers else 0
            flow.lost = 0
            flow.recover = flow.acked + flow.inflight
            flow.last_ack = s.now
            s.in_since = min(s.in_since, s.now)
        if flow.source >= 0 and allowance(s, f) >= packet_size(s, f):
            scheduler.wake(s, s.vif[flow.source].receiver)
