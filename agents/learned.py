"""A trained agent as a policy."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agents import planner
from agents.artifact import Agent
from agents.forecast import Forecast
from agents.policy import History, measured
from agents.scorer import Scorer
from agents.search import Climb
from envs.decision import Decision
from envs.encoding import Encoder
from envs.host import Settings

ATTEMPTS = 16
"""How often an agent without a forecast is asked for another setting than those measured."""
TRIES = 3
"""So many tries such an agent is trained to make on a host. Who has more goes on by hill climbing:
asked further, it hardly got better, and after some twenty tries it had nothing new to say."""
DRAWS = 8
"""So many settings an agent with a forecast draws, besides the best-scored, to choose from."""


@dataclass(frozen=True, slots=True)
class AgentPolicy:
    """Makes every choice by the agent's scores, and with a forecast, plans with what that gives.

    The best-scored setting comes first; others are drawn with the chances that the scores give,
    from ``seed``. Of an agent with a forecast they are candidates among others
    (``agents.planner``). One without proposes them, and climbs after ``TRIES`` tries.
    """

    agent: Agent
    seed: int = 0
    name: str = "agent"
    scorer: Scorer = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the network."""
        object.__setattr__(self, "scorer", Scorer(self.agent.weights))

    def propose(self, history: History) -> Settings | None:
        """The next setting; None where there is no new one, or its scores are not finite."""
        if self.agent.forecast:
            return next(iter(self.ranked(history)), None)
        if len(history.trials) >= TRIES:
            return Climb(self.seed).propose(history)
        decide, rng = self._decider(history), self._chance(history)
        for attempt in range(ATTEMPTS):
            settings = decide(rng if attempt else None)
            if settings is None or not measured(history, settings):
                return settings
        return None

    def ranked(self, history: History) -> list[Settings]:
        """What an agent with a forecast could try next, the most promising first."""
        decide, rng = self._decider(history), self._chance(history)
        draws = [decide(rng if n else None) for n in range(1 + DRAWS)]
        if None in draws:
            return []
        return planner.ranked(history, Forecast(self.agent.forecast), draws, rng)

    def _chance(self, history: History) -> np.random.Generator:
        return np.random.default_rng((self.seed, len(history.trials)))

    def _decider(self, history: History) -> Callable[[np.random.Generator | None], Settings | None]:
        """What makes a decision: the best value at every choice, or drawn ones with a generator.

        It gives None where scores are not finite.
        """
        encoder = Encoder(history.spec, history.baseline)
        facts = encoder.facts(history)
        begin = Decision.start(history.spec, history.baseline, history.start)

        def decide(rng: np.random.Generator | None) -> Settings | None:
            decision = begin
            while decision.choice:
                logits = self.scorer.logits(encoder.encode(facts, decision)).astype(float)
                if not np.isfinite(logits).all():
                    return None
                if rng is not None:
                    logits = logits + rng.gumbel(size=len(logits))  # the maximum is a fair draw
                decision = decision.take(int(np.argmax(logits)))
            return decision.settings

        return decide
