"""A policy let loose on a held host: try, judge, and say what is worth keeping."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from agents.policy import Policy
from envs.history import History, Trial
from envs.host import HostSpec, Record, Sample, Settings
from envs.pooling import pool
from envs.reward import Guards, Verdict, bandwidth, judge
from tuner.journal import Judged
from tuner.judge import Judgement, hindsight, judge_pairs
from tuner.pairs import Pair
from tuner.sequential import ERROR_RATE, first_look, nominal_level
from tuner.state import Held
from tuner.transaction import Transaction, transaction

DEAD = 0.1
"""A setting under which less than this share of the traffic goes on is measured no further."""

Step = Callable[[str], None]
"""Told of every measurement before it is made, for a progress bar."""


class Budget(Record, frozen=True):
    """How much measuring: at most ``tries`` settings, each by at most ``pairs`` pairs of samples.

    Every sample takes ``seconds``, after ``settle`` seconds in which the host gets used to its
    new setting. ``error`` is the rate of ``tuner.sequential.ERROR_RATE``.
    """

    tries: int = 3
    pairs: int = 12
    seconds: float = 2.0
    settle: float = 0.5
    error: float = ERROR_RATE

    @property
    def measurements(self) -> int:
        """The most samples this will take, the baseline included."""
        return 1 + 2 * self.tries * self.pairs

    @property
    def level(self) -> float:
        """The one-sided level of a single look, so that all looks and tries keep ``error``."""
        return nominal_level(self.pairs, self.error / self.tries)


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

    @property
    def for_this_load(self) -> bool:
        """Whether the host was tuned for one load: if nothing is kept, all trials saw it steady."""
        return self.kept is not None or all(t.judgement.held_still for t in self.trials)


def tune_and_keep(
    held: Held,
    policy: Policy,
    budget: Budget,
    guards: Guards,
    step: Step,
    *,
    hold: bool = False,
    why: str = "",
) -> Tuning:
    """Tune a held host in one transaction, and keep the best; ``hold`` leaves it to a person.

    Where nothing is worth keeping the host ends as it was found. The journal tells ``why`` now.
    """
    reason = f"tune by {policy.name}"
    with transaction(held, f"{reason}: {why}" if why else reason) as trial:
        tuning = tune(trial, policy, budget, guards, step)
        if tuning.best is None:
            trial.why_not = tuning.reason
        else:
            trial.apply(tuning.best.settings)
            if hold:
                trial.hold(tuning.reason)
            else:
                trial.confirm(tuning.reason)
    return tuning


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
    measured: list[tuple[Pair, ...]] = []
    ending = "no tries left"
    while len(tried) < budget.tries:
        settings = policy.propose(history)
        if settings is None or settings in [trial.found, *(t.settings for t in tried)]:
            ending = f"{policy.name} has nothing more to try"
            break
        label = f"try {len(tried) + 1} of {budget.tries}"
        judgement, pairs = measure_pairs(trial, settings, budget, guards, step, label)
        trial.journal.append(Judged(judgement=judgement, reason=judgement.reason))
        tried.append(Tried(settings=settings, judgement=judgement))
        measured.append(pairs)
        history = history.with_trial(
            Trial(
                settings=settings,
                sample=pool(pair.after for pair in pairs),
                verdict=judgement.after,
            )
        )
    tried = [_in_hindsight(k, one, measured[k:], trial) for k, one in enumerate(tried)]
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
) -> tuple[Judgement, tuple[Pair, ...]]:
    """Measure as found and under ``settings`` in pairs until one can tell, or there are enough.

    Every other pair begins with the change, so that a steady drift favours neither side. A sample
    that breaks a guard hopelessly is the last under that setting: the host goes back as found at
    once, and is measured so once more, to see whether it was the setting or the load.
    """
    pairs: list[Pair] = []
    while True:
        what = f"{label}, pair {len(pairs) + 1} of at most {budget.pairs}"
        pairs += _pairs(trial, settings, budget, guards, step, what, changed_first=len(pairs) % 2)
        judgement = judge_pairs(trial.spec, trial.found, settings, pairs, guards, budget.level)
        told = len(pairs) >= first_look(budget.pairs) and judgement.conclusive
        hopeless = any(guard.hopeless for guard in judgement.guards)
        if told or hopeless or judgement.load == "changed" or len(pairs) >= budget.pairs:
            return judgement, tuple(pairs)


def _in_hindsight(
    number: int, tried: Tried, measured: Sequence[Sequence[Pair]], trial: Transaction
) -> Tried:
    """A trial seen from the end of the tuning; ``measured`` are its pairs and all later ones."""
    judgement = hindsight(tried.judgement, measured)
    if judgement != tried.judgement:
        reason = f"seen from the end, the setting of try {number + 1}: {judgement.reason}"
        trial.journal.append(Judged(judgement=judgement, reason=reason))
    return replace(tried, judgement=judgement)


def _pairs(
    trial: Transaction,
    settings: Settings,
    budget: Budget,
    guards: Guards,
    step: Step,
    what: str,
    *,
    changed_first: int,
) -> list[Pair]:
    """One pair, or a second one that has the host as found after a hopeless change, not before."""

    def under(target: Settings, least: float = 0.0) -> Sample:
        step(f"{what}, {'as found' if target == trial.found else 'changed'}")
        return settled(trial, target, budget, what, least)

    if changed_first:
        after = under(settings)
        return [Pair(before=under(trial.found), after=after)]
    before = under(trial.found)
    pair = Pair(before=before, after=under(settings, least=DEAD * bandwidth(before)))
    judgement = judge_pairs(trial.spec, trial.found, settings, [pair], guards)
    if not any(guard.hopeless for guard in judgement.guards):
        return [pair]
    return [pair, Pair(before=under(trial.found), after=pair.after)]


def settled(
    trial: Transaction, settings: Settings, budget: Budget, reason: str = "", least: float = 0.0
) -> Sample:
    """A sample under ``settings``, taken once the host has got used to them.

    If it carries less than ``least`` Gb/s while it does, that is the sample: nobody needs more.
    """
    trial.apply(settings, reason)
    if budget.settle > 0.0:
        settling = trial.measure(budget.settle)
        if bandwidth(settling) < least:
            return settling
    return trial.measure(budget.seconds)


def choose(judgements: list[Judgement]) -> int | None:
    """The index of the one to keep, None for none.

    Of those that are better beyond noise it is the one whose gain is surest: the highest lower
    end of the interval.
    """
    good = [index for index, j in enumerate(judgements) if j.outcome == "better"]
    return max(good, key=lambda index: judgements[index].gain.low or 0.0, default=None)


def _why(tried: list[Tried], kept: int | None) -> str:
    if kept is not None:
        return f"kept the setting of try {kept + 1}, {tried[kept].judgement.reason}"
    if not tried:
        return "the host is left as found"
    outcomes = ", ".join(t.judgement.outcome for t in tried)
    return f"none is better and holds all guards ({outcomes}): the host is left as found"
