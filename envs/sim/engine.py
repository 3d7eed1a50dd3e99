"""The event loop: from one activation to the next, never from packet to packet.

An event is the end of an activation on a core (a batch of packets handled), a look at the wire, a
tick or an accounting of the scheduler, or a pulse of the timers. What an activation costs is
known when it starts; what it changes happens when it ends. A preempted one is finished later.
"""

from collections.abc import Callable, Sequence
from typing import cast

from envs.sim import backend, credit, credit2, guest, nic, scheduler, traffic
from envs.sim.compiled import compiled, digest, kept, lowest
from envs.sim.state import (
    COLLECT,
    COMPUTE,
    CREDIT,
    CREDIT2,
    CREDIT_2008,
    DELIVER,
    FAIR,
    FOREVER,
    GUEST_RECEIVE,
    NIC_RECEIVE,
    OVER,
    SIGNALS,
    State,
)


def _entry(version: int) -> Callable[[Sequence[State], float], None]:
    """The compiled entry point; ``version`` is there to be part of it (see ``compiled``)."""

    @kept
    def run(states: Sequence[State], end: float) -> None:
        states[0].version = version
        _run(states[0], end)

    return cast("Callable[[Sequence[State], float], None]", run)


@compiled
def _run(s: State, end: float) -> None:
    while True:
        c, at = _next(s)
        if at > end:
            break
        s.now = at
        s.events += 1
        if c >= 0:
            c = _finish(s, c)
        elif at == s.next_wire:
            nic.turn(s)
        elif at == s.next_pulse:
            traffic.pulse(s)
            nic.arm(s)
            s.next_pulse += traffic.PULSE
        elif at == s.next_tick:
            _tick(s)
        else:
            _account(s)
        _dispatch(s, c)
    s.now = end
    for k in range(s.cores):
        scheduler.charge(s, k)


@compiled
def _next(s: State) -> tuple[int, float]:
    """The next event: its time, and its core if an activation ends there (else -1)."""
    c, at = -1, min(s.next_tick, s.next_account, s.next_pulse, s.next_wire)
    left = s.working
    while left:
        k = lowest(left)
        left &= left - 1
        if s.until[k] < at:
            c, at = k, s.until[k]
    return c, at


@compiled
def _dispatch(s: State, c: int) -> None:
    """Let core ``c`` go on (-1: none is to), and every core choose that has a reason to.

    One choice may be another's reason.
    """
    at = s.now
    while True:
        if c >= 0:
            _begin(s, c, at)
        if s.dirty == 0:
            return
        c = lowest(s.dirty)
        s.dirty &= s.dirty - 1
        c, at = _choose(s, c)


@compiled
def _account(s: State) -> None:
    if s.scheduler == CREDIT2:
        credit2.account(s)
    elif s.scheduler <= CREDIT:
        credit.account(s)
    for i in range(s.vcpus):
        scheduler.obey_cap(s, i)
    s.next_account += s.account


@compiled
def _choose(s: State, c: int) -> tuple[int, float]:
    """Decide who runs on core ``c`` now. Gives the core (else -1) and when it begins to work."""
    core = s.core[c]
    if core.run >= 0:
        waiting = scheduler.first(s, c, c)
        if core.polled or waiting < 0:
            return -1, 0.0
        loser = core.run
        patience = scheduler.protected(s, waiting, loser)
        if patience > 0.0:
            _look_again(s, c, patience)
            return -1, 0.0
        scheduler.preempt(s, c)
        refuge = scheduler.find_idle(s, s.vcpu[loser].affinity, c)
        if refuge >= 0:
            scheduler.mark(s, refuge)
    i = scheduler.first(s, c, c)
    if not core.polled and (i < 0 or (s.scheduler != FAIR and s.vcpu[i].priority == OVER)):
        stolen = scheduler.steal(s, c, s.vcpu[i].priority if i >= 0 else 0)
        if stolen >= 0:
            i = stolen
    if i < 0:
        return -1, 0.0
    at = scheduler.start(s, i, c)
    v = s.vcpu[i]
    if v.kind == COMPUTE:
        return -1, at
    s.working |= 1 << c
    if v.left > 0.0:
        s.until[c] = at + v.left
        v.left = 0.0
        return -1, at
    return c, at


@compiled
def _look_again(s: State, c: int, patience: float) -> None:
    """Let core ``c`` choose again when who runs there has had its minimum run.

    One that handles packets needs no timer for that: its activations end soon.
    """
    if patience < FOREVER and s.vcpu[s.core[c].run].kind == COMPUTE:
        s.until[c] = s.now + patience
        s.working |= 1 << c


