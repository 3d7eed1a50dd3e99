"""A policy on a test host: what it measures there, as a tuner would, and what that is truly worth.

Policies see samples as a live host would tell them, with noise; what they are judged by is without.
"""

import msgspec
import numpy as np

from agents.evaluation import tune
from agents.heuristics import HEURISTICS
from agents.policy import History, Policy, measured
from agents.teacher import search
from agents.telemetry import Telemetry, ToldHost
from envs.host import Record, Settings
from envs.scenario import generate
from envs.sim.host import SimHost

SECONDS = 0.1
"""What a measurement takes."""
BEST_KNOWN = "long search"
LONG = 1500
"""The measurements of a long search, besides the heuristics."""


class Played(Record, frozen=True):
    """What a policy measured on the host of ``seed``, in order, without the baseline.

    ``worth`` is the reward of each setting and ``kept`` that of the best by measurement so far,
    both without noise, and 0 for the host as found. ``best`` is the setting of the highest worth.
    """

    seed: int
    policy: str
    worth: tuple[float, ...]
    kept: tuple[float, ...]
    best: Settings

    @property
    def most(self) -> float:
        """The highest worth of all, 0 where nothing is better than the host as found."""
        return max((0.0, *self.worth))


def play(policy: Policy, seed: int, measurements: int) -> Played:
    """Up to ``measurements`` settings of ``policy``; fewer where it proposes no more."""
    host = SimHost(generate(seed), seed=seed)
    rng = np.random.default_rng(seed)
    telemetry = Telemetry.draw(rng)
    exactly = msgspec.structs.replace(telemetry, noise=0.0)
    exact = tune(HEURISTICS[0], host, 0, SECONDS)
    found = exact.baseline_sample
    exact = msgspec.structs.replace(exact, baseline_sample=exactly.told(found, rng))
    told = msgspec.structs.replace(exact, baseline_sample=telemetry.told(found, rng))
    kept: list[float] = []
    while len(kept) < measurements:
        settings = policy.propose(told)
        if settings is None or measured(told, settings):
            break
        host.apply(settings)
        sample = host.measure(SECONDS)
        exact = exact.with_sample(settings, exactly.told(sample, rng))
        told = told.with_sample(settings, telemetry.told(sample, rng))
        best = told.best
        kept.append(exact.trials[told.trials.index(best)].verdict.reward if best else 0.0)
    return _played(exact, seed, policy.name, tuple(kept))


def long_search(seed: int) -> Played:
    """The best known for a host, from far more measurements than a tuner could make.

    All settings are too many on every test host: even with two cores there are tens of thousands.
    """
    host = ToldHost(generate(seed), seed, noisy=False)
    return _played(search(host, LONG, SECONDS, seed), seed, BEST_KNOWN, ())


def _played(history: History, seed: int, name: str, kept: tuple[float, ...]) -> Played:
    worth = tuple(trial.verdict.reward for trial in history.trials)
    at = max(range(len(worth)), key=worth.__getitem__, default=None)
    best = history.baseline if at is None else history.trials[at].settings
    return Played(seed=seed, policy=name, worth=worth, kept=kept, best=best)
