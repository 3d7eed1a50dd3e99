"""A host as a Gymnasium environment, simulated or live.

``gymnasium.make("envs.host_env:viotune/SimHost-v0")`` and ``"envs.host_env:viotune/LiveHost-v0"``
import this and make one.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.decision import Decision
from envs.encoding import Encoder
from envs.errors import HostError, InputError
from envs.history import History
from envs.host import Host, Sample, Settings
from envs.layout import BOUND, CANDIDATE, STATE, Observation
from envs.menu import MAX_VALUES, Menu
from envs.reward import Guards

FAILURE = 0.1
"""What a setting costs that the host refused, below the reward of changing nothing."""

HostMaker = Callable[[np.random.Generator], Host]


class HostEnv(gymnasium.Env[dict[str, Any], np.int64]):
    """Tune a host: make settings choice by choice, and see what they are worth.

    ## Description
    Stock is measured first; then come a few decisions, each a sequence of choices
    (``envs.decision``) that starts from the best setting measured so far. The last choice of a
    decision sets the host, lets it settle, measures it and judges the sample against the
    baseline's. In simulation both see the same load, so a verdict is exact.

    ## Action Space
    ``Discrete(MAX_VALUES)``: the index of a value of the choice in question. 0 keeps the part as
    it is; so does an index that is not offered. ``action_masks()`` says what is offered.

    ## Observation Space
    A ``Dict`` of ``state`` (STATE,), ``candidates`` (MAX_VALUES, CANDIDATE) and ``mask``
    (MAX_VALUES,), float32, as ``envs.layout`` describes.

    ## Rewards
    0 for every choice but the last of a decision, which earns the verdict's reward: the logarithm
    of bandwidth per core over the baseline's, less a penalty for broken guards. A setting that
    was measured before in the episode earns what it earned then, without being measured again.
    Where the host refuses a setting, it is restored, and the reward is that of the decision's
    starting point less ``FAILURE``: to fail teaches as little as to change nothing, and costs.

    ## Starting State
    The host as found. A live host is snapshot when the environment is made, and restored by
    ``reset`` and ``close``; a maker of hosts is called for a new one in every episode.

    ## Episode End
    Terminates after ``decisions`` decisions; never truncates. At the end of each, ``info`` holds
    ``gain``, the best gain so far that broke no guard, or 0; the last one also ``trials``, the
    tuple of all ``Trial``.

    ## Arguments
    ``host``: a host, or a function that makes one from a random generator. ``decisions`` per
    episode; ``seconds`` a measurement takes; ``settle`` seconds before it; ``guards``.

    ## Version History
    * v0: first version.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self,
        host: Host | HostMaker,
        *,
        decisions: int = 3,
        seconds: float = 1.0,
        settle: float = 0.0,
        guards: Guards | None = None,
    ) -> None:
        self.decisions = decisions
        self.seconds = seconds
        self.settle = settle
        self.guards = guards or Guards()
        self.action_space = action_space()
        self.observation_space = observation_space()
        self._maker = host if callable(host) else None
        self._host: Host | None = None
        self._decision: Decision
        if not callable(host):
            self._adopt(host)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start from the host as found, and measure that.

        ``options={"history": history}`` starts from what has been measured on this host before.
        """
        super().reset(seed=seed, options=options)
        if self._maker is not None:
            self.close()
            self._adopt(self._maker(self.np_random))
        self._restore()
        self.history = (options or {}).get("history") or History(
            spec=self._encoder.spec,
            baseline=self._encoder.baseline,
            baseline_sample=self._measure(),
            guards=self.guards,
        )
        self._left = self.decisions
        self._decide()
        return self._observe(), {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make one choice; the last one of a decision sets and measures the host."""
        if self._decision.choice is not None:
            self._decision = self._decision.take(int(action))
        if self._decision.choice is not None:
            return self._observe(), 0.0, False, False, {}
        reward = self._try(self._decision.settings)
        self._left -= 1
        self._decide()
        best = self.history.best
        info: dict[str, Any] = {"gain": best.verdict.gain if best else 0.0}
        if self._left == 0:
            info["trials"] = self.history.trials
        return self._observe(), reward, self._left == 0, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """True where a value is offered."""
        choice = self._decision.choice
        return np.arange(MAX_VALUES) < (len(choice.values) if choice else 1)

    def close(self) -> None:
        """Leave the host as it was found."""
        if self._host is not None:
            self._restore()
            self._host.close()
            self._host = None

    @property
    def host(self) -> Host:
        """The host of this episode. Raises HostError when it is closed."""
        if self._host is None:
            raise HostError("the environment has no host: reset it first")
        return self._host

    def _adopt(self, host: Host) -> None:
        self._host = host
        self._found = host.snapshot()
        self._changed = False
        spec, baseline = host.describe(), host.settings()
        self._encoder = Encoder(spec, baseline)
        self._menu = Menu(spec, baseline)

    def _decide(self) -> None:
        self._facts = self._encoder.facts(self.history)
        self._decision = Decision.over(self._menu, self.history.start)

    def _observe(self) -> Observation:
        return self._encoder.encode(self._facts, self._decision)

    def _try(self, settings: Settings) -> float:
        """Measure a setting, unless that has been done; its reward."""
        history = self.history
        if settings == history.baseline:
            sample = history.baseline_sample
        else:
            known = (trial.sample for trial in history.trials if trial.settings == settings)
            try:
                sample = next(known, None) or self._apply(settings)
            except HostError:
                self._restore()
                best = history.best
                return (best.verdict.reward if best else 0.0) - FAILURE
        self.history = history.with_sample(settings, sample)
        return self.history.trials[-1].verdict.reward

    def _apply(self, settings: Settings) -> Sample:
        self._changed = True
        self.host.apply(settings)
        return self._measure()

    def _measure(self) -> Sample:
        if self.settle:
            self.host.measure(self.settle)
        return self.host.measure(self.seconds)

    def _restore(self) -> None:
        if self._changed:
            self.host.restore(self._found)
            self._changed = False


