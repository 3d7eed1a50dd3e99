"""How many host-steps a core simulates in a second: python tests/bench/bench_simulator.py [--json].

A host-step is 100 ms of simulated time. Each figure is the median of several rounds, in processor
time, so that other work on the machine disturbs it little. ``engine`` is the simulation alone,
``measure`` what a caller sees: warm-up, reset and sample included; ``reference`` is the
packet-level one on SimPy. The second table is the receiving testbed with other numbers of cores
and guests.
"""

# ruff: noqa: T201 - a script that prints its result

import argparse
import json
import statistics
import time
from collections.abc import Callable

from msgspec.structs import replace

from envs.reference.host import ReferenceHost
from envs.scenario import Flow, GuestKind, Scenario, load
from envs.sim.host import WARM_UP, SimHost

STEP = 0.1
REFERENCE_STEP = 0.02
SIZES = ((4, 4), (8, 1), (8, 2), (8, 4), (8, 8), (8, 16), (16, 4), (32, 4), (62, 4), (62, 60))
"""Cores and guests of the hosts in the second table."""
SCENARIOS = ("xen-2008-receive", "xen-2008-transmit", "xen-2008-mixed", "modern-kvm", "lab")


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds of ``work``."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def bench(scenario: Scenario, rounds: int) -> dict[str, float]:
    """Host-steps a second of a core, and events a host-step."""
    host = SimHost(scenario)
    host.measure(STEP)
    events = float(host.events) * STEP / (WARM_UP + STEP)
    long = median_seconds(lambda: host.measure(10 * STEP), rounds)
    short = median_seconds(lambda: host.measure(STEP), rounds)
    return {
        "engine": 9.0 / (long - short),
        "measure": 1.0 / short,
        "events": events,
    }


def bench_reference(scenario: Scenario) -> float:
    """Host-steps a second of the reference, once."""
    host = ReferenceHost(scenario)
    taken = median_seconds(lambda: host.measure(REFERENCE_STEP), 1)
    return (WARM_UP + REFERENCE_STEP) / STEP / taken


def sized(cores: int, guests: int) -> Scenario:
    """The receiving testbed with so many cores and guests."""
    plain = load(SCENARIOS[0])
    kinds = tuple(GuestKind(name=f"web{k}") for k in range(1, guests + 1))
    flows = tuple(Flow(source="outside", sink=guest.name, window_kb=2048.0) for guest in kinds)
    topology = replace(plain.topology, cores=cores)
    return replace(plain, guests=kinds, flows=flows, topology=topology)


def main() -> None:
    """Print two tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures = {name: bench(load(name), options.rounds) for name in SCENARIOS}
    for name, figure in figures.items():
        figure["reference"] = bench_reference(load(name))
    sizes = {
        f"{cores} cores, {guests} guests": bench(sized(cores, guests), options.rounds)
        for cores, guests in SIZES
    }
    if options.json:
        print(json.dumps({**figures, **sizes}, indent=2))
        return
    print(f"{'scenario':20}{'engine':>10}{'measure':>10}{'reference':>11}{'events/step':>13}")
    for name, figure in figures.items():
        row = "{engine:10.0f}{measure:10.0f}{reference:11.2f}{events:13.0f}"
        print(f"{name:20}" + row.format(**figure))
    for name, figure in sizes.items():
        row = "{engine:10.0f}{measure:10.0f}{events:24.0f}"
        print(f"{name:20}" + row.format(**figure))


if __name__ == "__main__":
    main()
