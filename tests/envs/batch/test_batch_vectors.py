"""The two faces of a batch: Gymnasium's vector environment and that of Stable-Baselines3."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import VecMonitor

from envs.batch.sb3 import SimVecEnv
from envs.batch.vector_env import SimVectorEnv
from envs.errors import HostError
from envs.host_env import sim_host_env
from envs.layout import Observation
from envs.menu import MAX_VALUES

pytestmark = pytest.mark.timeout(1800)  # what they use is compiled first, once

SHORT = {"decisions": 2, "seconds": 0.002}


def close(one: Observation, other: Observation) -> None:
    for key, array in one.items():
        np.testing.assert_allclose(other[key], array, rtol=0, atol=1e-6, err_msg=key)


def random_actions(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])


def test_it_is_a_vector_of_host_envs_that_reset_in_the_same_step() -> None:
    plain = SyncVectorEnv(
        [lambda: sim_host_env(**SHORT)] * 3, autoreset_mode=AutoresetMode.SAME_STEP
    )
    batch = SimVectorEnv(3, **SHORT)
    assert batch.metadata == plain.metadata
    assert batch.observation_space == plain.observation_space
    assert batch.action_space == plain.action_space
    rng = np.random.default_rng(0)
    close(plain.reset(seed=5)[0], batch.reset(seed=5)[0])
    ended = 0
    while ended < 4:
        actions = random_actions(batch.action_masks(), rng)
        told, seen = plain.step(actions), batch.step(actions)
        close(told[0], seen[0])
        for expected, given in zip(told[1:4], seen[1:4], strict=True):
            np.testing.assert_allclose(given, expected, rtol=1e-12)
        assert seen[4].keys() == told[4].keys()
        for place in np.flatnonzero(told[2]):
            ended += 1
            close(told[4]["final_obs"][place], seen[4]["final_obs"][place])
            for key in ("gain", "trials"):
                one, other = (infos["final_info"][key][place] for infos in (told[4], seen[4]))
                assert one == other


def test_gymnasium_makes_it_by_its_id_and_its_wrappers_take_it() -> None:
    env = gymnasium.make_vec(
        "envs.host_env:viotune/SimHost-v0", num_envs=2, scenario="lab", **SHORT
    )
    assert isinstance(env.unwrapped, SimVectorEnv)
    counted = RecordEpisodeStatistics(env)
    observation, infos = counted.reset(seed=0)
    assert infos == {}
    done = np.zeros(2, bool)
    while not done.all():
        assert observation in env.observation_space
        observation, _, done, _, infos = counted.step(env.action_space.sample())
        assert bool(infos) == bool(done.any() or "gain" in infos)


def test_a_seed_gives_the_same_hosts_and_without_one_they_go_on() -> None:
    env = SimVectorEnv(2, **SHORT)
    first, next_ = env.reset(seed=3)[0]["state"], env.reset()[0]["state"]
    again, turned = env.reset(seed=3)[0]["state"], env.reset(seed=[4, 3])[0]["state"]
    assert first.tobytes() == again.tobytes()
    assert turned[::-1].tobytes() == first.tobytes()
    assert next_.tobytes() != first.tobytes()


def test_what_it_gave_is_not_changed_by_the_next_step() -> None:
    env = SimVectorEnv(2, scenario="lab", **SHORT)
    observation, _ = env.reset(seed=0)
    kept = {key: array.copy() for key, array in observation.items()}
    env.step(np.ones(2, np.int64))
    for key, array in observation.items():
        assert array.tobytes() == kept[key].tobytes()


def test_a_closed_one_has_no_hosts_until_it_is_reset() -> None:
    env = SimVectorEnv(1, scenario="lab", **SHORT)
    with pytest.raises(HostError, match="reset it first"):
        env.step(np.zeros(1, np.int64))
    first, _ = env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(HostError, match="reset it first"):
        env.step(np.zeros(1, np.int64))
    close(first, env.reset(seed=0)[0])


def test_stable_baselines_learns_on_it() -> None:
    env = VecMonitor(SimVecEnv(4, scenario="lab", **SHORT))
    env.seed(0)
    model = MaskablePPO(
        "MultiInputPolicy", env, n_steps=16, batch_size=32, n_epochs=1, device="cpu"
    )
    model.learn(128)
    assert model.num_timesteps == 128
    assert len(model.ep_info_buffer) >= 4


def test_where_an_episode_ends_stable_baselines_sees_its_last_observation() -> None:
    env, one = SimVecEnv(2, scenario="lab", **SHORT), SimVectorEnv(2, scenario="lab", **SHORT)
    env.seed(7)
    close(one.reset(seed=7)[0], env.reset())
    rng = np.random.default_rng(0)
    dones = np.zeros(2, bool)
    while not dones.any():
        masks = np.stack(env.env_method("action_masks"))
        assert masks.shape == (2, MAX_VALUES)
        actions = random_actions(masks, rng)
        observation, rewards, dones, infos = env.step(actions)
        expected = one.step(actions)
        close(expected[0], observation)
        np.testing.assert_allclose(rewards, expected[1], rtol=1e-6)
    for place in np.flatnonzero(dones):
        close(expected[4]["final_obs"][place], infos[place]["terminal_observation"])
        assert infos[place]["trials"] == expected[4]["final_info"]["trials"][place]
    assert all(not infos[place] or "gain" in infos[place] for place in np.flatnonzero(~dones))
