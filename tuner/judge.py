"""Whether a setting is better than the host as found, beyond the noise of measuring.

A setting is judged by pairs of samples, as found and under the setting. Each pair gives one
log-ratio of bandwidth per core and one margin of each guard; Student's t over the pairs says how
far these can be trusted, at a level that allows for every look at them (``tuner.sequential``).
Pure functions: no host is touched here.
"""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace
from scipy.special import stdtrit

from envs.host import HostSpec, Record, Settings
from envs.pooling import pool
from envs.reward import Guards, Verdict, bandwidth, judge
from tuner.pairs import Pair
from tuner.steadiness import Carried, Course, course

Outcome = Literal["better", "no difference", "worse", "guard broken", "cannot tell"]

CONFIDENCE = 0.95
ONE_SIDED = (1.0 - CONFIDENCE) / 2.0
RESOLUTION = 0.05
"""An interval that contains nothing and reaches no further than this means "no difference"."""
HOPELESS = 0.5
"""A guard missed by half is broken whatever the noise: measuring on only harms."""


class Interval(Record, frozen=True):
    """A mean and the ends of its confidence interval, which a single value does not have."""

    mean: float
    low: float | None
    high: float | None

    @property
    def positive(self) -> bool:
        """Above zero beyond noise."""
        return self.low is not None and self.low > 0.0

    @property
    def negative(self) -> bool:
        """Below zero beyond noise."""
        return self.high is not None and self.high < 0.0


class GuardJudgement(Record, frozen=True):
    """The margin of one guard over all pairs, and the worst of them; below 0 is broken."""

    name: str
    margin: Interval
    worst: float

    @property
    def missed(self) -> bool:
        """Below 0 on average: perhaps broken, perhaps not."""
        return self.margin.mean < 0.0

    @property
    def broken(self) -> bool:
        """Broken beyond noise, or hopelessly."""
        return self.margin.negative or self.hopeless

    @property
    def hopeless(self) -> bool:
        """Missed by so much, if only once, that noise is no excuse."""
        return self.worst < -HOPELESS


class Judgement(Record, frozen=True):
    """What a number of pairs says about a setting.

    ``gain`` is the natural logarithm of bandwidth per core over the baseline's. ``before`` and
    ``after`` are both sides' pooled samples, judged against the pooled baseline. ``load`` is how
    the load went meanwhile; journals from before anybody looked do not say.
    """

    outcome: Outcome
    reason: str
    pairs: int
    gain: Interval
    guards: tuple[GuardJudgement, ...]
    before: Verdict
    after: Verdict
    load: Course = "steady"

    @property
    def conclusive(self) -> bool:
        """Whether more pairs are not worth their time.

        While a load leans they are: they tell a drift from noise. A broken guard does not wait.
        """
        if self.outcome == "guard broken":
            return True
        return self.outcome != "cannot tell" and self.load == "steady"

    @property
    def held_still(self) -> bool:
        """Whether the load neither changed nor drifted, as far as one can tell."""
        return self.load in {"steady", "leaning"}


def judge_pairs(
    spec: HostSpec,
    found: Settings,
    settings: Settings,
    pairs: Sequence[Pair],
    rules: Guards | None = None,
    level: float = ONE_SIDED,
) -> Judgement:
    """Judge ``settings`` by its pairs: at least one, and two or more to see the noise.

    ``level`` is how often either end of an interval may be on the wrong side.
    """
    verdicts = [judge(spec, settings, pair.after, found, pair.before, rules) for pair in pairs]
    gain = interval([verdict.gain for verdict in verdicts], level)
    margins: dict[str, list[float]] = {}
    for verdict in verdicts:
        for guard in verdict.guards:
            margins.setdefault(guard.name, []).append(guard.margin)
    guards = tuple(
        GuardJudgement(name=name, margin=interval(values, level), worst=min(values))
        for name, values in margins.items()
    )
    load, why = course([carried(pairs)])
    outcome, reason = decide(gain, guards)
    if load == "changed" or (load == "drifting" and outcome != "guard broken"):
        outcome, reason = "cannot tell", why
    before, after = pool(pair.before for pair in pairs), pool(pair.after for pair in pairs)
    return Judgement(
        outcome=outcome,
        reason=reason,
        load=load,
        pairs=len(pairs),
        gain=gain,
        guards=guards,
        before=judge(spec, found, before, found, before, rules),
        after=judge(spec, settings, after, found, before, rules),
    )


def decide(gain: Interval, guards: Sequence[GuardJudgement]) -> tuple[Outcome, str]:
    """The outcome and the reason for it, in words."""
    so = f"bandwidth per core {ratio(gain)} that of the host as found"
    if broken := [guard for guard in guards if guard.broken]:
        return "guard broken", f"misses the guard on {_shortfalls(broken)}"
    if gain.positive and (missed := [guard for guard in guards if guard.missed]):
        return "cannot tell", (
            f"{so}, but it may miss the guard on {_shortfalls(missed)}; "
            "more --pairs or --seconds would tell"
        )
    if gain.positive:
        return "better", f"better beyond noise: {so}"
    if gain.negative:
        return "worse", f"worse beyond noise: {so}"
    if gain.low is None or gain.high is None or max(-gain.low, gain.high) > RESOLUTION:
        return "cannot tell", f"hidden by noise: {so}; more --pairs or --seconds would tell"
    return "no difference", f"no difference: {so}"


def hindsight(judgement: Judgement, tries: Sequence[Sequence[Pair]]) -> Judgement:
    """What is left of a judgement once more has been measured.

    ``tries`` are the pairs that were judged and those of each later try. Where the load is no
    longer the one that a setting was better under, one cannot tell.
    """
    load, why = course(list(map(carried, tries)))
    seen = replace(judgement, load=load)
    if judgement.outcome != "better" or seen.held_still:
        return judgement
    return replace(seen, outcome="cannot tell", reason=why)


def carried(pairs: Sequence[Pair]) -> list[Carried]:
    """What the samples of pairs carried."""
    return [(bandwidth(pair.before), bandwidth(pair.after)) for pair in pairs]


def interval(values: Sequence[float], level: float = ONE_SIDED) -> Interval:
    """Mean and Student's t interval of independent ``values``, each end wrong at ``level``."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean=mean, low=None, high=None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    reach = float(stdtrit(count - 1, 1.0 - level)) * math.sqrt(variance / count)
    return Interval(mean=mean, low=mean - reach, high=mean + reach)


def ratio(gain: Interval) -> str:
    """A gain as people read it: ``1.32 times (1.25 to 1.40)``."""
    mean = f"{math.exp(gain.mean):.2f}"
    if gain.low is None or gain.high is None:
        return f"{mean} times"
    return f"{mean} times ({_end(gain.low)} to {_end(gain.high)})"


def _shortfalls(guards: Sequence[GuardJudgement]) -> str:
    return ", ".join(
        f"{guard.name} by {-guard.worst:.0%} in one pair"
        if guard.hopeless
        else f"{guard.name} by {-guard.margin.mean:.0%}"
        for guard in guards
    )


def _end(gain: float) -> str:
    """The end of an interval, which two noisy pairs can put very far out."""
    if abs(gain) > math.log(100.0):
        return "under 0.01" if gain < 0.0 else "over 100"
    return f"{math.exp(gain):.2f}"
