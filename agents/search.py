"""Search without learning: what an agent must beat to have learned anything."""

from dataclasses import dataclass

import numpy as np

from agents.policy import History, measured
from envs.host import Settings
from envs.menu import Menu

ATTEMPTS = 16
"""How often a draw that repeats a measured setting is drawn again before giving up."""

STEPS = (0.1, 0.2, 0.4)
"""The chances of a part to change in a step of the climb: mostly small steps, some large."""


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """A random value at every choice, from the baseline on, drawn anew for each trial."""

    seed: int = 0
    name: str = "random"

    def propose(self, history: History) -> Settings | None:
        """A random legal setting that has not been measured; None where chance finds none."""
        rng = np.random.default_rng((self.seed, len(history.trials)))
        return _new(history, history.baseline, 1.0, rng)


@dataclass(frozen=True, slots=True)
class Climb:
    """Hill climbing: a few random parts of the best setting so far changed at random."""

    seed: int = 0
    name: str = "climb"

    def propose(self, history: History) -> Settings | None:
        """A neighbour of the best setting that is new; None where chance finds none."""
        rng = np.random.default_rng((self.seed, len(history.trials)))
        return _new(history, history.start, float(rng.choice(STEPS)), rng)


def _new(
    history: History, start: Settings, chance: float, rng: np.random.Generator
) -> Settings | None:
    """A setting not yet measured: ``start`` with each part drawn anew with that chance."""
    menu = Menu(history.spec, history.baseline)
    for _ in range(ATTEMPTS):
        settings = changed(menu, start, chance, rng)
        if not measured(history, settings):
            return settings
    return None


def changed(menu: Menu, start: Settings, chance: float, rng: np.random.Generator) -> Settings:
    """``start`` with each part drawn anew with that chance."""
    settings = start
    for kind, subject in menu.parts:
        if rng.random() < chance:
            values = menu.values(kind, subject, settings)
            pick = int(rng.integers(len(values)))
            if pick:  # the first keeps the part as it is
                settings = menu.settle(kind, subject, values[pick], settings)
    return settings
