"""Search without learning: what an agent must beat to have learned anything."""

from dataclasses import dataclass

import numpy as np

from agents.policy import History, measured
from envs.decision import Decision
from envs.host import Settings

ATTEMPTS = 16
"""How often a draw that repeats a measured setting is drawn again before giving up."""


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """A random value at every choice, from the baseline on, drawn anew for each trial."""

    seed: int = 0
    name: str = "random"

    def propose(self, history: History) -> Settings | None:
        """A random legal setting that has not been measured; None where chance finds none."""
        rng = np.random.default_rng((self.seed, len(history.trials)))
        for _ in range(ATTEMPTS):
            decision = Decision.start(history.spec, history.baseline, history.baseline)
            while decision.choice:
                decision = decision.take(int(rng.integers(len(decision.choice.values))))
            if not measured(history, decision.settings):
                return decision.settings
        return None
