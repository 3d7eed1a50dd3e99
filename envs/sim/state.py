"""The state of a simulated host: one flat record, declared once for Numba and the type checker.

Each class below is a record of integers (64 bits), floats (64 bits) and arrays; ``layout`` makes
its NumPy type. The compiled functions receive one ``State`` and reach everything through it, so a
host is a single block of memory that is copied or reset at once. Times are nanoseconds, sizes
bytes, costs nanoseconds or nanoseconds a byte.

In compiled code an index of -1 means none.
"""

from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np

CORES, VCPUS, DOMAINS, VIFS, FLOWS = 62, 62, 62, 60, 62
"""Sets of them are signed integers of 64 bits, and bit 62 of a set of vifs may be the uplink."""
DUTIES = 2 * (4 * VIFS + FLOWS)
LLCS = CORES
SEGMENTS = 1024

QUEUES = 4 * VIFS + 1 + FLOWS
LATENCIES = 96
CONNECTIONS = 256


# States of a VCPU.
BLOCKED, RUNNABLE, RUNNING, PARKED = 0, 1, 2, 3
# Kinds of VCPU.
BACKEND, IO, COMPUTE = 0, 1, 2
# Priorities of the credit scheduler.
OVER, UNDER, BOOST = 1, 2, 3
# Schedulers, the two credit schedulers first.
CREDIT_2008, CREDIT, FAIR, CREDIT2 = 0, 1, 2, 3
# Duties of a VCPU.
NIC_RECEIVE, DELIVER, COLLECT, GUEST_RECEIVE, GUEST_SEND, DUTY_KINDS = 0, 1, 2, 3, 4, 5
# Stages of a packet's way: the duties, then signals (interrupts and notifications), then switches
# to each kind of VCPU.
SIGNALS, SWITCHES, STAGES = 5, 6, 9
# What a segment carries.
DATA, ACK = 0, 1
# Who touched a segment last, if no core did.
IN_MEMORY = -1
# A time that never comes.
FOREVER = 1e18


class Core:
    """A core and what runs on it.

    ``touched`` counts the bytes ever brought into its private cache, a clock for what is still
    there. Sets, a bit each: ``llc_peers`` and ``node_peers`` are the cores of its LLC domain and
    of its node, ``siblings`` the other threads of its physical core, ``queue`` the runnable VCPUs
    that wait here.
    """

    llc: int
    node: int
    llc_peers: int
    node_peers: int
    siblings: int
    polled: int
    run: int
    queue: int
    since: float
    started: float
    stopped: float
    touched: float
    busy: float
    switches: int


class Vcpu:
    """A VCPU of a guest, or a backend: who it is, its place in the scheduler, what it is doing.

    ``parked`` is whether its domain has used up its cap: it does not run then, and is in no queue.
    ``serving`` is the set of vifs of its present activation, a bit each, ``unfinished`` of those
    whose batch takes another, ``toward`` of those that packets go to. ``begun`` is when its present
    stretch of work began, and ``productive`` when switch and refill were over. ``left`` is what
    remains of a preempted activation. ``debt`` is time to be spent before the next activation (an
    interrupt taken).
    """

    kind: int
    domain: int
    affinity: int
    state: int
    core: int
    last_core: int
    first_duty: int
    duties: int
    next_duty: int
    duty: int
    packets: int
    serving: int
    unfinished: int
    toward: int
    # scheduling
    priority: int
    active: int
    parked: int
    credit: float
    vruntime: float
    order: int
    # time
    begun: float
    productive: float
    left: float
    debt: float
    cpu: float
    work: float
    # its state in the caches
    footprint: float
    core_clock: float
    llc_clock: float


class Domain:
    """A holder of a weight.

    ``cap`` is the most that it may use, in cores; 0 for all it can get. ``budget`` is what is left
    of that in the present period.
    """

    weight: float
    cap: float
    budget: float
    vcpus: int


class Llc:
    """A last-level cache. ``touched`` bytes came in until ``since``, and ``rate`` a ns from then.

    The rate is what the CPU-bound VCPUs that run in this domain stream through it.
    """

    touched: float
    rate: float
    since: float


class Segment:
    """Packets of one flow that travel together, and where they were last touched."""

    flow: int
    kind: int
    packets: int
    size: int
    core: int
    born: float
    core_clock: float
    llc_clock: float


class Queue:
    """A first-in first-out queue of segments, limited in slots."""

    head: int
    segments: int
    packets: int
    slots: int
    limit: int


class Vif:
    """A guest's interface: its queues, who serves it, and its counters (``in`` to the guest).

    ``delivering`` and ``collecting`` are the packets in the backend's present activation, ``rest``
    those of the batch that come in a later one; ``ring_was_full`` is whether, as the batch began,
    the transmit ring was so full that its guest may wait for room.
    """

    queue: int
    rx_ring: int
    tx_ring: int
    nic_queue: int
    receiver: int
    deliverer: int
    collector: int
    delivering: int
    collecting: int
    rest: int
    ring_was_full: int
    in_bytes: int
    in_packets: int
    in_drops: int
    out_bytes: int
    out_packets: int


