"""What the parts of a host share: its clock, its costs, its scheduler and its ports."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import asdict
from simpy import Environment

from envs.host import Traffic
from envs.reference.packets import Queue
from envs.reference.processor import State, Vcpu
from envs.reference.scheduler import Scheduler
from envs.scenario import Costs, Scenario

_NOT_CYCLES = {"jitter", "header_bytes", "domain_kb", "neighbour_kb", "neighbour_mbps"}


def in_nanoseconds(costs: Costs, ghz: float) -> Costs:
    """Costs with cycles made nanoseconds on cores of ``ghz``; the others stay as they are."""
    cycles = {
        key: value / ghz
        for key, value in asdict(costs).items()
        if key not in _NOT_CYCLES and not key.startswith("copy_")
    }
    return Costs(**{**asdict(costs), **cycles})


@dataclass
class Count:
    """Counters of one direction, over all time."""

    bytes: int = 0
    packets: int = 0
    drops: int = 0

    def add(self, size: int) -> None:
        """One packet more went through."""
        self.bytes += size
        self.packets += 1

    def now(self) -> Traffic:
        """The counters as they are."""
        return Traffic(bytes=self.bytes, packets=self.packets, drops=self.drops)


@dataclass
class Port:
    """A vif: its queue, its two rings, who works for it, and what it counted."""

    queue: Queue
    rx_ring: Queue
    tx_ring: Queue
    guest: Vcpu
    deliverer: Vcpu
    collector: Vcpu
    inward: Count = field(default_factory=Count)
    outward: Count = field(default_factory=Count)


@dataclass
class Machine:
    """A host while it is simulated; ``costs`` are in nanoseconds.

    ``always_signalled`` are backends that are signalled even if they do not sleep.
    """

    env: Environment
    scenario: Scenario
    costs: Costs
    scheduler: Scheduler
    ports: Mapping[int, Port]
    random: Random
    bridge_cost: float
    always_signalled: Collection[Vcpu] = frozenset()
    latencies: list[float] = field(default_factory=list)

    def vary(self) -> float:
        """How much longer or shorter than on average an activation takes."""
        return 1.0 + self.costs.jitter * self.random.uniform(-1.0, 1.0)

    def notify(self, sender: Vcpu, receiver: Vcpu) -> None:
        """Signal that there is work: only one that sleeps needs it, and a poller never.

        Both pay, the sender more if the signal has to interrupt another core. A tap of the lab
        does not know whether its reader sleeps, and signals a backend every time.
        """
        costs, asleep = self.costs, receiver.state is State.BLOCKED and receiver is not sender
        if asleep:
            self.scheduler.wake(receiver)
        if receiver.core.polled:
            return
        if asleep:
            elsewhere = receiver.core is not sender.core
            sender.debt += costs.notify_send + (costs.ipi if elsewhere else 0.0)
            receiver.debt += costs.notify_receive
        elif receiver in self.always_signalled:
            sender.debt += costs.notify_send

    def notify_all(self, sender: Vcpu, receivers: Iterable[Vcpu | None]) -> None:
        """Signal those that there are."""
        for receiver in receivers:
            if receiver is not None:
                self.notify(sender, receiver)
