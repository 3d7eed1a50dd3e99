"""Policies compared on real hosts that are made for it: a fresh lab for every run.

On each lab every policy chooses, and what each kept is measured in rounds, all in turn; then the
lab is taken down. A run's score is the mean of its rounds, so that the intervals are those of
labs, not of one lab's rounds.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from msgspec.structs import replace

from agents import registry
from envs.host import Host
from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig, Workload
from envs.hosts.lab.host import LabHost
from envs.reward import Guard, Guards
from tuner import state
from tuner.compare import LiveBench, Results, Score, choose_live, score_live
from tuner.interrupts import Interrupts, interrupts
from tuner.transaction import transaction
from tuner.tune import Budget, Step

LAB = "compare"
ROUNDS = 4
"""How often what each policy kept is measured on a lab."""


def compare_fresh_labs(
    workloads: Sequence[Workload],
    labs: int,
    policies: Sequence[str],
    budget: Budget,
    guards: Guards,
    step: Step,
) -> Results:
    """Compare on ``labs`` fresh labs of each workload."""
    scores: list[Score] = []
    tried: list[Score] = []
    with interrupts() as noted:
        for workload in workloads:
            for run in range(labs):
                with fresh_lab(LabConfig(name=LAB, workload=workload), noted) as host:
                    found = _compare(host, policies, budget, guards, step, run)
                where = f"lab, {workload}"
                scores += [replace(s, host=where, run=run) for s in _means(found.scores)]
                tried += [replace(s, host=where, run=run) for s in found.tried]
    return Results(scores=tuple(scores), tried=tuple(tried))


@contextmanager
def fresh_lab(config: LabConfig, noted: Interrupts) -> Iterator[Host]:
    """A lab that is made for the block and taken down after it, whatever ends it."""
    manage.down_if_dead(config.name)
    with noted.waiting():
        manage.up(config)
    try:
        yield LabHost.open(config.name)
    finally:
        manage.down(config.name)


def _compare(
    host: Host, policies: Sequence[str], budget: Budget, guards: Guards, step: Step, seed: int
) -> Results:
    chosen = [registry.get(name, seed) for name in policies]
    with state.held(host) as held, transaction(held, "compare") as trial:
        bench = LiveBench(trial, budget, step)
        kept, tried = choose_live(bench, chosen, budget.tries, guards)
        return Results(scores=score_live(bench, kept, ROUNDS, guards), tried=tried)


def _means(scores: Sequence[Score]) -> Iterator[Score]:
    """The rounds of each policy as one score: means, of ratios the geometric one."""
    for policy in dict.fromkeys(score.policy for score in scores):
        rounds = [score for score in scores if score.policy == policy]
        margins = {
            guard.name: float(np.mean([_margin(score, guard.name) for score in rounds]))
            for guard in rounds[0].guards
        }
        yield replace(
            rounds[0],
            bandwidth=float(np.mean([score.bandwidth for score in rounds])),
            cores=float(np.mean([score.cores for score in rounds])),
            per_core=math.exp(np.mean([math.log(score.per_core) for score in rounds])),
            ratio=math.exp(np.mean([math.log(score.ratio) for score in rounds])),
            guards=tuple(Guard(name=name, margin=margin) for name, margin in margins.items()),
        )


def _margin(score: Score, name: str) -> float:
    return next(guard.margin for guard in score.guards if guard.name == name)
