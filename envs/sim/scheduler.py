"""What every scheduler does: wake, choose, steal, switch. What differs is in credit and fair.

Nothing here starts work: a function that changes who should run on a core marks the core dirty,
and the engine then calls ``choose`` for it. That breaks the circle of a wake-up that starts work
that wakes others.
"""

from envs.sim import cache, credit, credit2, fair
from envs.sim.compiled import compiled, lowest
from envs.sim.state import (
    BLOCKED,
    COMPUTE,
    CREDIT2,
    CREDIT_2008,
    FAIR,
    FOREVER,
    PARKED,
    RUNNABLE,
    RUNNING,
    SWITCHES,
    State,
)


@compiled
def mark(s: State, c: int) -> None:
    """Core ``c`` has to choose anew."""
    s.dirty |= 1 << c


@compiled
def idle(s: State) -> int:
    """The set of cores that run nothing, await nothing and do not poll."""
    return ~(s.running | s.queued | s.polled) & ((1 << s.cores) - 1)


@compiled
def draw(s: State) -> int:
    """The next pseudo-random integer, of 31 bits: the upper ones of Knuth's MMIX generator."""
    s.random = s.random * 6364136223846793005 + 1442695040888963407
    return (s.random >> 33) & 0x7FFFFFFF


@compiled
def vary(s: State) -> float:
    """How much longer or shorter than on average this piece of work takes.

    Without that, VCPUs that hand work to each other fall into step and stay there for good.
    """
    return 1.0 + s.jitter * ((draw(s) & 2047) / 1024.0 - 1.0)


@compiled
def speed(s: State, c: int) -> float:
    """The share of a physical core's speed that core ``c`` has: less beside a busy sibling."""
    return s.smt_share if s.core[c].siblings & (s.running | s.polled) else 1.0


@compiled
def precedes(s: State, a: int, b: int) -> bool:
    """Whether VCPU ``a`` should run rather than ``b``, both waiting."""
    x, y = s.vcpu[a], s.vcpu[b]
    if s.scheduler == FAIR:
        if x.vruntime != y.vruntime:
            return x.vruntime < y.vruntime
    elif s.scheduler == CREDIT2:
        if x.credit != y.credit:
            return x.credit > y.credit
    elif x.priority != y.priority:
        return x.priority > y.priority
    return x.order < y.order


@compiled
def enqueue(s: State, i: int, c: int) -> None:
    """Put a VCPU at the tail of the queue of core ``c``."""
    v = s.vcpu[i]
    v.state = RUNNABLE
    v.core = c
    s.order += 1
    v.order = s.order
    s.core[c].queue |= 1 << i
    s.queued |= 1 << c


@compiled
def dequeue(s: State, i: int) -> None:
    """Take a VCPU out of the queue that it waits in."""
    c = s.vcpu[i].core
    s.core[c].queue &= ~(1 << i)
    if s.core[c].queue == 0:
        s.queued &= ~(1 << c)


@compiled
def first(s: State, c: int, core: int) -> int:
    """The VCPU that comes first in the queue of ``c`` and may run on ``core``; -1 if none.

    With credit2, all cores of a node have one queue.
    """
    queue, best = s.core[c].queue, -1
    if s.scheduler == CREDIT2 and c == core:
        queue = credit2.waiting(s, c)
    while queue:
        i = lowest(queue)
        queue &= queue - 1
        if s.vcpu[i].affinity >> core & 1 and (best < 0 or precedes(s, i, best)):
            best = i
    return best


@compiled
def steal(s: State, c: int, than: int) -> int:
    """A VCPU waiting elsewhere that may run on ``c`` and has a priority above ``than``.

    In 2008 the first peer that has one is taken, without looking at caches; since, peers of the
    same node come first, and with the fair scheduler those of the same LLC domain. Nobody takes
    from a core that is idle: it is about to take itself what was woken for it.
    """
    here, peers = s.core[c], s.queued & s.running & ~s.polled & ~(1 << c)
    if peers == 0:
        return -1
    if s.scheduler == CREDIT_2008:
        return _steal_from(s, c, peers, than)
    near = here.llc_peers if s.scheduler == FAIR else here.node_peers
    stolen = _steal_from(s, c, peers & near, than)
    return stolen if stolen >= 0 else _steal_from(s, c, peers & ~near, than)


@compiled
def _steal_from(s: State, c: int, peers: int, than: int) -> int:
    """The same among the cores ``peers``, from the one after ``c`` onwards."""
    later = peers >> c << c
    for side in (later, peers ^ later):
        left = side
        while left:
            i = first(s, lowest(left), c)
            left &= left - 1
            if i >= 0 and (s.scheduler == FAIR or s.vcpu[i].priority > than):
                return i
    return -1


@compiled
def find_idle(s: State, affinity: int, near: int) -> int:
    """An idle core among ``affinity``, or -1.

    Xen tickles idle cores and the first to come gets the VCPU: any of them, with credit2 any of the
    node of ``near``. The fair scheduler looks in the LLC domain of ``near`` first.
    """
    found = affinity & idle(s)
    if s.scheduler == CREDIT2:
        found &= s.core[near].node_peers
    if found == 0:
        return -1
    if s.scheduler == FAIR:
        beside = found & s.core[near].llc_peers
        if beside:
            return lowest(beside)
    start = draw(s) % s.cores
    later = found >> start << start
    return lowest(later if later != 0 else found)


