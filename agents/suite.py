"""A policy on a test host: what it keeps after each measurement, and what that is worth.

A measurement is what a live tuner makes of one setting: a few samples, pooled, as the host would
tell of them, with noise and gaps. Each policy keeps the best of its own measurements. What is kept
is worth the reward of as many samples without noise, under other loads of the same host, so that
nobody is rewarded for luck. Latency is guarded where the host tells it.
"""

from agents.evaluation import tune
from agents.heuristics import HEURISTICS
from agents.policy import History, Policy, measured
from agents.teacher import search
from agents.telemetry import PooledHost
from envs.host import Record, Settings, to_json
from envs.reward import judge

SECONDS = 0.1
"""What a sample takes."""
SAMPLES = 12
"""Of a measurement, each under a load of its own: as many as a live tuner takes at most."""
LOAD = 1_000_000
"""The seeds of a host's loads are these many apart."""
BEST_KNOWN = "long search"
LONG = 1000
"""The measurements of a long search, besides the heuristics."""
FINALISTS = 12
"""Of its best settings so many are measured under other loads."""


class Played(Record, frozen=True):
    """What a policy kept on the host of ``seed`` after each measurement, the baseline not counted.

    ``kept`` is what that is worth, 0 where it is the host as found; ``best`` the setting that is
    worth the most of these.
    """

    seed: int
    policy: str
    kept: tuple[float, ...]
    best: Settings

    @property
    def most(self) -> float:
        """The highest worth of all, 0 where nothing is better than the host as found."""
        return max((0.0, *self.kept))


class Worth:
    """What settings of the host of ``seed`` are worth: the reward under loads of its own."""

    def __init__(self, seed: int) -> None:
        self._host = PooledHost(seed, loads(seed)[SAMPLES:], noisy=False)
        self.found = self._host.settings()
        self._before = self._host.measure(SECONDS)
        self._known = {to_json(self.found): 0.0}

    def of(self, settings: Settings) -> float:
        """The reward; it is measured once."""
        key = to_json(settings)
        if key not in self._known:
            self._host.apply(settings)
            after = self._host.measure(SECONDS)
            spec = self._host.describe()
            self._known[key] = judge(spec, settings, after, self.found, self._before).reward
        return self._known[key]


def play(policy: Policy, seed: int, measurements: int) -> Played:
    """Up to ``measurements`` settings of ``policy``; fewer where it proposes no more."""
    host, worth = PooledHost(seed, loads(seed)[:SAMPLES]), Worth(seed)
    history = tune(HEURISTICS[0], host, 0, SECONDS)
    kept: list[Settings] = []
    while len(kept) < measurements:
        settings = policy.propose(history)
        if settings is None or measured(history, settings):
            break
        host.apply(settings)
        history = history.with_sample(settings, host.measure(SECONDS))
        kept.append(history.start)
    return _played(seed, policy.name, worth, kept)


def long_search(seed: int) -> Played:
    """The best known for a host, from far more measurements than a tuner could make, without noise.

    All settings are too many on every test host: even with two cores there are tens of thousands.
    """
    host = PooledHost(seed, loads(seed)[:SAMPLES], noisy=False)
    history = search(host, LONG, SECONDS, seed)
    return _played(seed, BEST_KNOWN, Worth(seed), _finalists(history))


def loads(seed: int) -> range:
    """The seeds of a host's loads: those of its measurements, then those that show its worth."""
    return range(seed, seed + 2 * SAMPLES * LOAD, LOAD)


def _finalists(history: History) -> list[Settings]:
    good = [trial for trial in history.trials if trial.verdict.holds]
    good.sort(key=lambda trial: -trial.verdict.reward)
    return [trial.settings for trial in good[:FINALISTS]]


def _played(seed: int, name: str, worth: Worth, kept: list[Settings]) -> Played:
    values = tuple(worth.of(settings) for settings in kept)
    best = max([worth.found, *kept], key=worth.of)
    return Played(seed=seed, policy=name, kept=values, best=best)
