"""How many host-steps a core simulates in a second: python tests/bench/bench_simulator.py [--json].

A host-step is 100 ms of simulated time. Each figure is the median of several rounds, in processor
time, so that other work on the machine disturbs it little. ``engine`` is the simulation alone,
``measure`` what a caller sees: warm-up, reset and sample included.
"""

# ruff: noqa: T201 - a script that prints its result

import argparse
import json
import statistics
import time
from collections.abc import Callable

from envs.scenario import load
from envs.sim.host import WARM_UP, SimHost

STEP = 0.1
SCENARIOS = ("xen-2008-receive", "xen-2008-transmit", "xen-2008-mixed", "modern-kvm", "lab")


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds of ``work``."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def bench(scenario: str, rounds: int) -> dict[str, float]:
    """Host-steps a second of a core, and events a host-step."""
    host = SimHost(load(scenario))
    host.measure(STEP)
    events = float(host.events) * STEP / (WARM_UP + STEP)
    long = median_seconds(lambda: host.measure(10 * STEP), rounds)
    short = median_seconds(lambda: host.measure(STEP), rounds)
    return {
        "engine": 9.0 / (long - short),
        "measure": 1.0 / short,
        "events": events,
    }


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures = {name: bench(name, options.rounds) for name in SCENARIOS}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{'scenario':20}{'engine':>12}{'measure':>12}{'events/step':>14}")
    for name, figure in figures.items():
        print(f"{name:20}" + "{engine:12.0f}{measure:12.0f}{events:14.0f}".format(**figure))


if __name__ == "__main__":
    main()
