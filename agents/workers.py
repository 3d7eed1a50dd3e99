"""Groups of a training run, here or in several processes, as one vectorised environment."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from agents.config import TrainConfig
from agents.worker import Groups, Steps, serve
from envs.errors import TunerError
from envs.host_env import action_space, observation_space
from envs.masked_vec_env import MaskedVecEnv


class Workers(MaskedVecEnv):
    """``config.envs`` members of groups, stepped by ``config.workers`` processes.

    One worker is this process, so that closing it puts a live host back.
    """

    def __init__(self, config: TrainConfig, seed: int) -> None:
        super().__init__(config.envs, observation_space(), action_space())
        groups = config.envs // config.members
        seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(groups)]
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._links: list[Any] = []
        self._processes = []
        self._each = config.envs // config.workers
        for own in np.array_split(seeds, config.workers):
            if config.workers == 1:
                self._links.append(Groups(config, own.tolist()))
                break
            ours, theirs = context.Pipe()
            process = context.Process(
                target=serve, args=(theirs, config, own.tolist()), daemon=True
            )
            process.start()
            theirs.close()
            self._links.append(ours)
            self._processes.append(process)
        self._masks: NDArray[np.bool_] = np.ones((config.envs, 1), bool)

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        for link in self._links:
            with _alive():
                link.send([])
        return self._gather()[0]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand an action to each environment."""
        for first, link in enumerate(self._links):
            with _alive():
                link.send(actions[first * self._each : (first + 1) * self._each].tolist())

    def step_wait(self) -> VecEnvStepReturn:
        """What became of the actions."""
        return self._gather()

    def close(self) -> None:
        """End the processes."""
        for link in self._links:
            try:
                link.send(None)
            except OSError:
                continue  # it has ended already
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()

    def action_masks(self) -> NDArray[np.bool_]:
        """True where a value is offered, since the last step."""
        return self._masks

    def _gather(self) -> VecEnvStepReturn:
        with _alive():
            answers: list[Steps | str] = [link.recv() for link in self._links]
        steps = []
        for answer in answers:
            if isinstance(answer, str):
                raise TunerError(answer)
            steps.append(answer)
        keys = steps[0].observations
        observations = {key: np.concatenate([s.observations[key] for s in steps]) for key in keys}
        self._masks = observations["mask"] > 0
        rewards = np.concatenate([s.rewards for s in steps])
        ends = np.concatenate([s.ends for s in steps])
        return observations, rewards, ends, [info for s in steps for info in s.infos]


@contextmanager
def _alive() -> Iterator[None]:
    """Raise TunerError where a worker is not there any more.

    It is seen as an end where it had read what it was told, and else as a broken connection.
    """
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise TunerError("a process that simulates hosts died: its error is above") from error
