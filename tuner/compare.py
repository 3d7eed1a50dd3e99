"""Policies compared on the same hosts with the same number of measurements.

Every policy may try the same number of settings and keeps the best it measured that broke no guard,
else the host as found. What each kept is then measured again, so that nobody is rewarded for a
lucky measurement: a simulated host under a load that was not seen while choosing; a live host in
rounds, all settings once each in random order, so that a drift hits all alike. Ratios are always
to the host as found, measured under the same load or in the same round.

A policy whose settings all miss a guard, or are no better, keeps the host as found, and its scores
are stock's. What it proposed stands in ``Results.tried``, as it was measured while choosing.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from agents import registry
from agents.policy import Policy, measured
from envs.history import History, Trial
from envs.host import Host, HostSpec, Record, Sample, Settings, to_json
from envs.hosts.locate import open_host
from envs.pooling import pool
from envs.reward import Guard, Guards, Verdict, judge
from tuner.judge import judge_pairs
from tuner.pairs import Pair
from tuner.transaction import Transaction
from tuner.tune import Budget, Step, settled

STOCK = "stock"
UNSEEN = 1_000_000
"""Added to the seed of a simulated host for the load under which what was kept is measured."""


class Score(Record, frozen=True):
    """What a setting of a policy was worth on one host, once.

    ``run`` is the seed of a simulated host or the round on a live one. ``ratio`` is bandwidth per
    core to the host as found in the same run, ``reward`` and ``guards`` are judged against it too.
    """

    host: str
    policy: str
    run: int
    bandwidth: float
    cores: float
    per_core: float
    ratio: float
    reward: float
    guards: tuple[Guard, ...]

    @property
    def holds(self) -> bool:
        """Whether every guard is kept."""
        return all(guard.holds for guard in self.guards)


class Results(Record, frozen=True):
    """All that was measured: what was kept in ``scores``, what was tried while choosing."""

    scores: tuple[Score, ...]
    tried: tuple[Score, ...]


class Bench(Protocol):
    """A host to measure settings on."""

    spec: HostSpec
    found: Settings

    def under(self, settings: Settings) -> Sample:
        """A sample under ``settings``."""
        ...

    def baseline(self) -> Sample:
        """A sample of the host as found, measured once for all policies."""
        ...

    def pairs(self, settings: Settings) -> tuple[Pair, ...]:
        """The host as found and under ``settings``, fit to be judged."""
        ...


class SimBench:
    """A simulated host: its samples repeat exactly, so the host as found is measured once."""

    def __init__(self, host: Host, seconds: float, step: Step) -> None:
        self.spec, self.found = host.describe(), host.settings()
        self._host, self._seconds, self._step = host, seconds, step
        self._before: Sample | None = None

    def under(self, settings: Settings) -> Sample:
        """See ``Bench.under``."""
        self._step(self.spec.uri)
        self._host.apply(settings)
        return self._host.measure(self._seconds)

    def baseline(self) -> Sample:
        """See ``Bench.baseline``."""
        if self._before is None:
            self._before = self.under(self.found)
        return self._before

    def pairs(self, settings: Settings) -> tuple[Pair, ...]:
        """One pair, twice: a second measurement would be the same."""
        pair = Pair(before=self.baseline(), after=self.under(settings))
        return pair, pair


class LiveBench:
    """A live host, held in a transaction that undoes everything in the end."""

    def __init__(self, trial: Transaction, budget: Budget, step: Step) -> None:
        self.spec, self.found = trial.spec, trial.found
        self._trial, self._budget, self._step = trial, budget, step
        self._before: Sample | None = None

    def under(self, settings: Settings) -> Sample:
        """See ``Bench.under``."""
        self._step(self.spec.uri)
        return settled(self._trial, settings, self._budget)

    def baseline(self) -> Sample:
        """See ``Bench.baseline``."""
        if self._before is None:
            self._before = self.under(self.found)
        return self._before

    def pairs(self, settings: Settings) -> tuple[Pair, ...]:
        """As many pairs as the budget says, every other begun with the change."""
        pairs = []
        for number in range(self._budget.pairs):
            order = (self.found, settings) if number % 2 == 0 else (settings, self.found)
            first, second = (self.under(each) for each in order)
            before, after = (first, second) if number % 2 == 0 else (second, first)
            pairs.append(Pair(before=before, after=after))
        return tuple(pairs)


def search(
    bench: Bench, policy: Policy, tries: int, guards: Guards
) -> tuple[Settings, tuple[Verdict, ...]]:
    """The best setting that ``policy`` finds within ``tries``, and what it measured.

    The best has the highest gain of those above the host as found that miss no guard; a gain that
    was luck shows when it is measured again.
    """
    history = History(
        spec=bench.spec,
        baseline=bench.found,
        baseline_sample=bench.baseline(),
        guards=guards,
    )
    best, most = bench.found, 0.0
    while len(history.trials) < tries:
        settings = policy.propose(history)
        if settings is None or measured(history, settings):
            break
        pairs = bench.pairs(settings)
        judgement = judge_pairs(bench.spec, bench.found, settings, pairs, guards)
        sample = pool(pair.after for pair in pairs)
        history = history.with_trial(
            Trial(settings=settings, sample=sample, verdict=judgement.after)
        )
        if judgement.gain.mean > most and not any(guard.missed for guard in judgement.guards):
            best, most = settings, judgement.gain.mean
    return best, tuple(trial.verdict for trial in history.trials)


def compare_simulated(
    names: Sequence[str],
    seeds: Sequence[int],
    policies: Sequence[str],
    budget: Budget,
    guards: Guards,
    step: Step,
) -> Results:
    """Compare on simulated hosts: each policy chooses under one load and is scored under another.

    Raises InputError for an unknown scenario or policy before anything is measured.
    """
    from tuner.warm import warm  # noqa: PLC0415 - loads the simulator, which a live host needs not

    warm()
    chosen = {seed: [registry.get(name, seed) for name in policies] for seed in seeds}
    hosts = {(name, seed): open_host(f"sim:{name}?seed={seed}") for name in names for seed in seeds}
    scores: list[Score] = []
    tried: list[Score] = []
    for (name, seed), host in hosts.items():
        seen = SimBench(host, budget.seconds, step)
        unseen = SimBench(open_host(f"sim:{name}?seed={seed + UNSEEN}"), budget.seconds, step)
        kept: dict[str, Settings] = {}
        for policy in chosen[seed]:
            kept[policy.name], verdicts = search(seen, policy, budget.tries, guards)
            tried += [score(name, policy.name, seed, verdict) for verdict in verdicts]
        scores += _score(unseen, name, seed, kept, guards)
    return Results(scores=tuple(scores), tried=tuple(tried))


def choose_live(
    bench: LiveBench, policies: Sequence[Policy], tries: int, guards: Guards
) -> tuple[dict[str, Settings], tuple[Score, ...]]:
    """What each policy keeps on a held live host, and all that it tried."""
    kept: dict[str, Settings] = {}
    tried: list[Score] = []
    for policy in policies:
        kept[policy.name], verdicts = search(bench, policy, tries, guards)
        tried += [score(bench.spec.uri, policy.name, 0, verdict) for verdict in verdicts]
    return kept, tuple(tried)


def score_live(
    bench: LiveBench, kept: Mapping[str, Settings], rounds: int, guards: Guards
) -> tuple[Score, ...]:
    """Measure what each policy kept, in rounds, each in another random order."""
    order = Random(0)  # noqa: S311 - an order to measure in, not a secret
    scores: list[Score] = []
    for number in range(rounds):
        shuffled = dict(order.sample(list(kept.items()), len(kept)))
        scored = _score(bench, bench.spec.uri, number, shuffled, guards)
        scores += sorted(scored, key=lambda one: list(kept).index(one.policy))
    return tuple(scores)


def _score(
    bench: Bench, host: str, run: int, kept: Mapping[str, Settings], guards: Guards
) -> list[Score]:
    """Measure what each policy kept, each setting once however many kept it.

    The host as found is measured amid the others, not before them, so that it is no less hit by
    a drift.
    """
    order: dict[bytes, Settings] = {to_json(settings): settings for settings in kept.values()}
    order.setdefault(to_json(bench.found), bench.found)
    samples = {key: bench.under(settings) for key, settings in order.items()}
    before = samples[to_json(bench.found)]
    scores = []
    for policy, settings in kept.items():
        after = samples[to_json(settings)]
        verdict = judge(bench.spec, settings, after, bench.found, before, guards)
        scores.append(score(host, policy, run, verdict))
    return scores


def score(host: str, policy: str, run: int, verdict: Verdict) -> Score:
    """A verdict as the score of a policy on a host."""
    return Score(
        host=host,
        policy=policy,
        run=run,
        bandwidth=verdict.bandwidth,
        cores=verdict.cores,
        per_core=verdict.per_core,
        ratio=math.exp(verdict.gain),
        reward=verdict.reward,
        guards=verdict.guards,
    )