@compiled
def wake(s: State, i: int) -> bool:
    """Make a blocked VCPU runnable; False if it was awake. Where it runs is chosen later."""
    v = s.vcpu[i]
    if v.state != BLOCKED:
        return False
    if v.parked:
        v.state = PARKED
        return True
    c = v.core
    if s.core[c].polled:
        enqueue(s, i, c)
        mark(s, c)
        return True
    if s.scheduler == FAIR:
        fair.on_wake(s, v)
    else:
        credit.on_wake(v)
    if idle(s) >> c & 1:
        enqueue(s, i, c)
        mark(s, c)
        return True
    other = find_idle(s, v.affinity, c)
    if s.scheduler == FAIR and other >= 0:
        enqueue(s, i, other)
        mark(s, other)
        return True
    enqueue(s, i, c)
    if s.scheduler == CREDIT2 and other < 0:
        c = credit2.weakest(s, v)
    if s.core[c].run >= 0 and protected(s, i, s.core[c].run) < FOREVER:
        mark(s, c)
    if other >= 0:
        mark(s, other)
    return True


@compiled
def protected(s: State, i: int, running: int) -> float:
    """Nanoseconds until waiting VCPU ``i`` may take the core of a running one; or for ever."""
    if s.scheduler == FAIR:
        return fair.protected(s, s.vcpu[i], s.vcpu[running])
    if s.scheduler == CREDIT2:
        return credit2.protected(s, s.vcpu[i], s.vcpu[running])
    return credit.protected(s, s.vcpu[i], s.vcpu[running])


@compiled
def charge(s: State, c: int) -> None:
    """Bill the time since the last charge to whoever runs on core ``c``."""
    core = s.core[c]
    if core.run < 0:
        return
    spent = s.now - core.since
    if spent <= 0.0:
        return
    v = s.vcpu[core.run]
    core.since = s.now
    core.busy += spent
    v.cpu += spent
    if s.scheduler == FAIR:
        fair.charge(s, v, spent)
    elif s.scheduler == CREDIT2:
        credit2.charge(s, v, spent)
    else:
        credit.charge(s, v, spent)
    if v.kind == COMPUTE:
        useful = s.now - v.productive
        if useful > 0.0:
            v.work += useful * speed(s, c)
            v.productive = s.now
        core.touched += s.neighbour_rate * spent


@compiled
def stop(s: State, c: int) -> None:
    """Take the running VCPU off core ``c``, with its account in order."""
    core = s.core[c]
    v = s.vcpu[core.run]
    charge(s, c)
    cache.stream(s, v, c, -1.0)
    cache.leave(s, v, c)
    core.run = -1
    s.running &= ~(1 << c)
    s.working &= ~(1 << c)
    core.stopped = s.now


@compiled
def block(s: State, c: int) -> None:
    """The VCPU on core ``c`` has nothing to do. If anybody waits anywhere, the core chooses."""
    s.vcpu[s.core[c].run].state = BLOCKED
    stop(s, c)
    if s.queued:
        mark(s, c)


@compiled
def preempt(s: State, c: int) -> None:
    """Put the VCPU on core ``c`` back into its queue; what it was doing is finished later.

    Switch and refill are to be paid anew then. As the refill is spread over the work that needs
    it, one that is preempted before it is through has still got something done, and ends.
    """
    i = s.core[c].run
    v = s.vcpu[i]
    v.left = 0.0
    if v.kind != COMPUTE:
        work = s.until[c] - max(v.productive, v.begun)
        spent = max(0.0, s.now - v.begun) / max(1.0, s.until[c] - v.begun)
        v.left = max(0.0, work * (1.0 - spent))
    stop(s, c)
    enqueue(s, i, c)


@compiled
def obey_cap(s: State, i: int) -> None:
    """Take a VCPU away that is to be parked, or let it run again."""
    v = s.vcpu[i]
    if v.parked and v.state == RUNNING:
        mark(s, v.core)
        preempt(s, v.core)
    if v.parked and v.state == RUNNABLE:
        dequeue(s, i)
        v.state = PARKED
    elif v.state == PARKED and not v.parked:
        enqueue(s, i, v.core)
        mark(s, v.core)


@compiled
def start(s: State, i: int, c: int) -> float:
    """Run a waiting VCPU on core ``c``. Gives the time at which its work goes on.

    Coming out of idle takes the wake-up latency first, which is nobody's processor time; then
    come the switch and the refill of its state, which are its own. A poller has neither.
    """
    v, core = s.vcpu[i], s.core[c]
    dequeue(s, i)
    if s.scheduler == CREDIT2 and v.credit <= 0.0:
        credit2.renew(s, core.node)
    v.state = RUNNING
    v.core = c
    core.run = i
    s.running |= 1 << c
    if core.polled:
        core.since = v.begun = s.now
        return s.now + s.poll
    asleep = core.stopped < s.now
    core.since = s.now + (s.wake if asleep else 0.0)
    core.started = v.begun = core.since
    core.switches += 1
    v.productive = core.since + s.switch + cache.refill(s, v, c)
    s.stage[SWITCHES + v.kind].time += v.productive - core.since
    cache.stream(s, v, c, 1.0)
    return v.productive
