"""A real Xen beside the simulator: who gets the processor, by weights and caps, and dom0 boosted.

    sudo .venv/bin/python results/real_xen.py shares | tee results/real_xen.txt
    sudo .venv/bin/python results/real_xen.py boost | tee results/real_xen_boost.txt

The real Xen is the lab ``--kind xen``: emulated, so no speed of it means anything, but shares do.
``shares``: two guests that compute want one core, by weights, and one with a cap. ``boost``: a flow
between two guests, while dom0 shares its core with a third that computes; dom0's weight as found
and boosted, in turn.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

from msgspec.structs import replace

from envs.host import Record, Sample
from envs.hosts.xen import xl
from envs.hosts.xen.lab import Kind, Machine, compute, flow
from envs.hosts.xen.lab.machine import up
from envs.reward import bandwidth
from envs.scenario import (
    DriverDomain,
    Flow,
    GuestKind,
    Scenario,
    Scheduler,
    Settable,
    Stock,
    Topology,
)
from envs.sim.host import SimHost

Name: TypeAlias = Literal["credit", "credit2"]

SECONDS, TIMES, PAIRS = 10.0, 3, 10
ONE_CORE = "one-core pool"
PINNED = "pinned to one core of four"


class Case(Record, frozen=True):
    """Two guests that compute: where, under which scheduler, the first's weight, the second's cap.

    The other weights are 256; a cap is in percent of a core, 0 for none.
    """

    scheduler: Name
    where: str
    weight: int
    cap: int

    def __format__(self, width: str) -> str:
        capped = f", g2 capped at {self.cap} %" if self.cap else ""
        text = f"{self.scheduler:7} {self.where}, weights {self.weight} : 256{capped}"
        return format(text, width)


POOLS: Sequence[tuple[Name, str]] = (
    ("credit2", PINNED),
    ("credit", ONE_CORE),
    ("credit", PINNED),
)
BESIDE_DOM0: Sequence[tuple[Name, str]] = (("credit", ONE_CORE), ("credit2", PINNED))
NORMAL, BOOSTED = 256, 2048
WEIGHTS_AND_CAPS = ((256, 0), (512, 0), (1024, 0), (256, 25))


def main() -> None:
    """Print one of the tables."""
    {"shares": table_of_shares, "boost": table_of_boost}[sys.argv[1]]()


def table_of_shares() -> None:
    """Two guests that compute."""
    print(f"CPU time of g1 over that of g2, in {SECONDS:g} s, {TIMES} times\n")
    for scheduler, where in POOLS:
        with machine(Kind(scheduler=scheduler)) as made:
            arrange(made, scheduler, where)
            for weight, cap in WEIGHTS_AND_CAPS:
                case = Case(scheduler=scheduler, where=where, weight=weight, cap=cap)
                real = " ".join(f"{share:.2f}" for share in shares(made, case))
                print(f"{case:62}   Xen {real}   SimHost {simulated_share(case):.2f}", flush=True)


def table_of_boost() -> None:
    """A flow through a dom0 that shares its core."""
    print(f"Mb/s from g2 to g1 with dom0's weight {BOOSTED} over that with {NORMAL}, dom0 and a")
    print(f"guest that computes on one core, {PAIRS} pairs of {SECONDS:g} s, in turns\n")
    for scheduler, where in BESIDE_DOM0:
        with machine(Kind(scheduler=scheduler, guests=("pv", "pv", "pv"))) as made:
            beside_dom0(made, where)
            gains = sorted(boost(made, scheduler))
        above = sum(gain > 1.0 for gain in gains)
        real = f"{statistics.median(gains):.2f} ({gains[0]:.2f} to {gains[-1]:.2f})"
        print(f"{scheduler:7} {where:30} Xen {real}, above 1 in {above}", end="")
        # There are no pools in the simulator: a pool's shares are counted over its own cores.
        print(f"   SimHost {simulated_boost(scheduler):.2f}" if where == PINNED else "", flush=True)


def beside_dom0(made: Machine, where: str) -> None:
    """Leave dom0 one core, with g3 that computes; g1 and g2, of which one sends, have others."""
    if where == ONE_CORE:
        made.ssh("for core in 1 2 3; do xl cpupool-cpu-remove Pool-0 $core; done")
        made.ssh("""xl cpupool-create 'name="rest"' 'sched="credit"' 'cpus=["1", "2", "3"]'""")
        made.ssh("xl cpupool-migrate 1 rest && xl cpupool-migrate 2 rest")
    else:
        made.ssh("xl vcpu-pin 0 all 0 && xl vcpu-pin 3 0 0")
        made.ssh("xl vcpu-pin 1 0 1 && xl vcpu-pin 2 0 2")
    compute(made, 3)
    flow(made, 0)


def boost(made: Machine, scheduler: Name) -> Iterator[float]:
    """What dom0's weight brings, pair by pair; which comes first changes."""
    for pair in range(PAIRS):
        order = (NORMAL, BOOSTED) if pair % 2 else (BOOSTED, NORMAL)
        rates = {weight: rate(made, scheduler, weight) for weight in order}
        yield rates[BOOSTED] / rates[NORMAL]


