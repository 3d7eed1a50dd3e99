"""The bridge: what forwards a packet to a vif's queue or to the uplink, and what drops it.

Its modes differ in the work they do for a packet (``State.bridge``), nothing else.
"""

from envs.sim import cache, fifo, nic, traffic
from envs.sim.compiled import compiled, lowest
from envs.sim.state import ACK, DELIVER, SEGMENTS, State


@compiled
def destination(s: State, f: int, kind: int) -> int:
    """The vif that a packet of flow ``f`` goes to; -1 is the uplink."""
    return s.flow[f].source if kind == ACK else s.flow[f].sink


@compiled
def room(s: State, vif: int) -> int:
    """Packets that the queue towards a guest still takes.

    Where the driver domain hands packets straight on while the ring has room, the ring's free
    slots come on top of the queue.
    """
    port = s.vif[vif]
    queue, ring = s.queue[port.queue], s.queue[port.rx_ring]
    most = queue.limit - queue.packets
    if s.through_ring:
        most += ring.limit - ring.slots
    return max(0, min(most, SEGMENTS - 1 - queue.segments))


@compiled
def burst(s: State, me: int, c: int, f: int, kind: int, packets: int) -> int:
    """How many of ``packets`` to forward in one activation.

    If the queue is emptied on another core at the same time, half of what it takes: who empties it
    is signalled then. A queue that is emptied on this core gets the whole batch before its turn.
    """
    vif = destination(s, f, kind)
    if vif < 0:
        return packets
    port = s.vif[vif]
    if port.deliverer == me or s.vcpu[port.deliverer].core == c:
        return packets
    most = s.queue[port.queue].limit
    if s.through_ring:
        most += s.queue[port.rx_ring].limit
    return min(packets, max(1, most // 2))


@compiled
def pressed(s: State, reached: int) -> int:
    """Those of a set that ``forward`` gave whose queue is half full or more, and the uplink."""
    left, most = reached & ~(1 << 62), reached & 1 << 62
    while left:
        vif = lowest(left)
        left &= left - 1
        queue, ring = s.queue[s.vif[vif].queue], s.queue[s.vif[vif].rx_ring]
        limit = queue.limit + (ring.limit if s.through_ring else 0)
        if 2 * room(s, vif) <= limit:
            most |= 1 << vif
    return most


@compiled
def forward(
    s: State, q: int, packets: int, copier: int, began: float, gap: float
) -> tuple[int, int]:
    """Move packets from the head of queue ``q`` to where they go, or drop them.

    If core ``copier`` copied them (-1: none did), they are in its caches now. They were forwarded
    one after the other at intervals ``gap`` since ``began``, and the uplink has been sending since.

    Gives the set of vifs that got some, with bit 62 for the uplink, and how many bytes it was.
    """
    reached, moved = 0, 0
    while packets > 0:
        first = fifo.head(s, q, 0)
        count = min(packets, first.packets)
        size = fifo.split(s, q, count)
        f, kind, vif = first.flow, first.kind, destination(s, first.flow, first.kind)
        if vif < 0:
            target, space = s.uplink_queue, s.queue[s.uplink_queue].limit
            space -= s.queue[s.uplink_queue].packets
            reached |= 1 << 62
        else:
            target, space = s.vif[vif].queue, room(s, vif)
            reached |= 1 << vif
            s.waiting[DELIVER] |= 1 << vif
        taken = min(count, max(0, space))
        part = size if taken == count else size * taken // count
        if taken > 0:
            core, clock, llc = first.core, first.core_clock, first.llc_clock
            if copier >= 0:
                core, clock = copier, s.core[copier].touched
                llc = cache.llc_clock(s, s.core[copier].llc)
            if vif < 0:
                born = _on_the_wire(s, began, gap, taken, part)
                fifo.append(s, target, f, kind, taken, part, core, born, clock, llc)
            else:
                fifo.push(s, target, f, kind, taken, part, core, first.born, clock, llc)
        if taken < count:
            traffic.dropped(s, f, kind, size - part)
            if vif < 0:
                s.up_out_drops += count - taken
            else:
                s.vif[vif].in_drops += count - taken
        fifo.drop_head(s, q, count, size)
        moved += count * fifo.ACK_BYTES if kind == ACK else size
        packets -= count
        began += gap * count
    return reached, moved


@compiled
def _on_the_wire(s: State, began: float, gap: float, packets: int, size: int) -> float:
    """When packets that come to the uplink at intervals ``gap`` leave, if nothing is before them.

    If they take longer on the wire than to come, it is when the first has come. If not, the wire
    waits for each; they are taken to leave in one piece then, in the middle of that time.
    """
    each = nic.wire_time(s, packets, size) / packets
    return began + gap + max(0.0, gap - each) * (packets - 1) / 2.0
