"""The demo says honestly who won."""

import pytest

from envs.reward import Guard, Guards
from tuner import demo, report
from tuner.compare import Results, Score
from tuner.tune import Budget


def made(agent: float, lee: float, *, lee_margin: float = 0.1) -> report.Comparison:
    per_core = {"stock": 5.0, "agent": 5.0 * agent, "lee": 5.0 * lee, "both": 5.5}
    scores = [
        Score(
            host="lab:demo",
            policy=policy,
            run=run,
            bandwidth=2.0 * value,
            cores=2.0,
            per_core=value * (1.0 + 0.01 * run),
            ratio=value / 5.0,
            reward=0.0,
            guards=(Guard(name="bandwidth", margin=lee_margin if policy == "lee" else 0.1),),
        )
        for policy, value in per_core.items()
        for run in range(3)
    ]
    return report.comparison(Results(scores=tuple(scores), tried=()), Budget(), Guards())


@pytest.mark.parametrize(
    ("agent", "lee", "says"),
    [
        (2.0, 1.5, "beats lee, the best heuristic: 1.33 times"),
        (1.2, 1.5, "loses to lee, the best heuristic: 0.80 times"),
        (1.5, 1.5, "within noise of each other"),
    ],
)
def test_the_agent_wins_loses_or_neither(agent: float, lee: float, says: str) -> None:
    assert says in demo.conclusion(made(agent, lee))


def test_a_heuristic_that_missed_a_guard_is_no_rival() -> None:
    assert "beats both" in demo.conclusion(made(1.3, 1.5, lee_margin=-0.2))


def test_before_and_after_are_told_in_all_three_figures() -> None:
    text = demo.conclusion(made(2.0, 1.5))
    assert "as found  10.0 Gb/s with 2.00 cores: 5.0 Gb/s per core" in text