def rate(made: Machine, scheduler: Name, weight: int) -> float:
    """Bytes a second that reach g1 with a weight of dom0, by dom0's clock."""
    look = "cut -d' ' -f1 /proc/uptime; cat /sys/class/net/vif1.0/statistics/tx_bytes"
    told = made.ssh(
        f"xl {xl.SCHEDULERS[scheduler]} -d 0 -w {weight}; sleep 2; {look}; sleep {SECONDS}; {look}"
    )
    began, before, ended, after = map(float, told.split())
    return (after - before) / (ended - began)


def simulated_boost(scheduler: Name) -> float:
    """What the simulator gives where all are pinned, median of as many loads."""
    guests = (GuestKind(name="g1"), GuestKind(name="g2"), GuestKind(name="g3", role="cpu", vifs=0))
    scenario = replace(
        _scenario(scheduler, 4, guests[2]),
        guests=guests,
        flows=(Flow(source="g2", sink="g1"),),
    )
    return statistics.median(_boosted(scenario, seed) for seed in range(PAIRS))


def _boosted(scenario: Scenario, seed: int) -> float:
    host = SimHost(scenario, seed)
    spec, stock = host.describe(), host.settings()
    place: dict[str, Sequence[int]] = {backend.name: (0,) for backend in spec.backends}
    place |= {"g1/0": (1,), "g2/0": (2,), "g3/0": (0,)}
    rates = []
    for weight in (NORMAL, BOOSTED):
        found = {**stock.weight, spec.driver_domain: weight}
        host._settings = replace(stock, placement=place, weight=found)  # noqa: SLF001 (see below)
        rates.append(bandwidth(host.measure(3.0)))
    return rates[1] / rates[0]


@contextmanager
def machine(kind: Kind) -> Iterator[Machine]:
    """A host as it was when its guests had come up."""
    made = up(kind)
    try:
        yield made
    finally:
        made.down()


def arrange(made: Machine, scheduler: Name, where: str) -> None:
    """Have both guests compute, on one core of the real Xen that dom0 keeps off."""
    made.ssh("xl vcpu-pin 0 all 0-2")
    if where == ONE_CORE:
        made.ssh("xl cpupool-cpu-remove Pool-0 3")
        made.ssh(f"""xl cpupool-create 'name="one"' 'sched="{scheduler}"' 'cpus=["3"]'""")
        made.ssh("xl cpupool-migrate 1 one && xl cpupool-migrate 2 one")
    else:
        made.ssh("xl vcpu-pin 1 0 3 && xl vcpu-pin 2 0 3")
    compute(made, 1)
    compute(made, 2)


def shares(made: Machine, case: Case) -> Iterator[float]:
    """CPU time of g1 over that of g2, time and again, on the real Xen."""
    weights = xl.SCHEDULERS[case.scheduler]
    made.ssh(f"xl {weights} -d 1 -w {case.weight} && xl {weights} -d 2 -c {case.cap}; sleep 3")
    for _ in range(TIMES):
        cpu = used(made, SECONDS)
        yield cpu[1] / cpu[2]


def used(made: Machine, seconds: float) -> dict[int, float]:
    """CPU seconds of each domain over an interval."""
    both = made.ssh(f"xl vcpu-list; echo then; sleep {seconds}; xl vcpu-list").split("then\n")
    found: dict[int, float] = {}
    for sign, text in zip((-1, 1), both, strict=True):
        for vcpu in xl.vcpus(text):
            found[vcpu.domid] = found.get(vcpu.domid, 0.0) + sign * vcpu.seconds
    return found


def simulated_share(case: Case) -> float:
    """What the simulator gives for a case."""
    cores = 1 if case.where == ONE_CORE else 4
    other = GuestKind(name="g2", role="cpu", vifs=0, cap=case.cap)
    host = SimHost(_scenario(case.scheduler, cores, other))
    sample = _measured(host, core=cores - 1, weight=case.weight)
    return sample.guest_cpu["g1"] / sample.guest_cpu["g2"]


def _scenario(scheduler: Name, cores: int, other: GuestKind) -> Scenario:
    """g1 and another compute; a third has next to no load."""
    return Scenario(
        name="real",
        about="the lab of the real Xen",
        guests=(GuestKind(name="sink"), GuestKind(name="g1", role="cpu", vifs=0), other),
        flows=(Flow(source="outside", sink="sink", kind="udp", gbps=1e-6),),
        topology=Topology(cores=cores, per_llc=cores, per_node=cores),
        scheduler=Scheduler(kind=scheduler, ratelimit_us=1000.0),
        driver_domain=DriverDomain(kind="threads"),
        settable=Settable(side_cores=0),
        stock=Stock(tx_queue=1000),
    )


def _measured(host: SimHost, core: int, weight: int) -> Sample:
    """A sample with g1 and g2 pinned. Weights are as if found so: not all are a tuner's to set."""
    stock = host.settings()
    own = {"g1/0": (core,), "g2/0": (core,)}
    host._settings = replace(  # noqa: SLF001 (see above)
        stock, placement={**stock.placement, **own}, weight={**stock.weight, "g1": weight}
    )
    return host.measure(3.0)


if __name__ == "__main__":
    main()
