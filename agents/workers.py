"""Hosts simulated in several processes, each stepping many, as one vectorised environment."""

import multiprocessing
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from agents.config import TrainConfig
from agents.worker import make_env, serve
from envs.errors import TunerError


class Workers(VecEnv):
    """``config.envs`` environments in ``config.workers`` processes.

    SB3's own vectorised environment has a process for each environment and asks each for its
    masks in a second round trip; here they are read from the observations.
    """

    def __init__(self, config: TrainConfig, seed: int) -> None:
        example = make_env(config)
        super().__init__(config.envs, example.observation_space, example.action_space)
        seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(config.envs)]
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._pipes = []
        self._processes = []
        self._each = config.envs // config.workers
        for first in range(0, config.envs, self._each):
            ours, theirs = context.Pipe()
            own = seeds[first : first + self._each]
            process = context.Process(target=serve, args=(theirs, config, own), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._masks: NDArray[np.bool_] = np.ones((config.envs, 1), bool)

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        for pipe in self._pipes:
            pipe.send([])
        return self._gather()[0]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand an action to each environment."""
        for first, pipe in enumerate(self._pipes):
            pipe.send(actions[first * self._each : (first + 1) * self._each].tolist())

    def step_wait(self) -> VecEnvStepReturn:
        """What became of the actions."""
        return self._gather()

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue  # it has ended already
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()

    def env_method(
        self,
        method_name: str,
        *_arguments: Any,  # noqa: ANN401 (as SB3 declares it)
        indices: int | Iterable[int] | None = None,
        **_keywords: Any,  # noqa: ANN401
    ) -> list[Any]:
        """The masks, which is all that maskable PPO asks for."""
        if method_name != "action_masks":
            raise AttributeError(f"an environment in a worker has no {method_name} to call")
        return [self._masks[index] for index in self._get_indices(indices)]

    def has_attr(self, attr_name: str) -> bool:
        """Whether ``env_method`` knows it."""
        return attr_name == "action_masks"

    def get_attr(self, _attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """SB3 asks for the render mode: there is none."""
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, *_arguments: Any, **_keywords: Any) -> None:  # noqa: ANN401
        """Not possible: raises AttributeError."""
        raise AttributeError(f"{attr_name} of an environment in a worker cannot be set")

    def env_is_wrapped(
        self, _wrapper_class: type[Any], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """No wrapper of SB3 is used."""
        return [False for _ in self._get_indices(indices)]

    def _gather(self) -> VecEnvStepReturn:
        try:
            answers = [pipe.recv() for pipe in self._pipes]
        except EOFError as error:
            raise TunerError("a process that simulates hosts died: its error is above") from error
        for answer in answers:
            if isinstance(answer, str):
                raise TunerError(answer)
        keys = answers[0][0]
        observation = {key: np.concatenate([a[0][key] for a in answers]) for key in keys}
        self._masks = observation["mask"] > 0
        rewards, ends = (np.concatenate([a[i] for a in answers]) for i in (1, 2))
        infos: Sequence[dict[str, Any]] = [info for answer in answers for info in answer[3]]
        return observation, rewards, ends, list(infos)
