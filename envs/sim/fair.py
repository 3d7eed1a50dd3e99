"""Linux's weighted fair scheduler, as far as weights and wake-ups go (``kernel/sched/fair.c``).

A VCPU's virtual time runs at the inverse of its weight; the least runs next. A domain's weight
is shared by its VCPUs, as a control group's is among its tasks.
"""

from envs.sim.compiled import compiled, lowest
from envs.sim.state import FOREVER, State, Vcpu

GRANULARITY = 1e6
"""How far ahead (ns) a running VCPU must be before one that wakes takes its core."""
SLEEPER = 3e6
"""How much virtual time (ns) a sleeper may at most have saved up."""
UNIT = 1024.0


@compiled
def _scale(s: State, v: Vcpu) -> float:
    return UNIT * s.domain[v.domain].vcpus / s.domain[v.domain].weight


@compiled
def charge(s: State, v: Vcpu, spent: float) -> None:
    """Let virtual time pass."""
    v.vruntime += spent * _scale(s, v)


@compiled
def on_wake(s: State, v: Vcpu) -> None:
    """A sleeper does not come back with all the time that it slept."""
    core = s.core[v.core]
    others = core.queue
    if core.run >= 0:
        others |= 1 << core.run
    if others:
        least = s.vcpu[lowest(others)].vruntime
        while others:
            least = min(least, s.vcpu[lowest(others)].vruntime)
            others &= others - 1
        v.vruntime = max(v.vruntime, least - SLEEPER)


@compiled
def protected(s: State, waiting: Vcpu, running: Vcpu) -> float:
    """One that is ahead by more than the granularity is preempted; others wait for the tick."""
    spent = max(0.0, s.now - s.core[running.core].since) * _scale(s, running)
    ahead = running.vruntime + spent - waiting.vruntime
    return 0.0 if ahead > GRANULARITY * _scale(s, waiting) else FOREVER
