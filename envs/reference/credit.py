"""Xen's credit scheduler, of 2008 and as it is since 2009 (``xen/common/sched_credit.c``).

Every accounting period gives the domains credits by weight; running burns them. A VCPU with
credits left is UNDER, one without OVER. Waking while UNDER gives BOOST, until a tick finds the
VCPU running. In 2008 a tick took 100 credits from whoever it found; since 2009 the debit is exact
and a VCPU that just began to run is left alone for a while.
"""

from collections.abc import Iterable, Sequence

from envs.reference.processor import Core, Domain, Steps, Vcpu
from envs.reference.scheduler import MICRO, MILLI, Scheduler

BOOST, UNDER, OVER = 0, -1, -2
PER_TICK = 100.0
PER_PERIOD = 300.0


class Credit(Scheduler):
    """Credits, three priorities, and idle cores that steal."""

    def start(self) -> None:
        """Set the clocks going, and begin with everybody UNDER."""
        super().start()
        for vcpu in self._vcpus():
            vcpu.priority = UNDER
        self.env.process(self._accounts())
        for core in self.cores:
            self.env.process(self._slices(core))

    @property
    def _sampled(self) -> bool:
        return self.constants.kind == "credit-2008"

    def _vcpus(self) -> Iterable[Vcpu]:
        return (vcpu for domain in self.domains for vcpu in domain.vcpus)

    def rank(self, vcpu: Vcpu) -> tuple[float, ...]:
        """The higher priority, then who has waited longer."""
        return (-vcpu.priority, vcpu.turn)

    def protected(self, waiting: Vcpu, running: Vcpu) -> float:
        """A higher priority goes first, once the minimum run is over."""
        if waiting.priority <= running.priority:
            return float("inf")
        limit = self.constants.ratelimit_us * MICRO
        return max(0.0, running.core.started + limit - self.env.now)

    def charge(self, vcpu: Vcpu, spent: float) -> None:
        """Exact debit, where there is one."""
        if not self._sampled:
            vcpu.credit -= PER_TICK * spent / (self.constants.tick_ms * MILLI)

    def on_wake(self, vcpu: Vcpu) -> None:
        """BOOST, unless its credits are used up."""
        if vcpu.priority == UNDER:
            vcpu.priority = BOOST

    def on_tick(self, core: Core) -> None:
        """The end of a boost, the sampled debit, and a look for a socket with more idle cores."""
        vcpu = core.current
        if vcpu is None:
            return
        if vcpu.priority == BOOST:
            vcpu.priority = UNDER
        vcpu.active = True
        if self._sampled:
            vcpu.credit -= PER_TICK
        target = self._idler(vcpu)
        if target is not None:
            self.put_back(core)
            core.queue.remove(vcpu)
            self.enqueue(vcpu, target)
            target.tickle()

    def choice(self, idle: Sequence[Core], home: Core) -> Core:  # noqa: ARG002 - it does not matter
        """Any: all idle cores are tickled, and one of them is the first to come."""
        return self.random.choice(idle)

    def stolen(self, core: Core, instead: Vcpu | None) -> Vcpu | None:
        """One of a higher priority, if here is none or OVER; since 2009 from this node first."""
        if instead is not None and instead.priority != OVER:
            return None
        at = self.cores.index(core)
        peers = [*self.cores[at + 1 :], *self.cores[:at]]
        if not self._sampled:
            peers.sort(key=lambda peer: peer.caches.node != core.caches.node)
        for peer in peers:
            found = self.first(peer, core) if peer.can_spare else None
            if found is not None and (instead is None or found.priority > instead.priority):
                return found
        return None

    def _idler(self, vcpu: Vcpu) -> Core | None:
        """An idle core in a socket with more idle ones: one more in 2008, twice as many since."""
        here = vcpu.core
        idle = [core for core in self.cores if core.idle]
        most = 1 + self._idle_in(here.caches.node)
        if not self._sampled:
            most *= 2
        best = None
        for core in idle:
            if core.id in vcpu.affinity and self._idle_in(core.caches.node) > most:
                best, most = core, self._idle_in(core.caches.node)
        return best

    def _idle_in(self, node: int) -> int:
        return sum(core.idle and core.caches.node == node for core in self.cores)

    def _slices(self, core: Core) -> Steps:
        """After a whole slice, whoever is as good has a turn; an OVER one looks elsewhere too."""
        length = self.constants.slice_ms * MILLI
        while True:
            left = core.slice_end - self.env.now
            if left > 0.0:
                yield self.env.timeout(left)
                continue
            core.slice_end = self.env.now + length
            vcpu = core.current
            if vcpu is not None and not core.polled:
                rival = self.first(core, core)
                beaten = rival is not None and rival.priority >= vcpu.priority
                if beaten or self.stolen(core, vcpu) is not None:
                    self.settle(core)
                    self.put_back(core)

    def _accounts(self) -> Steps:
        period = self.constants.account_ms * MILLI
        yield self.env.timeout(self.random.uniform(0.0, period))
        while True:
            self._hand_out()
            for vcpu in self._vcpus():
                self._classify(vcpu)
            yield self.env.timeout(period)

    def _hand_out(self) -> None:
        """A period's credits by weight; what a domain cannot burn goes to the others."""
        pot = PER_PERIOD * len(self.cores)
        claims = {d: sum(v.active for v in d.vcpus) for d in self.domains}

        def most(domain: Domain) -> float:
            return PER_PERIOD * min(domain.cap or claims[domain], claims[domain])

        open_to = [domain for domain, active in claims.items() if active]
        while open_to:
            weights = sum(domain.weight for domain in open_to)
            full = [d for d in open_to if pot * d.weight / weights >= most(d)]
            for domain in full or open_to:
                all_of_it = most(domain) if full else pot * domain.weight / weights
                share = all_of_it / claims[domain]
                for vcpu in domain.vcpus:
                    vcpu.credit += share if vcpu.active else 0.0
            pot -= sum(most(domain) for domain in full)
            open_to = [domain for domain in open_to if domain not in full] if full else []

    def _classify(self, vcpu: Vcpu) -> None:
        """OVER below zero; above a period's credits it has not been running, and starts anew."""
        if not vcpu.active:
            return
        if vcpu.credit < 0.0:
            vcpu.priority = OVER
            cap = PER_PERIOD * vcpu.domain.cap / sum(v.active for v in vcpu.domain.vcpus)
            if 0.0 < cap < -vcpu.credit:
                self.park(vcpu, parked=True)
            vcpu.credit = max(vcpu.credit, -PER_PERIOD)
            return
        self.park(vcpu, parked=False)
        if vcpu.priority == OVER:
            vcpu.priority = UNDER
        if vcpu.credit > PER_PERIOD:
            vcpu.active = False
            vcpu.credit = 0.0 if self._sampled else vcpu.credit / 2.0
