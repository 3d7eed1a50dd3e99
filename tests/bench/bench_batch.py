"""What stepping hosts together saves: python tests/bench/bench_batch.py [--json].

The same random choices are made on the same generated hosts, one by one in ``HostEnv`` and together
in ``SimVectorEnv``, with measurements of 100 ms, so that a measurement is a host-step. What a
choice takes besides the simulation is told on its own. Figures are of processor time of one core,
medians of several rounds in which the two take turns. The second table is of other numbers of
hosts.
"""

# ruff: noqa: T201 - a script that prints its result

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.batch import batch
from envs.batch.vector_env import SimVectorEnv
from envs.host_env import HostEnv, sim_host_env
from envs.sim.host import SimHost

SECONDS = 0.1
STEPS = 64
"""Choices of each host: more than an episode has."""
SIZES = (1, 4, 16, 64, 256, 1024, 4096)


class Clock:
    """Processor seconds spent inside some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """``work``, with its time counted."""

        def timed(*arguments: object) -> object:
            start = time.process_time()
            try:
                return work(*arguments)
            finally:
                self.seconds += time.process_time() - start

        return timed


SIMULATING = Clock()


class Taken(NamedTuple):
    """Processor seconds of some choices, and how much of that was simulation."""

    choices: int
    seconds: float
    simulating: float

    @property
    def besides(self) -> float:
        """Microseconds a choice besides the simulation."""
        return 1e6 * (self.seconds - self.simulating) / self.choices


def choose(masks: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random value that is offered, for each row."""
    return np.asarray((rng.random(len(masks)) * masks.sum(1)).astype(np.int64))


def one_by_one(envs: list[HostEnv], steps: int, seed: int) -> Taken:
    """Make choices on each host in turn."""
    rng = np.random.default_rng(seed)
    start, before = time.process_time(), SIMULATING.seconds
    for place, env in enumerate(envs):
        env.reset(seed=seed + place)
    for _ in range(steps):
        actions = choose(np.stack([env.action_masks() for env in envs]), rng)
        for env, action in zip(envs, actions, strict=True):
            _, _, ended, _, _ = env.step(action)
            if ended:
                env.reset()
    taken = time.process_time() - start
    return Taken(steps * len(envs), taken, SIMULATING.seconds - before)


def together(env: SimVectorEnv, steps: int, seed: int) -> Taken:
    """Make the same choices on all hosts at once."""
    rng = np.random.default_rng(seed)
    start, before = time.process_time(), SIMULATING.seconds
    env.reset(seed=seed)
    for _ in range(steps):
        env.step(choose(env.action_masks(), rng))
    taken = time.process_time() - start
    return Taken(steps * env.num_envs, taken, SIMULATING.seconds - before)


def compare(hosts: int, steps: int, rounds: int) -> dict[str, float]:
    """Choices a second and microseconds besides the simulation, one by one and together."""
    plain = [sim_host_env(seconds=SECONDS) for _ in range(hosts)]
    vector = SimVectorEnv(hosts, seconds=SECONDS)
    one_by_one(plain, 1, 0)  # what is compiled on first use
    together(vector, 1, 0)
    pairs = [(one_by_one(plain, steps, k), together(vector, steps, k)) for k in range(rounds)]
    figures = {
        "choices/s, one by one": [one.choices / one.seconds for one, _ in pairs],
        "choices/s, together": [both.choices / both.seconds for _, both in pairs],
        "faster": [one.seconds / both.seconds for one, both in pairs],
        "us besides, one by one": [one.besides for one, _ in pairs],
        "us besides, together": [both.besides for _, both in pairs],
        "faster besides": [one.besides / both.besides for one, both in pairs],
        "share of simulation, together": [both.simulating / both.seconds for _, both in pairs],
    }
    return {name: statistics.median(values) for name, values in figures.items()}


def sized(hosts: int) -> dict[str, float]:
    """Choices a second and microseconds besides with so many hosts, and KB of memory for each."""
    before = resident()
    vector = SimVectorEnv(hosts, seconds=SECONDS)
    together(vector, 1, hosts)  # what is compiled or loaded on first use
    taken = together(vector, STEPS, hosts)
    return {
        "choices/s": taken.choices / taken.seconds,
        "us besides": taken.besides,
        "KB a host": (resident() - before) / hosts / 1024,
    }


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Print two tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=16)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    SimHost.measure = SIMULATING.of(SimHost.measure)  # type: ignore[method-assign]
    batch.simulate = SIMULATING.of(batch.simulate)
    figures = compare(options.hosts, STEPS, options.rounds)
    sizes = {hosts: sized(hosts) for hosts in options.sizes}
    if options.json:
        print(json.dumps({**figures, "hosts": sizes}, indent=2))
        return
    for name, figure in figures.items():
        print(f"{name:32}{figure:10.4g}")
    print(f"{'hosts':8}{'choices/s':>12}{'us besides':>12}{'KB a host':>12}")
    for hosts, row in sizes.items():
        print(f"{hosts:<8}" + "".join(f"{value:12.4g}" for value in row.values()))


if __name__ == "__main__":
    main()
