"""A process that simulates some of the hosts of a training run. It needs no torch."""

import signal
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np

from agents.config import TrainConfig
from envs.encoding import Observation
from envs.errors import TunerError
from envs.host_env import live_host_env, sim_host_env


class Floor(gymnasium.RewardWrapper[dict[str, Any], np.int64]):
    """A setting costs no more than ``floor``."""

    def __init__(self, env: gymnasium.Env[dict[str, Any], np.int64], floor: float) -> None:
        super().__init__(env)
        self.floor = floor

    def reward(self, reward: Any) -> float:  # noqa: ANN401 (Gymnasium's SupportsFloat)
        """The reward, or the floor."""
        return max(self.floor, float(reward))


def make_env(config: TrainConfig) -> Floor:
    """The environment that a configuration asks for."""
    arguments = {
        "decisions": config.decisions,
        "seconds": config.seconds,
        "settle": config.settle,
    }
    if config.host:
        env = live_host_env(config.host, **arguments)
    else:
        env = sim_host_env(config.scenario, **arguments)
    return Floor(env, config.reward_floor)


def serve(pipe: Connection, config: TrainConfig, seeds: list[int]) -> None:
    """Step an environment for each seed, as told through ``pipe``, until told None.

    The parent sends None for the end, an empty list to reset, and one action for each
    environment to step; an environment that ends starts anew. It gets the observations, stacked,
    rewards, ends and infos; or the line of an error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    try:
        envs = [make_env(config) for _ in seeds]
        while (actions := pipe.recv()) is not None:
            if actions:
                steps = [_step(env, action) for env, action in zip(envs, actions, strict=True)]
            else:
                pairs = zip(envs, seeds, strict=True)
                steps = [(env.reset(seed=seed)[0], 0.0, False, {}) for env, seed in pairs]
            observations, rewards, ends, infos = zip(*steps, strict=True)
            stacked = {key: np.stack([o[key] for o in observations]) for key in observations[0]}
            pipe.send((stacked, np.array(rewards, np.float32), np.array(ends), list(infos)))
    except TunerError as error:
        pipe.send(str(error))
    except (EOFError, OSError):
        pass  # the parent is gone


def _step(env: Floor, action: int) -> tuple[Observation, float, bool, dict[str, Any]]:
    observation, reward, ended, _, info = env.step(np.int64(action))
    if ended:
        observation = env.reset()[0]
        info = {"gain": info["gain"]}  # the trials are not needed there, and large
    return observation, float(reward), ended, info
