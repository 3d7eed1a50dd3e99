"""First-in first-out queues of segments, in a fixed space, limited in ring slots."""

from envs.sim.compiled import compiled
from envs.sim.state import ACK, DATA, SEGMENTS, Segment, State

PAGE = 4096
ACK_BYTES = 66
MERGE = 64
"""Packets that a segment holds at most, so that a batch is a few segments."""
BATCH_BYTES = 262144.0
"""Bytes of one activation: more than 64 packets of the wire's size, or four of the largest."""


@compiled
def slots_each(kind: int, packets: int, size: int) -> int:
    """Ring slots of a packet: one, or for a packet above a page one a page and two more."""
    if kind == ACK or size <= PAGE * packets:
        return 1
    return (size // packets + PAGE - 1) // PAGE + 2


@compiled
def slots_of(kind: int, packets: int, size: int) -> int:
    """Ring slots of packets of ``size`` bytes in all."""
    return packets * slots_each(kind, packets, size)


@compiled
def pages(packets: int, size: float) -> float:
    """Pages that packets of ``size`` bytes in all take, a grant or descriptor each."""
    return max(float(packets), size / PAGE)


@compiled
def room(s: State, q: int, kind: int, size: int) -> int:
    """How many packets of ``size`` bytes each still fit."""
    queue = s.queue[q]
    free, each = max(0, queue.limit - queue.slots), slots_of(kind, 1, size)
    return free if each == 1 else free // each


@compiled
def head(s: State, q: int, k: int) -> Segment:
    """The k-th segment from the head; the queue must have that many."""
    at = q * SEGMENTS + ((s.queue[q].head + k) & (SEGMENTS - 1))
    return s.segment[at]


@compiled
def share(s: State, part: Segment, most: int, free: float) -> int:
    """Packets of a segment to handle with a batch that takes ``most`` more, and ``free`` bytes.

    Large packets go a few at a time, so that the next stage of the path works on the first while
    this one works on the second, as it does on a host.
    """
    count = min(part.packets, most)
    if s.offload and part.kind == DATA:
        count = min(count, int(free) // (part.size // part.packets))
    return count


@compiled
def bytes_of(part: Segment, count: int) -> float:
    """Bytes of the first ``count`` packets of a segment."""
    if part.kind == ACK:
        return float(count * ACK_BYTES)
    return float(part.size) if count == part.packets else part.size * count / part.packets


@compiled
def push(  # noqa: PLR0913, PLR0917 - a segment has that many properties
    s: State,
    q: int,
    flow: int,
    kind: int,
    packets: int,
    size: int,
    core: int,
    born: float,
    core_clock: float,
    llc_clock: float,
) -> None:
    """Append packets at the tail, to the last segment if that is of the same sort.

    The caller has made sure that there is room.
    """
    queue = s.queue[q]
    if queue.segments > 0:
        last = head(s, q, queue.segments - 1)
        same = last.flow == flow and last.kind == kind and last.core == core
        alike = kind == ACK or last.size * packets == size * last.packets
        if (same and alike and last.packets + packets <= MERGE) or queue.segments == SEGMENTS:
            total = last.packets + packets
            last.born += (born - last.born) * packets / total
            last.packets = total
            last.size += size
            last.core_clock = core_clock
            last.llc_clock = llc_clock
            queue.packets += packets
            queue.slots += slots_of(kind, packets, size)
            return
    append(s, q, flow, kind, packets, size, core, born, core_clock, llc_clock)


@compiled
def append(  # noqa: PLR0913, PLR0917 - likewise
    s: State,
    q: int,
    flow: int,
    kind: int,
    packets: int,
    size: int,
    core: int,
    born: float,
    core_clock: float,
    llc_clock: float,
) -> None:
    """Append packets at the tail as a segment of their own, which there must be room for."""
    queue = s.queue[q]
    if queue.segments == 0:
        queue.head = 0
    queue.packets += packets
    queue.slots += slots_of(kind, packets, size)
    queue.segments += 1
    last = head(s, q, queue.segments - 1)
    last.flow = flow
    last.kind = kind
    last.packets = packets
    last.size = size
    last.core = core
    last.born = born
    last.core_clock = core_clock
    last.llc_clock = llc_clock


@compiled
def split(s: State, q: int, packets: int) -> int:
    """Size in bytes of the first ``packets`` of the head segment, at most what it holds."""
    first = head(s, q, 0)
    if packets >= first.packets:
        return first.size
    return first.size * packets // first.packets


@compiled
def drop_head(s: State, q: int, packets: int, size: int) -> None:
    """Take ``packets`` of ``size`` bytes (as ``split`` gave) off the head segment."""
    queue, first = s.queue[q], head(s, q, 0)
    queue.packets -= packets
    queue.slots -= packets * slots_each(first.kind, first.packets, first.size)
    if packets == first.packets:
        queue.head = (queue.head + 1) & (SEGMENTS - 1)
        queue.segments -= 1
    else:
        first.packets -= packets
        first.size -= size
