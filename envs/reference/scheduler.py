"""What all schedulers do: wake, choose, steal and switch. ``credit`` and ``fair`` say how.

A core chooses in a process of its own, an instant after it was tickled, as Xen does in a softirq:
so who wakes another never waits for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

from simpy import Environment

from envs.reference.processor import Core, Domain, State, Steps, Vcpu
from envs.scenario import Costs
from envs.scenario.costs import Scheduler as Constants

MICRO, MILLI = 1e3, 1e6


class Scheduler(ABC):
    """Decides who runs where."""

    def __init__(
        self,
        env: Environment,
        cores: Sequence[Core],
        domains: Sequence[Domain],
        constants: Constants,
        costs: Costs,
        random: Random,
    ) -> None:
        self.env = env
        self.cores = cores
        self.domains = domains
        self.constants = constants
        self.random = random
        self._poll = costs.poll
        self._stream = 1e-3 * costs.neighbour_mbps
        self._turn = 0

    def start(self) -> None:
        """Set the clocks going: those of the cores one after the other, from a random moment."""
        tick = self.constants.tick_ms * MILLI
        phase = self.random.uniform(0.0, tick)
        for number, core in enumerate(self.cores):
            offset = (phase + number * tick / len(self.cores)) % tick
            self.env.process(self._choices(core))
            self.env.process(self._ticks(core, offset, tick))

    # What is left to a kind of scheduler.

    @abstractmethod
    def rank(self, vcpu: Vcpu) -> tuple[float, ...]:
        """Sorts VCPUs that wait: the least comes first."""

    @abstractmethod
    def protected(self, waiting: Vcpu, running: Vcpu) -> float:
        """Nanoseconds until ``waiting`` may take the core of ``running``; infinite for never."""

    @abstractmethod
    def charge(self, vcpu: Vcpu, spent: float) -> None:
        """Take note of time that a VCPU ran."""

    @abstractmethod
    def on_wake(self, vcpu: Vcpu) -> None:
        """A VCPU had been blocked."""

    @abstractmethod
    def on_tick(self, core: Core) -> None:
        """The tick found somebody running on ``core``, who is billed by now."""

    @abstractmethod
    def choice(self, idle: Sequence[Core], home: Core) -> Core:
        """Which of several idle cores takes a VCPU that was on ``home``."""

    @abstractmethod
    def stolen(self, core: Core, instead: Vcpu | None) -> Vcpu | None:
        """A VCPU that waits elsewhere and should run on ``core`` instead of ``instead``."""

    moves_wakers = False
    """Whether one that wakes goes to an idle core itself; else it waits to be stolen by that."""

    def eligible(self, vcpu: Vcpu) -> Sequence[Core]:  # noqa: ARG002 - for those whom it matters to
        """Where an idle core is looked for."""
        return self.cores

    def waiting(self, core: Core) -> Sequence[Vcpu]:
        """Those that wait where a core looks first."""
        return core.queue

    def rival(self, vcpu: Vcpu) -> Core:
        """The core on which one that wakes may preempt."""
        return vcpu.core

    # What they have in common.

    def wake(self, vcpu: Vcpu) -> bool:
        """Make a blocked VCPU runnable; False if it was awake."""
        if vcpu.state is not State.BLOCKED:
            return False
        if vcpu.parked:
            vcpu.state = State.PARKED
            return True
        home = vcpu.core
        if home.polled:
            self.enqueue(vcpu, home)
            home.tickle()
            return True
        self.on_wake(vcpu)
        if home.idle:
            self.enqueue(vcpu, home)
            home.tickle()
            return True
        other = self._idle_for(vcpu)
        if other is not None and self.moves_wakers:
            self.enqueue(vcpu, other)
        else:
            self.enqueue(vcpu, home)
            (home if other is not None else self.rival(vcpu)).tickle()
        if other is not None:
            other.tickle()
        return True

    def block(self, vcpu: Vcpu) -> None:
        """A running VCPU has nothing to do."""
        self._stop(vcpu.core)
        vcpu.state = State.BLOCKED
        vcpu.core.tickle()

    def park(self, vcpu: Vcpu, *, parked: bool) -> None:
        """Keep a VCPU from running, or let it run again."""
        vcpu.parked = parked
        if parked and vcpu.state is State.RUNNING:
            self.put_back(vcpu.core)
        if parked and vcpu.state is State.WAITING:
            vcpu.core.queue.remove(vcpu)
            vcpu.state = State.PARKED
        elif vcpu.state is State.PARKED and not parked:
            self.enqueue(vcpu, vcpu.core)
            vcpu.core.tickle()

    def put_back(self, core: Core) -> None:
        """Let the VCPU that runs on ``core`` wait for another turn there."""
        vcpu = core.current
        if vcpu is None:
            return
        self._stop(core)
        self.enqueue(vcpu, core)
        if vcpu.process is not None and vcpu.process is not self.env.active_process:
            vcpu.process.interrupt()
        core.tickle()

    def enqueue(self, vcpu: Vcpu, core: Core) -> None:
        """Put a VCPU at the tail of a core's queue."""
        vcpu.state = State.WAITING
        vcpu.core = core
        self._turn += 1
        vcpu.turn = self._turn
        core.queue.append(vcpu)

    def first(self, there: Core, core: Core) -> Vcpu | None:
        """Who comes first among those that wait ``there`` and may run on ``core``."""
        queue = self.waiting(core) if there is core else there.queue
        allowed = (v for v in queue if core.id in v.affinity)
        return min(allowed, key=self.rank, default=None)

    def settle(self, core: Core) -> None:
        """Bill the time since the last time to the VCPU that runs."""
        vcpu, now = core.current, self.env.now
        spent = now - core.since
        if vcpu is None or spent <= 0.0:
            return
        core.since = now
        core.busy += spent
        vcpu.cpu += spent
        self.charge(vcpu, spent)
        if now > vcpu.productive:
            vcpu.work += (now - vcpu.productive) * core.speed
            vcpu.productive = now

    def _choices(self, core: Core) -> Steps:
        while True:
            yield core.attention
            core.attention = self.env.event()
            self._choose(core)

    def _ticks(self, core: Core, offset: float, period: float) -> Steps:
        yield self.env.timeout(offset)
        while True:
            if core.current is not None and not core.polled:
                self.settle(core)
                self.on_tick(core)
            yield self.env.timeout(period)

    def _choose(self, core: Core) -> None:
        running, waiting = core.current, self.first(core, core)
        if running is not None:
            if core.polled or waiting is None:
                return
            patience = self.protected(waiting, running)
            if patience > 0.0:
                self._tickle_in(core, patience)
                return
            self.put_back(core)
            refuge = self._idle_for(running)
            if refuge is not None:
                refuge.tickle()
        if not core.polled:
            waiting = self.stolen(core, waiting) or waiting
        if waiting is not None:
            self._start(waiting, core)

    def _tickle_in(self, core: Core, time: float) -> None:
        if time < float("inf"):
            self.env.timeout(time).callbacks.append(lambda _: core.tickle())

    def _idle_for(self, vcpu: Vcpu) -> Core | None:
        idle = [core for core in self.eligible(vcpu) if core.idle and core.id in vcpu.affinity]
        return self.choice(idle, vcpu.core) if idle else None

    def _start(self, vcpu: Vcpu, core: Core) -> None:
        """Out of idle comes the wake-up latency, nobody's time; then switch and refill.

        A poller has neither; what it does for each turn of a backend is to look at its rings.
        """
        now = self.env.now
        vcpu.core.queue.remove(vcpu)
        vcpu.core = core
        vcpu.state = State.RUNNING
        core.current = vcpu
        if core.polled:
            core.since, vcpu.overhead = now, self._poll
        else:
            asleep = core.stopped < now
            core.since = core.started = now + (self.constants.wake_us * MICRO if asleep else 0.0)
            core.slice_end = core.since + self.constants.slice_ms * MILLI
            vcpu.overhead = self.constants.switch_us * MICRO + core.refill(vcpu)
        vcpu.productive = core.since + vcpu.overhead
        if vcpu.cpu_bound:
            self._stream_on(core, self._stream)
        vcpu.granted.succeed()

    def _stop(self, core: Core) -> None:
        vcpu = core.current
        if vcpu is None:
            return
        self.settle(core)
        if vcpu.cpu_bound:
            self._stream_on(core, -self._stream)
        vcpu.place = core.caches.here()
        vcpu.granted = self.env.event()
        core.current = None
        core.stopped = self.env.now

    @staticmethod
    def _stream_on(core: Core, change: float) -> None:
        core.caches.own.stream(change)
        core.caches.shared.stream(change)
