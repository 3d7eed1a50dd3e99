"""Episodes over a host: what is measured, what a step earns, and that the host comes back."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from fake_host import BASELINE, FakeHost
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from envs.errors import HostError, InputError
from envs.host_env import FAILURE, HostEnv
from envs.menu import MAX_VALUES


def decide(env: HostEnv, **wanted: int) -> tuple[float, bool, dict]:
    """One decision: the given index at each kind of choice, 0 elsewhere."""
    choice = env._decision.choice
    while choice:
        _, reward, done, _, info = env.step(wanted.get(choice.kind, 0))
        if done or reward or env._decision.choice.kind == "side_cores":
            return reward, done, info
        choice = env._decision.choice
    raise AssertionError("no choice")


def test_gymnasium_accepts_it() -> None:
    check_env(HostEnv(FakeHost()), skip_render_check=True)


# The policy of agents.network takes rows of candidates as they are.
@pytest.mark.filterwarnings("ignore:.*unconventional shape")
def test_stable_baselines_accepts_it() -> None:
    sb3_check_env(HostEnv(FakeHost()))


def test_only_the_last_choice_of_a_decision_touches_the_host_and_earns() -> None:
    host = FakeHost()
    env = HostEnv(host, decisions=1)
    env.reset()
    rewards = []
    done = False
    while not done:
        assert host.measured == 1
        assert host.now == BASELINE
        last = env._decision.choice.kind == "bridge"
        _, reward, done, truncated, info = env.step(2 if last else 0)
        rewards.append(reward)
    assert not truncated
    assert host.measured == 2
    assert host.now.bridge == "direct"
    assert rewards[:-1] == [0.0] * (len(rewards) - 1)
    assert rewards[-1] == pytest.approx(np.log(1.5), rel=1e-3)
    assert info["gain"] == rewards[-1]
    assert [trial.settings.bridge for trial in info["trials"]] == ["direct"]


def test_a_decision_starts_from_the_best_so_far() -> None:
    env = HostEnv(FakeHost(), decisions=3)
    env.reset()
    best, _, _ = decide(env, bridge=2)
    worse, _, _ = decide(env, bridge=1)
    same, done, info = decide(env)
    assert worse < best == same
    assert done
    assert info["gain"] == best


def test_what_was_measured_before_is_not_measured_again() -> None:
    host = FakeHost()
    env = HostEnv(host, decisions=2)
    env.reset()
    reward, _, _ = decide(env)
    assert reward == 0.0
    assert host.measured == 1


def test_a_setting_that_the_host_refuses_is_undone_and_costs_a_little() -> None:
    host = FakeHost(refuses=True)
    env = HostEnv(host, decisions=1)
    env.reset()
    reward, done, info = decide(env, bridge=2)
    assert (reward, done, info["trials"], info["gain"]) == (-FAILURE, True, (), 0.0)
    assert host.now == BASELINE


def test_reset_and_close_leave_the_host_as_found() -> None:
    host = FakeHost()
    env = HostEnv(host, decisions=1)
    env.reset()
    decide(env, bridge=2)
    assert host.now != BASELINE
    env.reset()
    assert host.now == BASELINE
    decide(env, bridge=1)
    env.close()
    assert host.now == BASELINE
    assert not host.open
    with pytest.raises(HostError, match="no host"):
        env.reset()


def test_a_maker_is_asked_for_a_new_host_each_episode_with_the_seeds_randomness() -> None:
    drawn = []

    def make(rng: np.random.Generator) -> FakeHost:
        drawn.append(int(rng.integers(1000)))
        return FakeHost()

    env = HostEnv(make)
    env.reset(seed=1)
    first = env.host
    env.reset()
    assert not first.open
    env.reset(seed=1)
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_masks_say_what_is_offered_and_nonsense_keeps() -> None:
    env = HostEnv(FakeHost(), decisions=1)
    observation, _ = env.reset()
    done = False
    while not done:
        assert observation["mask"].astype(bool).tolist() == env.action_masks().tolist()
        observation, reward, done, _, _ = env.step(MAX_VALUES - 1)
    assert reward == 0.0


def test_the_environments_are_registered_without_torch() -> None:
    assert {"viotune/SimHost-v0", "viotune/LiveHost-v0"} <= set(gymnasium.registry)
    code = "import sys, envs.host_env; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_simulated_host_is_made_by_its_id_and_the_seed_decides_which() -> None:
    env = gymnasium.make("envs.host_env:viotune/SimHost-v0", decisions=1, seconds=0.01)
    states = [env.reset(seed=seed)[0]["state"].tolist() for seed in (1, 2, 1)]
    assert states[0] == states[2] != states[1]
    lab = gymnasium.make("envs.host_env:viotune/SimHost-v0", scenario="lab", seconds=0.01)
    lab.reset(seed=0)
    assert lab.unwrapped.host.describe().uri == "sim:lab"


def test_a_live_host_is_opened_by_its_uri() -> None:
    env = gymnasium.make(
        "envs.host_env:viotune/LiveHost-v0", uri="sim:lab", seconds=0.01, settle=0.01
    )
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("uri", ["qemu:///system", "kvm:", "xen+ssh://root@host"])
def test_a_host_that_people_need_is_not_set_without_a_watchdog(uri: str) -> None:
    with pytest.raises(InputError, match="tuner train --host"):
        gymnasium.make("envs.host_env:viotune/LiveHost-v0", uri=uri)
