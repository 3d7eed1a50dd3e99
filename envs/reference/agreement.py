"""How far the fast simulator and the reference agree on hosts that neither was made for.

A pair is a scenario of the test seeds and a setting: the stock one, or one made of random choices.
Both simulators measure it several times, each from its own random beginnings, and the means are
compared. How far the reference's own measurements are apart says how much of that is chance; where
its first ones are far apart, both measure more often.
"""

import math
import statistics
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from scipy.stats import spearmanr

from envs.decision import Decision
from envs.host import Host, Record, Settings, to_json
from envs.reference.host import ReferenceHost
from envs.reward import bandwidth, cores_used
from envs.scenario import Scenario, generate
from envs.sim.host import SimHost

LEAST = 1e-3
"""Gb/s, and cores, below which a difference is of no matter."""


STEADY = 0.05
"""How far apart the reference's first measurements are at most where chance plays little part."""


class Effort(Record, frozen=True):
    """How long and how often each simulator measures a pair.

    ``unsteady`` times as often where the reference's first runs are more than ``STEADY`` apart.
    """

    seconds: float = 0.1
    reference_runs: int = 2
    fast_runs: int = 8
    unsteady: int = 5


class Run(Record, frozen=True):
    """One measurement: bandwidth in Gb/s, and the cores used for I/O."""

    bandwidth: float
    cores: float


Sides: TypeAlias = tuple[Sequence[Run], Sequence[Run]]


class Case(Record, frozen=True):
    """A scenario by its seed, and its ``number``-th setting, 0 being stock."""

    seed: int
    number: int
    scenario: Scenario
    settings: Settings

    @property
    def key(self) -> str:
        """Names the case and what it consists of: it changes if scenario or setting do."""
        content = zlib.crc32(to_json(self.settings), zlib.crc32(to_json(self.scenario)))
        return f"{self.seed}/{self.number}/{content:08x}"


class Pair(Record, frozen=True):
    """What both simulators gave for a case."""

    seed: int
    number: int
    reference: tuple[Run, ...]
    fast: tuple[Run, ...]

    def means(self, what: str) -> tuple[float, float]:
        """The reference's mean and the fast one's; ``what`` is a field of ``Run``."""
        return _mean(self.reference, what), _mean(self.fast, what)

    def error(self, what: str) -> float:
        """The fast one's mean to the reference's, less 1."""
        reference, fast = self.means(what)
        return _apart(fast, reference)

    def chance(self, what: str) -> float:
        """The first half of the reference's measurements to the others, less 1."""
        first, others = halves(self.reference)
        return _apart(_mean(first, what), _mean(others, what))


class Agreement(Record, frozen=True):
    """Median and 95th percentile of the size of an error."""

    median: float
    p95: float


class Summary(Record, frozen=True):
    """The outcome over all pairs; ``chance`` is the reference against itself.

    ``spearman`` is the median, over scenarios, of the rank correlation of bandwidth per core over
    settings. The last two tell how many pairs and scenarios there were.
    """

    bandwidth: Agreement
    cores: Agreement
    spearman: float
    chance_bandwidth: Agreement
    chance_cores: Agreement
    chance_spearman: float
    pairs: int
    scenarios: int


def cases(seeds: Iterable[int], settings: int) -> Iterator[Case]:
    """The stock setting and ``settings - 1`` random ones of each scenario."""
    for seed in seeds:
        scenario = generate(seed)
        host = SimHost(scenario)
        rng = np.random.default_rng(seed)
        yield Case(seed=seed, number=0, scenario=scenario, settings=host.settings())
        for number in range(1, settings):
            made = _random(host, rng)
            yield Case(seed=seed, number=number, scenario=scenario, settings=made)


def measured(host: Host, settings: Settings, seconds: float) -> Run:
    """One measurement of a host under a setting."""
    host.apply(settings)
    sample = host.measure(seconds)
    cores = cores_used(host.describe(), settings, sample)
    return Run(bandwidth=bandwidth(sample), cores=cores)


