"""Many simulated hosts as one Gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.batch.episodes import Episodes
from envs.host_env import action_space, observation_space
from envs.layout import Observation
from envs.reward import Guards

Actions = NDArray[np.int64]


class SimVectorEnv(VectorEnv[Observation, Actions, NDArray[Any]]):
    """``num_envs`` hosts, each of which is tuned as ``envs.host_env.HostEnv`` tunes one.

    Spaces, rewards and the meaning of an action are those of ``HostEnv``, batched, and so are the
    hosts: place i with seed s has the same episodes as ``viotune/SimHost-v0`` reset with s + i. It
    is stepped by compiled code, without a loop over hosts in Python.

    ## Autoreset
    In the same step. Where an episode ends, the observation is the first of the next host;
    ``infos["final_obs"]`` and ``infos["final_info"]`` hold the last one and its info (``gain``,
    ``trials``). Where only a decision ends, ``infos["gain"]`` is the best gain so far.

    ## Arguments
    ``num_envs``; ``scenario``, ``decisions``, ``seconds`` and ``guards`` as of
    ``envs.host_env.sim_host_env``. There is no ``settle``: a simulated host has nothing to settle.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (as declared)

    def __init__(
        self,
        num_envs: int,
        *,
        scenario: str | None = None,
        decisions: int = 3,
        seconds: float = 1.0,
        guards: Guards | None = None,
    ) -> None:
        self.num_envs = num_envs
        self.single_action_space, self.single_observation_space = (
            action_space(),
            observation_space(),
        )
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._episodes = Episodes(num_envs, scenario, decisions, seconds, guards)
        self._streams = [np_random()[0] for _ in range(num_envs)]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """A new host in every place.

        ``seed`` seeds place i with ``seed + i``; a sequence has one for each place. Without one,
        the places go on with their streams. There are no ``options``.
        """
        del options
        if seed is None or isinstance(seed, int):
            super().reset(seed=seed)
            seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        for place, own in enumerate(seeds):
            if own is not None:
                self._streams[place] = np_random(own)[0]
        self.closed = False
        return self._episodes.reset(self._streams), {}

    def step(
        self, actions: Actions
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Make one choice of every host."""
        step = self._episodes.step(actions)
        infos: dict[str, Any] = {}
        if step.decided.any():
            infos = {"gain": np.where(step.decided, step.gains, 0.0), "_gain": step.decided}
        for place, (observation, info) in step.last.items():
            infos = self._add_info(infos, {"final_obs": observation, "final_info": info}, place)
        return step.observations, step.rewards, step.ends, np.zeros(self.num_envs, bool), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """True where a value is offered, (num_envs, MAX_VALUES)."""
        return self._episodes.masks()

    def close_extras(self) -> None:
        """Give the memory back."""
        self._episodes.close()
