"""What each knob of a setting is expected to bring: undone alone, in a twin of the host."""

from collections.abc import Iterator, Sequence

import numpy as np

from envs.decision import Decision
from envs.host import HostSpec, Knob, Settings
from envs.menu import Menu
from envs.reward import judge
from envs.scenario import Scenario
from envs.sim.host import SimHost
from tuner.twin.fit import FACTORS, with_factors
from tuner.twin.model import Twin
from tuner.twin.reason import ALL, Reason

DRAWS = 12
"""Twins, each with other constants and another load, that an expectation is taken over."""
SECONDS = 0.1
KNOBS: tuple[Knob, ...] = ("side_cores", "placement", "weight", "tx_queue", "bridge")


def reasons(
    spec: HostSpec, found: Settings, settings: Settings, scenario: Scenario, spread: Sequence[float]
) -> tuple[Reason, ...]:
    """Of the whole setting, then of each knob that it changes.

    ``spread`` is how unsure the constants of ``scenario`` are, the standard deviations of the
    logarithms of their ``FACTORS``; 0 where the scenario is the host.
    """
    undone = {knob: _without(spec, found, settings, knob) for knob in KNOBS}
    others = {ALL: found} | {knob: one for knob, one in undone.items() if one != settings}
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.0, spread, (DRAWS, len(FACTORS)))
    rows = [
        list(_gains(spec, with_factors(scenario, np.exp(row)), seed, found, settings, others))
        for seed, row in enumerate(drawn)
    ]
    low, middle, high = np.exp(np.quantile(rows, (0.1, 0.5, 0.9), axis=0))
    return tuple(
        Reason(knob=knob, ratio=float(middle[at]), low=float(low[at]), high=float(high[at]))
        for at, knob in enumerate(others)
    )


def _gains(
    spec: HostSpec,
    scenario: Scenario,
    seed: int,
    found: Settings,
    settings: Settings,
    others: dict[str, Settings],
) -> Iterator[float]:
    """The gain of ``settings`` over each of the others, in one twin."""
    twin, host = Twin(spec, scenario), SimHost(scenario, seed)

    def gain(one: Settings) -> float:
        host.apply(twin.settings(one))
        sample = host.measure(SECONDS)
        own, base = twin.settings(one), twin.settings(found)
        return judge(twin.own, own, sample, base, baseline).gain

    host.apply(twin.settings(found))
    baseline = host.measure(SECONDS)
    whole = gain(settings)
    for other in others.values():
        yield whole - gain(other)


def _without(spec: HostSpec, found: Settings, settings: Settings, knob: Knob) -> Settings:
    """``settings`` with one knob as found, as far as that is legal beside the others."""
    decision = Decision.over(Menu(spec, found), found)
    while decision.choice:
        target = found if decision.choice.knob == knob else settings
        decision = decision.take(decision.toward(target))
    return decision.settings
