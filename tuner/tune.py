"""A policy let loose on a held host: try, judge, and say what is worth keeping."""

from collections.abc import Callable

from agents.policy import Policy
from envs.history import History, Trial
from envs.host import HostSpec, Record, Sample, Settings
from envs.reward import Guards, Verdict, judge
from tuner.journal import Judged
from tuner.judge import Judgement, hopeless, judge_pairs
from tuner.pairs import Pair, pool
from tuner.transaction import Transaction

Step = Callable[[str], None]
"""Told of every measurement before it is made, for a progress bar."""


class Budget(Record, frozen=True):
    """How much measuring: at most ``tries`` settings, each by ``pairs`` pairs of samples.

    Every sample takes ``seconds``, after ``settle`` seconds in which the host gets used to its
    new setting.
    """

    tries: int = 3
    pairs: int = 4
    seconds: float = 2.0
    settle: float = 0.5

    @property
    def measurements(self) -> int:
        """The most samples this will take, the baseline included."""
        return 1 + 2 * self.tries * self.pairs


class Tried(Record, frozen=True):
    """A setting that was measured, and what that says."""

    settings: Settings
    judgement: Judgement


class Tuning(Record, frozen=True):
    """All of a tuning: the host as found, what was tried, and what is best kept, if anything."""

    spec: HostSpec
    policy: str
    found: Settings
    baseline: Verdict
    trials: tuple[Tried, ...]
    kept: int | None
    reason: str

    @property
    def best(self) -> Tried | None:
        """The trial that is kept."""
        return None if self.kept is None else self.trials[self.kept]


def tune(trial: Transaction, policy: Policy, budget: Budget, guards: Guards, step: Step) -> Tuning:
    """Try what ``policy`` proposes and choose the best; the caller confirms it or does not.

    The host is left with the setting that was measured last.
    """
    step("the host as found")
    baseline = trial.measure(budget.seconds)
    history = History(
        spec=trial.spec, baseline=trial.found, baseline_sample=baseline, guards=guards
    )
    tried: list[Tried] = []
    ending = f"{budget.tries} settings tried"
    while len(tried) < budget.tries:
        settings = policy.propose(history)
        if settings is None or settings in [trial.found, *(t.settings for t in tried)]:
            ending = f"{policy.name} has nothing more to try"
            break
        label = f"try {len(tried) + 1} of {budget.tries}"
        trial.announce(settings, f"{policy.name}, {label}")
        pairs = measure_pairs(trial, settings, budget, guards, step, label)
        judgement = judge_pairs(trial.spec, trial.found, settings, pairs, guards)
        trial.journal.append(Judged(judgement=judgement, reason=judgement.reason))
        tried.append(Tried(settings=settings, judgement=judgement))
        history = history.with_trial(
            Trial(
                settings=settings,
                sample=pool(pair.after for pair in pairs),
                verdict=judgement.after,
            )
        )
    kept = choose([t.judgement for t in tried])
    return Tuning(
        spec=trial.spec,
        policy=policy.name,
        found=trial.found,
        baseline=judge(trial.spec, trial.found, baseline, trial.found, baseline, guards),
        trials=tuple(tried),
        kept=kept,
        reason=f"{ending}; " + _why(tried, kept),
    )


def measure_pairs(
    trial: Transaction, settings: Settings, budget: Budget, guards: Guards, step: Step, label: str
) -> tuple[Pair, ...]:
    """Measure as found and under ``settings`` in pairs; fewer if it breaks a guard badly.

    Every other pair begins with the change, so that a steady drift favours neither side.
    """
    pairs: list[Pair] = []
    for number in range(1, budget.pairs + 1):
        samples: dict[bool, Sample] = {}
        for changed in (False, True) if number % 2 else (True, False):
            step(
                f"{label}, pair {number} of {budget.pairs}, {'changed' if changed else 'as found'}"
            )
            samples[changed] = settled(trial, settings if changed else trial.found, budget)
        pairs.append(Pair(before=samples[False], after=samples[True]))
        if hopeless(judge_pairs(trial.spec, trial.found, settings, pairs, guards)):
            break
    return tuple(pairs)


def settled(trial: Transaction, settings: Settings, budget: Budget) -> Sample:
    """A sample under ``settings``, taken once the host has got used to them."""
    trial.apply(settings)
    if budget.settle > 0.0:
        trial.measure(budget.settle)
    return trial.measure(budget.seconds)


def choose(judgements: list[Judgement]) -> int | None:
    """The index of the one to keep, None for none.

    Of those that are better beyond noise it is the one whose gain is surest: the highest lower
    end of the interval.
    """
    good = [index for index, j in enumerate(judgements) if j.outcome == "keep"]
    return max(good, key=lambda index: judgements[index].gain.low or 0.0, default=None)


def _why(tried: list[Tried], kept: int | None) -> str:
    if kept is not None:
        return f"kept the setting of try {kept + 1}, {tried[kept].judgement.reason}"
    if not tried:
        return "the host is left as found"
    outcomes = ", ".join(t.judgement.outcome for t in tried)
    return (
        f"none is better beyond noise with its guards kept ({outcomes}): the host is left as found"
    )
