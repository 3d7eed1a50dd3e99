"""Optuna's samplers as policies: what a person would reach for who has no agent.

Optuna wants the same parameters with the same values in every trial. So each part of a setting is
a categorical parameter over all values that the part can ever have on this host; where the earlier
parts leave the one drawn no longer legal, the part is kept as it is.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import create_trial

from agents.policy import History, measured
from agents.search import RandomSearch
from envs.decision import Decision
from envs.host import Settings
from envs.menu import Kind, Menu, Value

Part = tuple[Kind, str]


@dataclass(frozen=True)
class OptunaSearch:
    """Tells a sampler all that was measured, and asks for one setting more.

    Where it asks for what has been measured, which would tell nothing, the setting is random.
    """

    name: str
    sampler: Callable[[int], BaseSampler]
    seed: int = 0

    def propose(self, history: History) -> Settings | None:
        """A setting that is new; None where chance finds none either."""
        space = _Space(Menu(history.spec, history.baseline))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        state = np.random.SeedSequence((self.seed, len(history.trials))).generate_state(1)
        sampler = self.sampler(int(state[0]))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        seen = [(history.baseline, 0.0), *((t.settings, t.verdict.reward) for t in history.trials)]
        for settings, reward in seen:
            study.add_trial(
                create_trial(
                    params=space.parameters(settings),
                    distributions=space.distributions,
                    value=reward,
                )
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = study.ask(space.distributions)
        settings = space.settings(trial.params)
        if measured(history, settings):
            return RandomSearch(self.seed).propose(history)
        return settings


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True)  # which sees how parts go together


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed)


SEARCHES: dict[str, Callable[[int], OptunaSearch]] = {
    "tpe": partial(OptunaSearch, "tpe", _tpe),
    "gp": partial(OptunaSearch, "gp", _gp),
}
"""Tree-structured Parzen estimators, and a Gaussian process, from a seed."""


class _Space:
    """The parts of a host's setting as parameters, each an index into all of its values."""

    def __init__(self, menu: Menu) -> None:
        self.menu = menu

    @cached_property
    def values(self) -> dict[Part, list[Value]]:
        """Whatever each part may have: as found, and with each choice of side-cores."""
        found: dict[Part, dict[Value, None]] = {part: {} for part in self.menu.parts}
        base = self.menu.baseline
        starts = [base]
        if ("side_cores", "") in found:
            offered = self.menu.values("side_cores", "", base)
            starts += [self.menu.settle("side_cores", "", value, base) for value in offered]
        for start in starts:
            for kind, subject in self.menu.parts:
                now = base if kind == "side_cores" else start
                found[kind, subject] |= dict.fromkeys(self.menu.values(kind, subject, now))
        return {part: list(values) for part, values in found.items()}

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """A parameter for each part that has a choice."""
        return {
            _name(part): CategoricalDistribution(range(len(values)))
            for part, values in self.values.items()
            if len(values) > 1
        }

    def parameters(self, settings: Settings) -> dict[str, int]:
        """The parameters that are nearest to ``settings``."""
        return {
            _name(part): next(
                (i for i, value in enumerate(values) if self.menu.has(*part, value, settings)), 0
            )
            for part, values in self.values.items()
            if len(values) > 1
        }

    def settings(self, parameters: Mapping[str, int]) -> Settings:
        """The setting of these parameters, as far as it is legal."""
        decision = Decision.over(self.menu, self.menu.baseline)
        while choice := decision.choice:
            part = (choice.kind, choice.subject)
            wanted = self.values[part][parameters.get(_name(part), 0)]
            decision = decision.take(choice.values.index(wanted) if wanted in choice.values else 0)
        return decision.settings


def _name(part: Part) -> str:
    return ":".join(part)