def by_reference(case: Case, effort: Effort, known: tuple[Run, ...] = ()) -> tuple[Run, ...]:
    """The reference's measurements, the first of which may be ``known``."""
    runs = _more(ReferenceHost, case, effort, effort.reference_runs, known)
    if steady(runs[: effort.reference_runs]):
        return runs
    return _more(ReferenceHost, case, effort, effort.unsteady * effort.reference_runs, runs)


def by_fast(case: Case, effort: Effort, reference: Sequence[Run]) -> tuple[Run, ...]:
    """The fast simulator's measurements, as many times more as the reference's."""
    times = len(reference) // effort.reference_runs
    return _more(SimHost, case, effort, times * effort.fast_runs, ())


def steady(runs: Sequence[Run]) -> bool:
    """Whether one half of some runs agrees with the other; a single one says nothing."""
    first, others = halves(runs)
    return not first or all(
        abs(_apart(_mean(first, what), _mean(others, what))) <= STEADY
        for what in ("bandwidth", "cores")
    )


def halves(runs: Sequence[Run]) -> tuple[Sequence[Run], Sequence[Run]]:
    """The first half of some runs, and the others."""
    return runs[: len(runs) // 2], runs[len(runs) // 2 :]


def _more(
    host: Callable[[Scenario, int], Host],
    case: Case,
    effort: Effort,
    runs: int,
    known: tuple[Run, ...],
) -> tuple[Run, ...]:
    """So many runs, each from its own beginning; those that are known are not done again."""
    hosts = (host(case.scenario, seed) for seed in range(len(known), runs))
    return known + tuple(measured(host, case.settings, effort.seconds) for host in hosts)


def summary(pairs: Sequence[Pair]) -> Summary:
    """Errors over all pairs and ranks within each scenario."""
    scenarios = {seed: [p for p in pairs if p.seed == seed] for seed in {p.seed for p in pairs}}
    ranked = [found for found in scenarios.values() if len(found) > 2]
    return Summary(
        bandwidth=_agreement([pair.error("bandwidth") for pair in pairs]),
        cores=_agreement([pair.error("cores") for pair in pairs]),
        spearman=_ranks(ranked, lambda pair: (pair.fast, pair.reference)),
        chance_bandwidth=_agreement([pair.chance("bandwidth") for pair in pairs]),
        chance_cores=_agreement([pair.chance("cores") for pair in pairs]),
        chance_spearman=_ranks(ranked, lambda pair: halves(pair.reference)),
        pairs=len(pairs),
        scenarios=len(scenarios),
    )


def _random(host: SimHost, rng: np.random.Generator) -> Settings:
    decision = Decision.start(host.describe(), host.settings(), host.settings())
    while decision.choice:
        decision = decision.take(int(rng.integers(len(decision.choice.values))))
    return decision.settings


def _mean(runs: Sequence[Run], what: str) -> float:
    return statistics.fmean(getattr(run, what) for run in runs)


def _apart(one: float, other: float) -> float:
    return (one - other) / max(other, LEAST) if max(one, other) > LEAST else 0.0


def _agreement(errors: Sequence[float]) -> Agreement:
    sizes = np.abs(errors)
    return Agreement(median=float(np.median(sizes)), p95=float(np.percentile(sizes, 95)))


def _ranks(scenarios: Sequence[Sequence[Pair]], sides: Callable[[Pair], Sides]) -> float:
    """Median over scenarios of how the settings' bandwidths per core rank on two sides."""
    found = []
    for pairs in scenarios:
        one, other = zip(*(map(_per_core, sides(pair)) for pair in pairs), strict=True)
        found.append(float(spearmanr(one, other).statistic))
    return statistics.median(found) if found else math.nan


def _per_core(runs: Sequence[Run]) -> float:
    return _mean(runs, "bandwidth") / max(_mean(runs, "cores"), LEAST)
