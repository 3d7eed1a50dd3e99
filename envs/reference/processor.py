"""Cores, and the VCPUs and backend threads that take turns on them."""

from collections.abc import Generator
from enum import Enum
from typing import Any

from simpy import Environment, Event, Interrupt, Process

from envs.host import Core as CoreSpec
from envs.reference.memory import LINE, Caches, Place
from envs.scenario import Costs

SMT_SHARE = 0.62
"""Speed of a thread beside a busy sibling (estimate)."""

DONE = 1.0
"""Nanoseconds of work that are as good as none."""

Steps = Generator[Event, Any, None]
"""What a process consists of: the events that it waits for."""


class State(Enum):
    """What a VCPU is doing."""

    BLOCKED = "blocked"
    WAITING = "waiting"
    RUNNING = "running"
    PARKED = "parked"


class Core:
    """A core: who runs, who waits for it, and its caches.

    ``polled`` is a side-core whose backends poll. ``since`` is when the one that runs began to be
    billed, ``started`` when it came here, ``stopped`` when the core last fell idle or switched.
    """

    def __init__(self, env: Environment, spec: CoreSpec, caches: Caches, costs: Costs) -> None:
        self.id = spec.id
        self.caches = caches
        self.siblings: tuple[Core, ...] = ()
        self.polled = False
        self.current: Vcpu | None = None
        self.queue: list[Vcpu] = []
        self.since = 0.0
        self.started = self.stopped = -1.0
        self.slice_end = 0.0
        self.busy = 0.0
        self.misses = 0.0
        self.attention = env.event()
        self._costs = costs

    @property
    def idle(self) -> bool:
        """Whether it runs nothing, awaits nothing and does not poll."""
        return self.current is None and not self.queue and not self.polled

    @property
    def can_spare(self) -> bool:
        """Whether others may steal from it: not from one about to take what was woken for it."""
        return self.current is not None and not self.polled

    @property
    def speed(self) -> float:
        """The share of a physical core that it has: less beside a busy sibling."""
        beside = any(c.current is not None or c.polled for c in self.siblings)
        return SMT_SHARE if beside else 1.0

    def tickle(self) -> None:
        """Have the scheduler look at this core."""
        if not self.attention.triggered:
            self.attention.succeed()

    def read(self, size: float, place: Place | None) -> float:
        """Nanoseconds to read ``size`` bytes of what was last touched at ``place``."""
        mine, cost = self.caches, self._costs.copy_memory
        missed = True
        if place is not None and place.caches is mine and mine.own.holds(place.own):
            missed, cost = False, self._costs.copy_own
        elif place is not None and place.caches.shared.holds(place.shared):
            missed, cost = place.caches.llc != mine.llc, self._transfer(place.caches)
        if missed:
            self.misses += size / LINE
        mine.fill(size)
        return cost * size

    def refill(self, vcpu: "Vcpu") -> float:
        """Nanoseconds until the state of a VCPU that starts here is in the cache again.

        What the LLC where it was last lost meanwhile comes from memory, the rest from there; of
        that, a core that it comes back to still has what its own cache kept.
        """
        there = vcpu.place
        if there is None:
            return 0.0
        gone = there.caches.shared.lost(there.shared) * vcpu.footprint
        moved = vcpu.footprint - gone
        if there.caches is self.caches:
            moved = min(moved, self.caches.own.lost(there.own) * self.caches.own.size)
        self.misses += gone / LINE
        if there.caches.llc != self.caches.llc:
            self.misses += moved / LINE
        self.caches.fill(gone + moved)
        return self._transfer(there.caches) * moved + self._costs.copy_memory * gone

    def _transfer(self, there: Caches) -> float:
        """Nanoseconds a byte from the caches of another core, or this one's LLC."""
        if there.llc == self.caches.llc:
            return self._costs.copy_llc
        same_node = there.node == self.caches.node
        return self._costs.copy_across if same_node else self._costs.copy_remote


class Domain:
    """The holder of a weight. ``cap`` is the most that it may use, in cores; 0 for no limit."""

    def __init__(self, weight: int, cap: float = 0.0) -> None:
        self.weight = weight
        self.cap = cap
        self.budget = 0.0
        self.vcpus: list[Vcpu] = []


class Vcpu:
    """A VCPU of a guest, or a backend thread.

    ``process`` is what it does while it runs; a ``cpu_bound`` one has none, it only fills its core.
    ``footprint`` is its state in bytes, ``place`` where that was when it ran last. ``debt`` is time
    it owes for interrupts and signals. What follows ``place`` is for the scheduler's use.
    """

    def __init__(
        self, env: Environment, domain: Domain, footprint: float, *, cpu_bound: bool = False
    ) -> None:
        self.domain = domain
        self.cpu_bound = cpu_bound
        self.footprint = footprint
        self.process: Process | None = None
        self.state = State.BLOCKED
        self.core: Core
        self.affinity: frozenset[int] = frozenset()
        self.granted = env.event()
        self.overhead = 0.0
        self.debt = 0.0
        self.cpu = 0.0
        self.work = 0.0
        self.productive = 0.0
        self.place: Place | None = None
        self.parked = False
        self.priority = 0
        self.active = False
        self.credit = 0.0
        self.virtual = 0.0
        self.turn = 0
        self._env = env
        domain.vcpus.append(self)

    def run(self, work: float) -> Steps:
        """Use a core for ``work`` ns of undisturbed time, and for what is owed.

        Returns when it is done, however often the VCPU was taken off its core meanwhile. Each time
        that it comes back there is the overhead of the switch; its misses come as it goes along, so
        that it gets something done in however short a time.
        """
        left, begun = work, float("inf")
        while True:
            try:
                if self.state is not State.RUNNING:
                    yield self.granted
                if begun == float("inf"):
                    left = work / self.core.speed
                elif left < DONE:
                    return
                left += self.debt
                self.debt = 0.0
                begun = max(self._env.now, self.core.since)
                yield self._env.timeout(max(0.0, begun - self._env.now + self.overhead + left))
            except Interrupt:
                ran = max(0.0, self._env.now - begun)
                left -= left * ran / max(ran, self.overhead + left, DONE)
            else:
                self.overhead = 0.0
                return
