"""A process that simulates some of the hosts of a training run. It needs no torch."""

import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.telemetry import ToldHost
from envs.errors import TunerError
from envs.history import History
from envs.host import Host
from envs.host_env import HostEnv
from envs.layout import Observation, empty
from envs.scenario import TRAIN_SEEDS, generate, load

SCALE = 0.05
"""Gains that differ by less than this among the members of a group are hardly worth learning."""


class Steps(NamedTuple):
    """What became of one action of each member; the arrays have a row for each."""

    observations: dict[str, NDArray[np.float32]]
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]
    infos: list[dict[str, Any]]


class Group:
    """Members that each make a decision of their own on one host, from one history.

    Hosts differ far more than settings do: on one a gain of 0.02 is all there is, on another
    anything brings 0.5. So a decision earns by how much better it is than the others' on the same
    host at the same time, in units of how far they are apart; what the host itself adds is no
    noise then. What is better is the rise of the best gain so far, so that to try what turns out
    badly costs nothing but the try; as a host's users would notice it all the same, ``care`` times
    a negative reward is added, bounded by ``reward_floor`` so that disasters do not drown the rest.

    An episode is one decision. Members that are done wait for the others with a choice of one
    value, which teaches nothing. Then all go on from the history of one of them, picked by
    chance, until the host has had its ``decisions``, and another host comes.
    """

    def __init__(self, config: TrainConfig, seed: int) -> None:
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._scenario = load(config.scenario) if config.scenario else None
        self._host = _live(config.host) if config.host else None
        self._members: list[HostEnv] = []
        self._waiting: list[float | None] = []
        self._history: History
        self._left = 0

    def begin(self) -> list[Observation]:
        """The first choice of each member on a new host."""
        config = self._config
        if self._host is None or not self._members:
            host = self._host or self._simulated()
            self._members = [
                HostEnv(host, seconds=config.seconds, settle=config.settle)
                for _ in range(config.members)
            ]
        self._members[0].reset()
        self._history = self._members[0].history
        self._left = config.decisions
        return self._go_on()

    def step(self, actions: Sequence[int]) -> list[tuple[Observation, float, bool, dict[str, Any]]]:
        """One choice of each member: its next observation, reward, end and info."""
        seen = [self._choose(member, action) for member, action in enumerate(actions)]
        if any(earned is None for earned in self._waiting):
            return [(observation, 0.0, False, {}) for observation in seen]
        earned = np.array(self._waiting, float)
        rewards = (earned - earned.mean()) / (earned.std() + SCALE)
        picked = int(self._rng.integers(len(self._members)))
        self._history = self._members[picked].history
        self._left -= 1
        best = self._history.best
        info = {} if self._left else {"gain": best.verdict.gain if best else 0.0}
        seen = self._go_on() if self._left else self.begin()
        infos = [info if member == picked else {} for member in range(len(seen))]
        return [(o, float(r), True, i) for o, r, i in zip(seen, rewards, infos, strict=True)]

    def close(self) -> None:
        """Leave the host as it was found."""
        for member in self._members:
            member.close()

    def _go_on(self) -> list[Observation]:
        self._waiting = [None] * len(self._members)
        return [m.reset(options={"history": self._history})[0] for m in self._members]

    def _choose(self, member: int, action: int) -> Observation:
        if self._waiting[member] is not None:
            return empty()
        observation, reward, _, _, info = self._members[member].step(action)
        if "gain" not in info:
            return observation
        best = self._history.best
        rise = info["gain"] - (best.verdict.gain if best else 0.0)
        cost = max(self._config.reward_floor, min(0.0, reward))
        self._waiting[member] = rise + self._config.care * cost
        return empty()

    def _simulated(self) -> Host:
        drawn = TRAIN_SEEDS[int(self._rng.integers(len(TRAIN_SEEDS)))]
        seed = int(self._rng.integers(2**31))
        return ToldHost(self._scenario or generate(drawn), seed=seed)


def _live(uri: str) -> Host:
    from envs.hosts.locate import open_host  # noqa: PLC0415 (loads only what that host needs)

    return open_host(uri)


class Groups:
    """Some groups, stepped together. ``send`` and ``recv`` are as those of a pipe to a worker."""

    def __init__(self, config: TrainConfig, seeds: Sequence[int]) -> None:
        self._groups = [Group(config, seed) for seed in seeds]
        self._members = config.members
        self._answer: Steps

    def send(self, actions: Sequence[int] | None) -> None:
        """Step every member; no actions begin anew, None is the end."""
        if actions is None:
            for group in self._groups:
                group.close()
            return
        n = self._members
        if actions:
            each = [g.step(actions[i * n : (i + 1) * n]) for i, g in enumerate(self._groups)]
            steps = [step for group in each for step in group]
        else:
            steps = [(o, 0.0, False, {}) for group in self._groups for o in group.begin()]
        observations, rewards, ends, infos = zip(*steps, strict=True)
        self._answer = Steps(
            observations={k: np.stack([o[k] for o in observations]) for k in observations[0]},
            rewards=np.array(rewards, np.float32),
            ends=np.array(ends),
            infos=list(infos),
        )

    def recv(self) -> Steps:
        """What became of the last actions."""
        return self._answer


def serve(pipe: Connection, config: TrainConfig, seeds: Sequence[int]) -> None:
    """Step groups as told through ``pipe``; the answer is ``Steps``, or the line of an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    try:
        groups = Groups(config, seeds)
        while (actions := pipe.recv()) is not None:
            groups.send(actions)
            pipe.send(groups.recv())
    except TunerError as error:
        pipe.send(str(error))
    except (EOFError, OSError):
        pass  # the parent is gone
