"""What an episode earns in training: by how much the best gain rises, less a little care."""

import pytest
from fake_host import FakeHost

from agents.worker import Improvement
from envs.host_env import HostEnv


def decide(env: Improvement, bridge: int, queue: int = 0) -> float:
    """One decision that chooses a bridge mode and a queue length; what it earns."""
    earned, info = 0.0, {}
    while "gain" not in info:
        kind = env.unwrapped._decision.choice.kind
        action = {"bridge": bridge, "tx_queue": queue}.get(kind, 0)
        _, reward, _, _, info = env.step(action)
        earned += reward
    return earned


def test_the_sum_over_an_episode_is_the_gain_that_is_kept() -> None:
    env = Improvement(HostEnv(FakeHost(), decisions=3), care=0.1, floor=-1.0)
    env.reset()
    lean, direct, again = decide(env, bridge=1), decide(env, bridge=2), decide(env, bridge=0)
    best = env.unwrapped.history.best
    assert best is not None
    assert lean > 0.0
    assert direct > 0.0
    assert again == 0.0
    assert lean + direct == pytest.approx(best.verdict.gain)


def test_a_bad_try_costs_care_times_its_reward_and_no_more_than_the_floor() -> None:
    env = Improvement(HostEnv(FakeHost(), decisions=1), care=0.1, floor=-0.001)
    env.reset()
    assert decide(env, bridge=0, queue=1) == pytest.approx(-0.1 * 0.001)  # a queue of 8 is worse


def test_a_new_episode_starts_from_no_gain() -> None:
    env = Improvement(HostEnv(FakeHost(), decisions=1), care=0.1, floor=-1.0)
    earned = []
    for _ in range(2):
        env.reset()
        earned.append(decide(env, bridge=2))
    assert earned[0] == earned[1] > 0.0
