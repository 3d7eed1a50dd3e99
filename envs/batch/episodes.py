"""Episodes side by side: a host in each place of a batch, and a new one where an episode ended."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from envs.batch.batch import Batch
from envs.errors import HostError
from envs.layout import Observation
from envs.reward import Guards
from envs.scenario import draw, load


class Step(NamedTuple):
    """What became of an action of each host; the arrays have a row for each place.

    Where an episode ended, ``ends`` is True, the observation is already that of the next host, and
    ``last`` holds, by place, the last observation of the one before and its info. ``decided`` is
    where a decision ended but no episode, and ``gains`` the best gain so far there.
    """

    observations: Observation
    rewards: NDArray[np.float64]
    ends: NDArray[np.bool_]
    decided: NDArray[np.bool_]
    gains: NDArray[np.float64]
    last: dict[int, tuple[Observation, dict[str, Any]]]


class Episodes:
    """``places`` hosts that are simulated, with the arguments of ``envs.host_env.sim_host_env``.

    Each place draws its hosts from a random stream of its own, as ``HostEnv`` does.
    """

    def __init__(
        self,
        places: int,
        scenario: str | None,
        decisions: int,
        seconds: float,
        guards: Guards | None,
    ) -> None:
        self._arguments = (places, decisions, seconds, guards or Guards())
        self._scenario = load(scenario) if scenario else None
        self._streams: list[Generator] = []
        self._batch: Batch | None = None

    def reset(self, streams: Sequence[Generator]) -> Observation:
        """A new host in every place, drawn from its stream."""
        self._streams = list(streams)
        self._batch = self._batch or Batch(*self._arguments)
        self._refill(range(len(streams)))
        return self._batch.observation()

    def step(self, actions: NDArray[np.int64]) -> Step:
        """One choice of each host, and a new host where that was the last of an episode.

        Making one is the only work in Python, a millisecond where a measurement takes several.
        """
        batch = self.batch
        batch.step(np.asarray(actions, np.int64))
        shown, ends = batch.shown, batch.ended
        rewards, gains = shown.reward.copy(), shown.gain.copy()
        decided = batch.decided & ~ends
        last = {place: self._ending(place) for place in np.flatnonzero(ends).tolist()}
        if last:
            self._refill(last)
        return Step(batch.observation(), rewards, ends, decided, gains, last)

    def masks(self) -> NDArray[np.bool_]:
        """True where a value is offered, (places, MAX_VALUES)."""
        return np.asarray(self.batch.shown.mask > 0)

    def close(self) -> None:
        """Give the memory back; ``reset`` begins anew."""
        self._batch = None

    @property
    def batch(self) -> Batch:
        """The hosts. Raises HostError where there are none yet, or no more."""
        if self._batch is None:
            raise HostError("the environment has no host: reset it first")
        return self._batch

    def _refill(self, places: Iterable[int]) -> None:
        self.batch.put({i: draw(self._streams[i], self._scenario) for i in places})

    def _ending(self, place: int) -> tuple[Observation, dict[str, Any]]:
        shown = self.batch.shown
        arrays = {"state": shown.state, "candidates": shown.candidates, "mask": shown.mask}
        observation = {key: array[place].copy() for key, array in arrays.items()}
        trials = self.batch.history(place).trials
        return observation, {"gain": float(shown.gain[place]), "trials": trials}
