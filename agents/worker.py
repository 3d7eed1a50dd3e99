"""A process that simulates some of the hosts of a training run. It needs no torch."""

import signal
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np

from agents.config import TrainConfig
from envs.errors import TunerError
from envs.host_env import live_host_env, sim_host_env
from envs.layout import Observation


class Improvement(gymnasium.Wrapper[dict[str, Any], np.int64, dict[str, Any], np.int64]):
    """Rewards what training is for: the best setting after all decisions.

    A decision earns by how much it raises the best gain so far, so the sum over an episode is
    the gain that is kept, and to try what turns out badly costs nothing but the try. As a host's
    users would notice it all the same, ``care`` times a negative reward is added, bounded by
    ``floor`` so that disasters do not drown the rest.
    """

    def __init__(
        self, env: gymnasium.Env[dict[str, Any], np.int64], care: float, floor: float
    ) -> None:
        super().__init__(env)
        self.care = care
        self.floor = floor
        self._gain = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start from the baseline, whose gain is 0."""
        self._gain = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One choice; the last of a decision earns."""
        observation, reward, ended, truncated, info = self.env.step(action)
        if "gain" in info:
            raised = info["gain"] - self._gain
            self._gain = info["gain"]
            reward = raised + self.care * max(self.floor, min(0.0, float(reward)))
        return observation, float(reward), ended, truncated, info


def make_env(config: TrainConfig) -> Improvement:
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
    return Improvement(env, config.care, config.reward_floor)


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


def _step(env: Improvement, action: int) -> tuple[Observation, float, bool, dict[str, Any]]:
    observation, reward, ended, _, info = env.step(np.int64(action))
    info = {"gain": info["gain"]} if ended else {}  # the trials are not needed, and large
    if ended:
        observation = env.reset()[0]
    return observation, float(reward), ended, info
