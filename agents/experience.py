"""What settings turned out to be worth on training hosts, as examples for a forecast.

On each host heuristics, chance and a short climb try some settings, and then, once there is a
forecast, so does the agent itself: what it believes in most is where its beliefs must be right.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from agents.artifact import Agent
from agents.evaluation import attempt, go_on, tune
from agents.heuristics import HEURISTICS
from agents.learned import AgentPolicy
from agents.policy import History, Trial, measured
from agents.processes import spread
from agents.recipe import BEST
from agents.search import Climb, RandomSearch
from agents.telemetry import PooledHost, Telemetry
from envs.errors import InputError
from envs.host import Host
from envs.prospect import Prospects
from envs.scenario import Scenario

LOADS = 2
"""A setting is measured under so many loads: one may be luck."""
LOAD = 1_000_000
"""The seeds of a host's loads are these many apart."""
BLIND, UPHILL = 7, 10
"""Settings tried at random, and then in a climb."""
TOLD = (0, 0, 1, 2, 3, 8)
"""After so many trials that are told, drawn by chance, an example is made each of ``TARGETS``."""
TARGETS, OWN = 16, 6
"""Of these so many at most are the agent's own."""
GOOD, MANY = 8, 5
"""One of so many best ends a history of so many trials or more."""
FIRST, OTHERS, AMONG = 2, 3, 16
"""Of its own plan an agent tries the first ones, and others of so many that follow."""


class Examples(NamedTuple):
    """N settings, each of some host with some history.

    ``entities`` has the rows of all, (sum of ``counts``, entity) in half precision, ``counts``
    (N,) how many each has, ``wholes`` (N, whole), ``worth`` (N, 3) the gain, whether guards held
    and the shortfall.
    """

    entities: NDArray[np.float16]
    counts: NDArray[np.int64]
    wholes: NDArray[np.float16]
    worth: NDArray[np.float32]


def join(parts: Sequence[Examples]) -> Examples:
    """All examples as one."""
    return Examples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def collect(
    seeds: Sequence[int],
    seconds: float,
    workers: int,
    scenario: Scenario | None = None,
    agent: Agent | None = None,
) -> Iterator[Examples]:
    """``experience`` of every seed, by that many processes, in order."""
    work = partial(experience, seconds=seconds, scenario=scenario, agent=agent)
    return spread(work, seeds, workers)


def experience(
    seed: int, seconds: float, scenario: Scenario | None = None, agent: Agent | None = None
) -> Examples:
    """Examples from the training host of that seed, with some tries of the agent, if there is one.

    Settings are measured exactly. What is told of those tried before is as a live host tells it.
    """
    loads = range(seed, seed + LOADS * LOAD, LOAD)
    host = PooledHost(seed, loads, noisy=False, scenario=scenario)
    rng = np.random.default_rng(seed)
    telling = _Telling(Telemetry.draw(rng), rng)
    history = _tried(host, seconds, seed)
    if not history.trials:
        raise InputError(
            f"{host.scenario.name}: nothing can be set there: there is nothing to learn"
        )
    others = len(history.trials)
    if agent is not None:
        history = _by_itself(host, history, seconds, agent, telling)
    return _examples(history, others, telling)


class _Telling:
    """Tells trials as a live host would."""

    def __init__(self, telemetry: Telemetry, rng: np.random.Generator) -> None:
        self._telemetry = telemetry
        self.rng = rng

    def begin(self, history: History) -> History:
        """The history as it began."""
        baseline = self._telemetry.told(history.baseline_sample, self.rng)
        return replace(history, baseline_sample=baseline, trials=())

    def add(self, told: History, trials: Sequence[Trial], count: int) -> History:
        """What is told so far, and as many trials more."""
        for _ in range(count):
            trial = trials[int(self.rng.integers(len(trials)))]
            sample = self._telemetry.told(trial.sample, self.rng)
            told = told.with_sample(trial.settings, sample)
        return told


def _tried(host: Host, seconds: float, seed: int) -> History:
    history = tune(HEURISTICS[0], host, 0, seconds)
    for known in (*HEURISTICS, BEST.policy()):
        history = go_on(known, host, history, 1, seconds)
    history = go_on(RandomSearch(seed), host, history, BLIND, seconds)
    return go_on(Climb(seed), host, history, UPHILL, seconds)


def _by_itself(
    host: Host, history: History, seconds: float, agent: Agent, telling: _Telling
) -> History:
    """What the agent would try first, and what it would after some of that and something else."""
    policy = AgentPolicy(agent, seed=int(telling.rng.integers(2**31)))
    others = history.trials
    told = telling.begin(history)
    for _ in range(2):
        plan = policy.ranked(told)
        rest = plan[FIRST:AMONG]
        picked = telling.rng.choice(len(rest), min(OTHERS, len(rest)), replace=False)
        for settings in (*plan[:FIRST], *(rest[i] for i in picked)):
            if not measured(history, settings):
                history = attempt(host, history, settings, seconds)
        told = telling.add(told, history.trials[len(others) :] or others, 2)
        told = telling.add(told, others, 1)
    return history


def _examples(history: History, others: int, telling: _Telling) -> Examples:
    prospects = Prospects(history.spec, history.baseline)
    good = sorted((t for t in history.trials if t.verdict.holds), key=lambda t: -t.verdict.reward)
    parts = []
    for count in TOLD:
        told = telling.add(telling.begin(history), history.trials, count)
        if count >= MANY and good:
            told = telling.add(told, good[:GOOD], 1)
        known = prospects.facts(told)
        trials = [history.trials[i] for i in _targets(len(history.trials), others, telling.rng)]
        entities, wholes = prospects.rows(known, [trial.settings for trial in trials])
        parts.append(
            Examples(
                entities=entities.reshape(-1, entities.shape[2]).astype(np.float16),
                counts=np.full(len(trials), entities.shape[1]),
                wholes=wholes.astype(np.float16),
                worth=np.array([_worth(trial) for trial in trials], np.float32),
            )
        )
    return join(parts)


def _targets(count: int, others: int, rng: np.random.Generator) -> list[int]:
    own = rng.choice(range(others, count), min(OWN, count - others), replace=False)
    rest = rng.integers(others, size=TARGETS - len(own))
    return [int(i) for i in (*own, *rest)]


def _worth(trial: Trial) -> tuple[float, float, float]:
    """Gain, whether the guards held, and by how much they were missed."""
    verdict = trial.verdict
    missed = sum(max(0.0, -guard.margin) for guard in verdict.guards)
    return verdict.gain, float(verdict.holds), missed
