"""A real Xen beside the simulator: who gets the processor, by weights and caps.

    sudo .venv/bin/python results/real_xen.py | tee results/real_xen.txt

The real Xen is the lab ``--kind xen``: emulated, so no speed of it means anything, but shares do.
Two guests that compute want one core: by weights, and one with a cap.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

from msgspec.structs import replace

from envs.host import Record, Sample
from envs.hosts.xen import xl
from envs.hosts.xen.lab import Kind, Machine
from envs.hosts.xen.lab.machine import up
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
BUSY = "while :; do :; done </dev/null >/dev/null 2>&1 &"
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
WEIGHTS_AND_CAPS = ((256, 0), (512, 0), (1024, 0), (256, 25))


def main() -> None:
    """Print the table."""
    print(f"CPU time of g1 over that of g2, in {SECONDS:g} s, {TIMES} times\n")
    for scheduler, where in POOLS:
        with machine(scheduler) as made:
            arrange(made, scheduler, where)
            for weight, cap in WEIGHTS_AND_CAPS:
                case = Case(scheduler=scheduler, where=where, weight=weight, cap=cap)
                real = " ".join(f"{share:.2f}" for share in shares(made, case))
                print(f"{case:62}   Xen {real}   SimHost {simulated_share(case):.2f}", flush=True)


@contextmanager
def machine(scheduler: Name) -> Iterator[Machine]:
    """A host as it was when its guests had come up."""
    made = up(Kind(scheduler=scheduler))
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
    for address in ("10.0.0.11", "10.0.0.12"):
        made.ssh(f"echo '{BUSY}' | busybox nc -w 5 {address} 99")


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
