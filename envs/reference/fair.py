"""Linux's fair scheduler, as far as weights and wake-ups go (``kernel/sched/fair.c``).

The virtual time of a VCPU runs at the inverse of its weight; the least runs next. The weight of a
domain is that of a control group, which its VCPUs share.
"""

from collections.abc import Sequence

from envs.reference.processor import Core, Vcpu
from envs.reference.scheduler import Scheduler

GRANULARITY = 1e6
"""Nanoseconds that a running VCPU must be ahead before one that wakes takes its core."""
SLEEPER = 3e6
"""Nanoseconds of virtual time that a sleeper may at most have saved up."""
UNIT = 1024.0


class Fair(Scheduler):
    """Virtual time, and idle cores that take what waits nearest."""

    moves_wakers = True

    def rank(self, vcpu: Vcpu) -> tuple[float, ...]:
        """The least virtual time, then who has waited longer."""
        return (vcpu.virtual, vcpu.turn)

    def protected(self, waiting: Vcpu, running: Vcpu) -> float:
        """One that is far enough behind goes first; the others wait for the tick."""
        spent = max(0.0, self.env.now - running.core.since) * _scale(running)
        ahead = running.virtual + spent - waiting.virtual
        return 0.0 if ahead > GRANULARITY * _scale(waiting) else float("inf")

    def charge(self, vcpu: Vcpu, spent: float) -> None:
        """Let virtual time pass."""
        vcpu.virtual += spent * _scale(vcpu)

    def on_wake(self, vcpu: Vcpu) -> None:
        """A sleeper comes back at most a little behind those of its core."""
        core = vcpu.core
        others = [*core.queue, *([core.current] if core.current is not None else [])]
        if others:
            vcpu.virtual = max(vcpu.virtual, min(v.virtual for v in others) - SLEEPER)

    def on_tick(self, core: Core) -> None:
        """Whoever is behind the one that runs has its turn."""
        vcpu, waiting = core.current, self.first(core, core)
        if vcpu is not None and waiting is not None and waiting.virtual < vcpu.virtual:
            self.put_back(core)

    def choice(self, idle: Sequence[Core], home: Core) -> Core:
        """One that shares the LLC of ``home``, else any."""
        near = [core for core in idle if core.caches.llc == home.caches.llc]
        return near[0] if near else self.random.choice(idle)

    def stolen(self, core: Core, instead: Vcpu | None) -> Vcpu | None:
        """An idle core takes what waits, from its own LLC domain first."""
        if instead is not None:
            return None
        peers = sorted(self.cores, key=lambda peer: peer.caches.llc != core.caches.llc)
        waiting = (self.first(p, core) for p in peers if p is not core and p.can_spare)
        return next((vcpu for vcpu in waiting if vcpu is not None), None)


def _scale(vcpu: Vcpu) -> float:
    return UNIT * len(vcpu.domain.vcpus) / vcpu.domain.weight
