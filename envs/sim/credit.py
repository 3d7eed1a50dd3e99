"""Xen's credit scheduler: priorities, debit and accounting (``xen/common/sched_credit.c``).

A domain's weight earns it credits at each accounting, which running burns. A VCPU with credits
left is UNDER, one without is OVER; a VCPU that wakes while UNDER is BOOSTed until it is found
running at a tick. In 2008 a tick debited 100 credits from whoever it found running; since 2009
the debit is exact, and a minimum run protects a VCPU from wake-ups.
"""

from envs.sim.compiled import compiled
from envs.sim.state import BOOST, CREDIT_2008, FOREVER, OVER, UNDER, State, Vcpu

PER_TICK = 100.0
PER_ACCOUNT = 300.0


@compiled
def on_wake(v: Vcpu) -> None:
    """A VCPU that wakes while UNDER goes before all that are not boosted."""
    if v.priority == UNDER:
        v.priority = BOOST


@compiled
def protected(s: State, waiting: Vcpu, running: Vcpu) -> float:
    """A higher priority preempts, once the running VCPU has had its minimum run."""
    if waiting.priority <= running.priority:
        return FOREVER
    return max(0.0, s.core[running.core].started + s.ratelimit - s.now)


@compiled
def charge(s: State, v: Vcpu, spent: float) -> None:
    """Exact debit of the time run, where the scheduler has that."""
    if s.scheduler != CREDIT_2008:
        v.credit -= PER_TICK * spent / s.tick


@compiled
def tick(s: State, v: Vcpu) -> None:
    """The tick found ``v`` running: it loses its boost, joins the active, in 2008 pays."""
    if v.priority == BOOST:
        v.priority = UNDER
    v.active = 1
    if s.scheduler == CREDIT_2008:
        v.credit -= PER_TICK


@compiled
def account(s: State) -> None:
    """Give out the credits of one period among the active domains by weight.

    A domain gets at most what its active VCPUs can burn, or its cap allows; what is left goes to
    the others. The credits of a VCPU stay within one period's; above, it has not been running: it
    leaves the active and starts again from 0 (from half, with exact debit).
    """
    total, weights = 0.0, 0.0
    for d in range(s.domains):
        if _active(s, d) > 0:
            weights += s.domain[d].weight
    total = PER_ACCOUNT * s.cores
    given = 0  # a set of domains that got all they can use
    changed = True
    while changed:
        changed = False
        for d in range(s.domains):
            active = _active(s, d)
            if active == 0 or given >> d & 1:
                continue
            peak = PER_ACCOUNT * (min(active, s.domain[d].cap) if s.domain[d].cap else active)
            if total * s.domain[d].weight >= peak * weights:
                _give(s, d, peak / active)
                total -= peak
                weights -= s.domain[d].weight
                given |= 1 << d
                changed = True
    for d in range(s.domains):
        active = _active(s, d)
        if active > 0 and not given >> d & 1:
            _give(s, d, total * s.domain[d].weight / weights / active)
    for i in range(s.vcpus):
        v = s.vcpu[i]
        _classify(s, v, PER_ACCOUNT * s.domain[v.domain].cap / max(1, _active(s, v.domain)))


@compiled
def _active(s: State, d: int) -> int:
    count = 0
    for i in range(s.vcpus):
        if s.vcpu[i].domain == d and s.vcpu[i].active:
            count += 1
    return count


@compiled
def _give(s: State, d: int, credits_each: float) -> None:
    for i in range(s.vcpus):
        if s.vcpu[i].domain == d and s.vcpu[i].active:
            s.vcpu[i].credit += credits_each


@compiled
def _classify(s: State, v: Vcpu, cap: float) -> None:
    """Set priority, and whether it is parked: it owes more than its cap gives in a period."""
    if not v.active:
        return
    if v.credit < 0.0:
        v.priority = OVER
        v.parked |= 0.0 < cap < -v.credit
        v.credit = max(v.credit, -PER_ACCOUNT)
    else:
        v.parked = 0
        if v.priority == OVER:
            v.priority = UNDER
        if v.credit > PER_ACCOUNT:
            v.active = 0
            v.credit = 0.0 if s.scheduler == CREDIT_2008 else v.credit / 2.0