class Flow:
    """A flow and the state of its sender and receiver.

    ``source`` and ``sink`` are vifs, -1 the outside. ``held`` bytes were received, but their
    acknowledgement was lost and goes with the next. ``carry`` is what UDP may send by now.
    ``answers`` is whether its packets are requests and its acknowledgements the answers; ``asked``
    and ``done`` count those that were sent, and answered or lost.
    """

    tcp: int
    answers: int
    asked: int
    done: int
    source: int
    sink: int
    line: int
    window: float
    rate: float
    rto: float
    cwnd: float
    threshold: float
    inflight: int
    lost: int
    acked: int
    recover: int
    held: int
    carry: float
    last_ack: float
    # conservation, in bytes of data
    offered: int
    delivered: int
    dropped: int


class Duty:
    """One kind of work that a VCPU looks for in turn, for vif or flow ``item``.

    A backend delivers to and collects from all of ``vifs``, a bit each, in one activation: 2007's
    tasklets from every vif, a thread from its own. The duties of a VCPU stand in the table twice,
    so that from any of them on the next ones are in a row.
    """

    kind: int
    item: int
    vifs: int


class Stage:
    """What a stage of a packet's way took: processor time, and lines from outside the LLC."""

    time: float
    misses: float


class State:
    """A whole host. Constants first, then what changes, then the counters.

    ``waiting`` holds, for each kind of duty, the set of vifs for which there is such work, a bit
    each (of flows for sending, and all of them: only a look at the window tells). More such sets:
    ``dirty``, ``running``, ``working``, ``queued`` and ``polled`` are the cores that have to choose
    anew, that run a VCPU, on which an activation or a CPU-bound VCPU's protection ends (at
    ``until``), in whose queue a VCPU waits, and that poll. ``coming`` is the set of vifs that
    packets go to which are being handled, and perhaps of more.

    Of the wire: ``in_clock`` and ``out_clock`` are until when it is taken, ``in_since`` is when
    the first outside sender could send that still can (never, if none can), ``next_interrupt`` is
    when the NIC may interrupt again.
    """

    version: int
    # how much there is
    cores: int
    vcpus: int
    domains: int
    vifs: int
    flows: int
    queues: int
    # scheduler
    scheduler: int
    tick: float
    slice: float
    account: float
    ratelimit: float
    wake: float
    switch: float
    heaviest: float
    # uplink
    wire: float
    rtt: float
    moderation: float
    dma_core: int
    uplink_queue: int
    # path
    batch: int
    mtu: int
    smt: int
    offload: int
    through_ring: int
    copies_transmit: int
    flips: int
    runs_guest_stack: int
    always_signals: int
    smt_share: float
    # costs, see envs.scenario.costs
    nic_packet: float
    nic_interrupt: float
    bridge: float
    backend_packet: float
    backend_page: float
    backend_byte: float
    backend_batch: float
    header_bytes: float
    front_packet: float
    front_page: float
    stack_packet: float
    ack_packet: float
    app_packet: float
    app_byte: float
    guest_batch: float
    jitter: float
    notify_send: float
    notify_receive: float
    ipi: float
    poll: float
    copy_own: float
    copy_llc: float
    copy_across: float
    copy_remote: float
    copy_memory: float
    neighbour_rate: float
    private_bytes: float
    llc_bytes: float
    # clocks
    now: float
    next_tick: float
    tick_core: int
    next_account: float
    next_pulse: float
    next_wire: float
    last_wire: float
    next_interrupt: float
    in_clock: float
    in_since: float
    out_clock: float
    turn: int
    order: int
    random: int
    dirty: int
    running: int
    working: int
    queued: int
    polled: int
    coming: int
    # counters of the uplink and of the whole host
    up_in_bytes: int
    up_in_packets: int
    up_in_drops: int
    up_out_bytes: int
    up_out_packets: int
    up_out_drops: int
    events: int
    # tables
    until: Annotated[list[float], CORES]
    waiting: Annotated[list[int], DUTY_KINDS]
    latency: Annotated[list[int], LATENCIES]
    answered: Annotated[list[int], LATENCIES]
    stage: "Annotated[list[Stage], STAGES]"
    core: "Annotated[list[Core], CORES]"
    llc: "Annotated[list[Llc], LLCS]"
    vcpu: "Annotated[list[Vcpu], VCPUS]"
    domain: "Annotated[list[Domain], DOMAINS]"
    vif: "Annotated[list[Vif], VIFS]"
    flow: "Annotated[list[Flow], FLOWS]"
    duty: "Annotated[list[Duty], DUTIES]"
    queue: "Annotated[list[Queue], QUEUES]"
    # last, and left as they are by a reset: nothing is read from them that was not written before
    asked: Annotated[list[float], FLOWS * CONNECTIONS]
    segment: "Annotated[list[Segment], QUEUES * SEGMENTS]"


def layout(kind: type) -> np.dtype[np.void]:
    """The NumPy type of a record class: its annotations, in order.

    One of a table takes a power of two of bytes, so that finding the k-th is a shift.
    """
    fields: list[tuple[str, object] | tuple[str, object, tuple[int]]] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is Annotated:
            items, length = get_args(hint)
            fields.append((name, _scalar(get_args(items)[0]), (length,)))
        else:
            fields.append((name, _scalar(hint)))
    filler = (1 << (len(fields) - 1).bit_length()) - len(fields)
    if filler and kind is not State:
        fields.append(("filler", "f8", (filler,)))
    return np.dtype(fields, align=True)


def _scalar(hint: type) -> object:
    return {int: "i8", float: "f8"}.get(hint) or layout(hint)


STATE = layout(State)
"""The NumPy type of a host's state."""
