"""Xen's credit2 scheduler (``xen/common/sched/credit2.c``).

The cores of a socket share one run queue. Running burns credit, the faster the less weight; of
those who wait, the one with the most runs next, and when that has none left, all of the socket get
the same amount more. Nobody is boosted: one that slept has its credit left, and so it preempts.
Changing cores must be worth it, which is said in credit, and nobody is preempted too soon.

Balancing between sockets is simpler here: an idle core takes who waits at another socket.
"""

from envs.sim.compiled import compiled, lowest
from envs.sim.state import FOREVER, State, Vcpu

START = 10e6
"""Credit (ns at the greatest weight) that everybody begins with, and gets when it is used up."""
RESISTANCE = 0.5e6
"""How much more credit one must have to take a core that is not its own."""
LEAST_RUN = 0.5e6
"""How long (ns) a VCPU runs at least, and what may be carried over beside new credit."""

AS_GOOD = 1.0
"""Credit that is no lead: the time until it is gone may be too short to be told."""


@compiled
def charge(s: State, v: Vcpu, spent: float) -> None:
    """Burn credit for time run, and the domain's budget if it has a cap."""
    v.credit -= spent * burning(s, v)
    s.domain[v.domain].budget -= spent


@compiled
def burning(s: State, v: Vcpu) -> float:
    """Credit that a nanosecond costs."""
    return s.heaviest / s.domain[v.domain].weight


@compiled
def waiting(s: State, c: int) -> int:
    """The set of VCPUs in the run queue that core ``c`` takes from.

    Those that were just woken for an idle core of it are as good as gone.
    """
    queue = s.core[c].queue
    if s.core[c].polled:
        return queue
    peers = s.core[c].node_peers & s.queued & s.running & ~s.polled
    while peers:
        queue |= s.core[lowest(peers)].queue
        peers &= peers - 1
    return queue


@compiled
def protected(s: State, v: Vcpu, running: Vcpu) -> float:
    """A running VCPU stays until the waiting one has more credit, and for its minimum run."""
    c = running.core
    credit = running.credit - max(0.0, s.now - s.core[c].since) * burning(s, running)
    lead = credit - v.credit + (RESISTANCE if v.core != c else 0.0)
    least = max(s.ratelimit, LEAST_RUN) if lead >= 0.0 else s.ratelimit
    ahead = lead / burning(s, running) if lead > AS_GOOD else 0.0
    return max(ahead, s.core[c].started + least - s.now, 0.0)


@compiled
def weakest(s: State, v: Vcpu) -> int:
    """The core of its socket that a VCPU without an idle one takes first: the least credit runs.

    Its own core is worth more, and is it if it may not run where anybody runs.
    """
    best, least = v.core, FOREVER
    cores = s.core[v.core].node_peers & v.affinity & s.running & ~s.polled
    while cores:
        c = lowest(cores)
        cores &= cores - 1
        running = s.vcpu[s.core[c].run]
        credit = running.credit - max(0.0, s.now - s.core[c].since) * burning(s, running)
        credit += RESISTANCE if c != v.core else 0.0
        if credit < least:
            best, least = c, credit
    return best


@compiled
def renew(s: State, node: int) -> None:
    """Give everybody of a socket new credit."""
    for i in range(s.vcpus):
        v = s.vcpu[i]
        if s.core[v.core].node == node:
            v.credit = min(v.credit + START, START + LEAST_RUN)


@compiled
def account(s: State) -> None:
    """Give each domain with a cap its budget for a period; who has overdrawn is parked for it.

    (Xen stops a VCPU the moment that the budget is spent. Here it is at the end of the period.)
    """
    for d in range(s.domains):
        domain = s.domain[d]
        domain.budget = min(domain.budget, 0.0) + domain.cap * s.account
    for i in range(s.vcpus):
        domain = s.domain[s.vcpu[i].domain]
        s.vcpu[i].parked = domain.cap > 0.0 and domain.budget <= 0.0
