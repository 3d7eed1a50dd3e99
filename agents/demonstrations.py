"""What search found on training hosts, as choices for an agent to copy."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.processes import spread
from agents.teacher import search, simplified
from agents.telemetry import Telemetry
from envs.decision import Decision
from envs.encoding import Encoder
from envs.history import History
from envs.host import Settings
from envs.scenario import generate
from envs.sim.host import SimHost

ENOUGH = 0.004
"""Where no more than this is left to gain, to stay is the right choice."""


class Demonstration(NamedTuple):
    """A choice: the state (STATE,), the candidates (count, CANDIDATE) and which is right."""

    state: NDArray[np.float32]
    candidates: NDArray[np.float32]
    right: int


def collect(
    seeds: Iterable[int],
    measurements: int,
    seconds: float,
    tries: int,
    workers: int,
) -> Iterator[list[Demonstration]]:
    """``demonstrate`` of every seed, by that many processes, in order."""
    show = partial(demonstrate, measurements=measurements, seconds=seconds, tries=tries)
    return spread(show, seeds, workers)


def demonstrate(seed: int, measurements: int, seconds: float, tries: int) -> list[Demonstration]:
    """The right choices on the training host of that seed, before and after each of some tries.

    What was tried before is drawn from what the search has measured, good and bad. The search sees
    exactly; what is shown is as a live host would tell it.
    """
    host = SimHost(generate(seed), seed=seed)
    found, target = simplified(host, search(host, measurements, seconds, seed), seconds)
    rng = np.random.default_rng(seed)
    telemetry = Telemetry.draw(rng)
    baseline = telemetry.told(found.baseline_sample, rng)
    told = msgspec.structs.replace(found, baseline_sample=baseline, trials=())
    shown: list[Demonstration] = []
    for _ in range(tries):
        near = told.best and _gain(found, target) - _gain(found, told.best.settings) < ENOUGH
        shown += _choices(told, told.start if near else target)
        trial = found.trials[int(rng.integers(len(found.trials)))]
        told = told.with_sample(trial.settings, telemetry.told(trial.sample, rng))
    return shown


def _gain(found: History, settings: Settings) -> float:
    return next((t.verdict.gain for t in found.trials if t.settings == settings), 0.0)


def _choices(history: History, target: Settings) -> Iterator[Demonstration]:
    """The choices that lead to ``target``."""
    encoder = Encoder(history.spec, history.baseline)
    facts = encoder.facts(history)
    decision = Decision.start(history.spec, history.baseline, history.start)
    while decision.choice:
        observation = encoder.encode(facts, decision)
        right = decision.toward(target)
        rows = observation["candidates"][: len(decision.choice.values)]
        yield Demonstration(observation["state"], rows, right)
        decision = decision.take(right)