def action_space() -> spaces.Discrete:
    """An action is the index of the value that is chosen."""
    return spaces.Discrete(MAX_VALUES)


def observation_space() -> spaces.Dict:
    """The arrays of an observation, as ``envs.layout`` says."""
    return spaces.Dict(
        {
            "state": spaces.Box(-BOUND, BOUND, (STATE,), np.float32),
            "candidates": spaces.Box(-BOUND, BOUND, (MAX_VALUES, CANDIDATE), np.float32),
            "mask": spaces.Box(0.0, 1.0, (MAX_VALUES,), np.float32),
        }
    )


def sim_host_env(scenario: str | None = None, **arguments: Any) -> HostEnv:  # noqa: ANN401 (handed on)
    """``viotune/SimHost-v0``: a scenario by name or path, or a generated one in each episode.

    Further arguments are those of ``HostEnv``.
    """
    from envs.scenario import draw, load  # noqa: PLC0415 (compiles code)
    from envs.sim.host import SimHost  # noqa: PLC0415

    fixed = load(scenario) if scenario else None

    def make(rng: np.random.Generator) -> Host:
        return SimHost(*draw(rng, fixed))

    return HostEnv(make, **arguments)


def live_host_env(uri: str, **arguments: Any) -> HostEnv:  # noqa: ANN401 (handed on)
    """``viotune/LiveHost-v0``: a lab or a simulated host by its URI, two seconds a measurement.

    Nothing here locks a host or has it put itself back should the process die, so others are
    refused (InputError): those are for ``tuner train --host``, which does. Further arguments are
    those of ``HostEnv``.
    """
    from envs.hosts.locate import kind_of, open_host  # noqa: PLC0415 (loads only what it needs)

    if kind_of(uri) not in ("lab", "sim"):
        raise InputError(f"{uri}: no lab: let it be set by tuner train --host, which protects it")
    return HostEnv(open_host(uri), **({"seconds": 2.0, "settle": 0.5} | arguments))


gymnasium.register(
    id="viotune/SimHost-v0",
    entry_point="envs.host_env:sim_host_env",
    vector_entry_point="envs.batch.vector_env:SimVectorEnv",
)
gymnasium.register(id="viotune/LiveHost-v0", entry_point="envs.host_env:live_host_env")
