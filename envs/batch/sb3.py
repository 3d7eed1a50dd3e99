"""Many simulated hosts as Stable-Baselines3 knows vectorised environments."""

from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from envs.batch.episodes import Episodes
from envs.host_env import action_space, observation_space
from envs.masked_vec_env import MaskedVecEnv
from envs.reward import Guards


class SimVecEnv(MaskedVecEnv):
    """``num_envs`` hosts, as ``envs.batch.vector_env.SimVectorEnv``, for Stable-Baselines3.

    Masks come through ``env_method("action_masks")``, as MaskablePPO asks for them. Where an
    episode ends, ``infos`` holds ``terminal_observation``, ``gain`` and ``trials``; where only a
    decision ends, ``gain``.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        scenario: str | None = None,
        decisions: int = 3,
        seconds: float = 1.0,
        guards: Guards | None = None,
    ) -> None:
        super().__init__(num_envs, observation_space(), action_space())
        self._episodes = Episodes(num_envs, scenario, decisions, seconds, guards)
        self._streams = [np_random()[0] for _ in range(num_envs)]
        self._actions: NDArray[np.int64]

    def reset(self) -> VecEnvObs:
        """A new host in every place, from the seeds that ``seed`` set, if it did since the last."""
        for place, seed in enumerate(self._seeds):
            if seed is not None:
                self._streams[place] = np_random(seed)[0]
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self._episodes.reset(self._streams)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take an action for each host."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Make one choice of every host."""
        step = self._episodes.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for decided in np.flatnonzero(step.decided):
            infos[decided]["gain"] = float(step.gains[decided])
        for place, (observation, info) in step.last.items():
            infos[place] = {"terminal_observation": observation, **info}
        return step.observations, step.rewards.astype(np.float32), step.ends, infos

    def close(self) -> None:
        """Give the memory back."""
        self._episodes.close()

    def action_masks(self) -> NDArray[np.bool_]:
        """True where a value is offered, (num_envs, MAX_VALUES)."""
        return self._episodes.masks()
