"""Xen's credit2 scheduler (``xen/common/sched/credit2.c``).

The cores of a socket share one run queue. Running burns credit, the faster the less weight; of
those who wait, the one with the most runs next, and when that has none left, all of the socket get
the same amount more. Nobody is boosted. Balancing between sockets is simpler here: an idle core
takes who waits at another socket.
"""

from collections.abc import Sequence

from envs.reference.processor import Core, Steps, Vcpu
from envs.reference.scheduler import MICRO, MILLI, Scheduler

START = 10e6
"""Credit (ns at the greatest weight) that everybody begins with, and gets when it is used up."""
RESISTANCE = 0.5e6
"""How much more credit one must have to take a core that is not its own."""
LEAST_RUN = 0.5e6
"""How long (ns) a VCPU runs at least, and what may be carried over beside new credit."""

AS_GOOD = 1.0
"""Credit that is no lead: the time until it is gone may be too short to be told."""


class Credit2(Scheduler):
    """Credit that is burned and renewed, and a run queue for each socket."""

    def start(self) -> None:
        """Set the clocks going, and give everybody credit."""
        super().start()
        self._heaviest = max(domain.weight for domain in self.domains)
        for domain in self.domains:
            for vcpu in domain.vcpus:
                vcpu.credit = START
        self.env.process(self._accounts())

    def rank(self, vcpu: Vcpu) -> tuple[float, ...]:
        """The most credit, then who has waited longer."""
        return (-vcpu.credit, vcpu.turn)

    def protected(self, waiting: Vcpu, running: Vcpu) -> float:
        """Until the waiting one has more credit, and the minimum run is over."""
        lead = self._now(running) - waiting.credit
        lead += RESISTANCE if waiting.core is not running.core else 0.0
        least = self.constants.ratelimit_us * MICRO
        if lead >= 0.0:
            least = max(least, LEAST_RUN)
        run = running.core.started + least - self.env.now
        return max(lead / self._burning(running) if lead > AS_GOOD else 0.0, run, 0.0)

    def charge(self, vcpu: Vcpu, spent: float) -> None:
        """Burn credit, and the domain's budget if it has a cap."""
        vcpu.credit -= spent * self._burning(vcpu)
        vcpu.domain.budget -= spent

    def on_wake(self, vcpu: Vcpu) -> None:
        """Nothing changes: it has the credit that it went to sleep with."""

    def on_tick(self, core: Core) -> None:
        """Whoever has got more credit has its turn, if no timer saw to that."""
        vcpu, waiting = core.current, self.first(core, core)
        if vcpu is not None and waiting is not None and self.protected(waiting, vcpu) <= 0.0:
            self.put_back(core)

    def choice(self, idle: Sequence[Core], home: Core) -> Core:  # noqa: ARG002 - it does not matter
        """Any."""
        return self.random.choice(idle)

    def eligible(self, vcpu: Vcpu) -> Sequence[Core]:
        """The cores of its socket."""
        return [core for core in self.cores if core.caches.node == vcpu.core.caches.node]

    def waiting(self, core: Core) -> Sequence[Vcpu]:
        """All that wait in the run queue of its socket, but for those that an idle core has."""
        if core.polled:
            return core.queue
        peers = [c for c in self.cores if c.caches.node == core.caches.node and c is not core]
        return [*core.queue, *(v for peer in peers if peer.can_spare for v in peer.queue)]

    def stolen(self, core: Core, instead: Vcpu | None) -> Vcpu | None:
        """An idle core takes what waits at another socket."""
        if instead is not None:
            return None
        found = (self.first(p, core) for p in self.cores if p is not core and p.can_spare)
        return next((vcpu for vcpu in found if vcpu is not None), None)

    def rival(self, vcpu: Vcpu) -> Core:
        """Of the cores where it may preempt, the one where the least credit runs."""
        running = [c for c in self.eligible(vcpu) if c.can_spare and c.id in vcpu.affinity]
        return min(running, key=lambda core: self._worth(core, vcpu), default=vcpu.core)

    def _start(self, vcpu: Vcpu, core: Core) -> None:
        """If even the first has none left, there is new credit for all of the socket."""
        if vcpu.credit <= 0.0:
            for domain in self.domains:
                for other in domain.vcpus:
                    if other.core.caches.node == core.caches.node:
                        other.credit = min(other.credit + START, START + LEAST_RUN)
        super()._start(vcpu, core)

    def _worth(self, core: Core, vcpu: Vcpu) -> float:
        credit = self._now(core.current) if core.current is not None else 0.0
        return credit + (RESISTANCE if core is not vcpu.core else 0.0)

    def _now(self, running: Vcpu) -> float:
        """Its credit, with what it has not been billed yet."""
        return running.credit - max(0.0, self.env.now - running.core.since) * self._burning(running)

    def _burning(self, vcpu: Vcpu) -> float:
        return self._heaviest / vcpu.domain.weight

    def _accounts(self) -> Steps:
        """Budgets of capped domains; who has overdrawn is parked for a period."""
        period = self.constants.account_ms * MILLI
        yield self.env.timeout(self.random.uniform(0.0, period))
        while True:
            for domain in self.domains:
                domain.budget = min(domain.budget, 0.0) + domain.cap * period
                for vcpu in domain.vcpus:
                    self.park(vcpu, parked=domain.cap > 0.0 and domain.budget <= 0.0)
            yield self.env.timeout(period)