@compiled
def _begin(s: State, c: int, at: float) -> None:
    """Start the next activation on core ``c`` at ``at``, or block its VCPU for want of work."""
    i = s.core[c].run
    v = s.vcpu[i]
    if at <= s.now:
        v.begun = s.now
    for duty in range(v.next_duty, v.next_duty + v.duties):
        kind, vifs = s.duty[duty].kind, s.duty[duty].vifs
        if kind == DELIVER and vifs & s.coming:
            backend.catch_up(s, vifs)
        if vifs & s.waiting[kind] == 0:
            continue
        n, cost = _batch(s, i, c, kind, s.duty[duty].item, vifs)
        if n > 0:
            v.duty, v.packets = duty, n
            v.next_duty = duty + 1 if duty + 1 < v.first_duty + v.duties else duty + 1 - v.duties
            if v.unfinished:
                v.next_duty = duty
            cost *= scheduler.vary(s)
            if s.smt:
                cost /= scheduler.speed(s, c)
            s.until[c] = at + v.debt + cost
            s.stage[kind].time += cost
            s.stage[SIGNALS].time += v.debt
            v.debt = 0.0
            return
    v.packets = 0
    if at > s.now:
        s.until[c] = at  # it was woken for nothing, and still pays for the switch
    else:
        scheduler.block(s, c)


@compiled
def _batch(s: State, i: int, c: int, kind: int, item: int, vifs: int) -> tuple[int, float]:
    """How many packets VCPU ``i`` handles now in a duty, and what that costs."""
    if kind == NIC_RECEIVE:
        return backend.receive(s, i, c, item)
    if kind == DELIVER:
        return backend.deliver(s, s.vcpu[i], c, vifs)
    if kind == COLLECT:
        return backend.collect(s, i, c, vifs)
    if kind == GUEST_RECEIVE:
        return guest.receive(s, c, item)
    return guest.send(s, item)


@compiled
def _finish(s: State, c: int) -> int:
    """Let the activation on core ``c`` take effect. Gives the core if it is to go on, else -1."""
    i = s.core[c].run
    v = s.vcpu[i]
    if v.kind == COMPUTE:
        s.working &= ~(1 << c)
        scheduler.mark(s, c)
        return -1
    n, kind, item = v.packets, s.duty[v.duty].kind, s.duty[v.duty].item
    if n > 0:
        if kind == NIC_RECEIVE:
            backend.received(s, i, item, s.duty[v.duty].vifs, n)
        elif kind == DELIVER:
            backend.delivered(s, i, c)
        elif kind == COLLECT:
            backend.collected(s, i, c)
        elif kind == GUEST_RECEIVE:
            guest.received(s, i, c, item, n)
        else:
            guest.sent(s, i, c, item, n)
    if s.core[c].queue or (s.scheduler == CREDIT2 and credit2.waiting(s, c)):
        if s.core[c].polled:
            scheduler.preempt(s, c)
            scheduler.mark(s, c)
            return -1
        scheduler.mark(s, c)
    return c


@compiled
def _tick(s: State) -> None:
    """The tick of one core: debit, slice, and in Xen a move to where more is idle."""
    c = s.tick_core
    s.tick_core = (c + 1) % s.cores
    s.next_tick += s.tick / s.cores
    core = s.core[c]
    if core.polled or core.run < 0:
        return
    scheduler.charge(s, c)
    i = core.run
    if s.scheduler <= CREDIT:
        credit.tick(s, s.vcpu[i])
        target = _idler(s, i, c)
        if target >= 0:
            scheduler.preempt(s, c)
            scheduler.dequeue(s, i)
            scheduler.enqueue(s, i, target)
            scheduler.mark(s, c)
            scheduler.mark(s, target)
            return
    if _expired(s, c, i):
        scheduler.preempt(s, c)
        scheduler.mark(s, c)


@compiled
def _expired(s: State, c: int, i: int) -> bool:
    """Whether core ``c`` should choose anew between running ``i`` and those that wait.

    In Xen a slice is over after 30 ms; then an OVER one also looks for work elsewhere. The timer
    of the slice is the tick nearest to its end.
    """
    waiting = scheduler.first(s, c, c)
    if s.scheduler == FAIR:
        return waiting >= 0 and s.vcpu[waiting].vruntime < s.vcpu[i].vruntime
    if s.scheduler == CREDIT2:
        return waiting >= 0 and scheduler.protected(s, waiting, i) <= 0.0
    if s.now - s.core[c].started < s.slice - s.tick / 2.0:
        return False
    priority = s.vcpu[i].priority
    return waiting >= 0 or (priority == OVER and scheduler.steal(s, c, priority) >= 0)


@compiled
def _idler(s: State, i: int, c: int) -> int:
    """Where Xen moves a running VCPU at a tick: an idle core of a socket with more idle cores.

    In 2008 one more was enough; since, it takes twice as many.
    """
    idle = scheduler.idle(s)
    if idle & s.vcpu[i].affinity == 0:
        return -1
    best, here = -1, 1 + _idle_around(s, c)
    most = here if s.scheduler == CREDIT_2008 else 2 * here
    for k in range(1, s.cores):
        other = (c + k) % s.cores
        if (idle & s.vcpu[i].affinity) >> other & 1:
            found = _idle_around(s, other)
            if found > most:
                best, most = other, found
    return best


@compiled
def _idle_around(s: State, c: int) -> int:
    """How many cores of the node of core ``c`` are idle."""
    count, idle = 0, scheduler.idle(s) & s.core[c].node_peers
    while idle:
        count += 1
        idle &= idle - 1
    return count


run = _entry(digest())
"""``run(states, end)`` simulates ``states[0]`` until ``end`` (ns) and settles every account."""
