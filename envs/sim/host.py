"""A simulated host, behind the same protocol as a live one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self, cast

import numpy as np

from envs.errors import InputError
from envs.host import HostSpec, Sample, Settings, from_json, to_json
from envs.knobs import check
from envs.scenario import Scenario
from envs.sim.compile import apply_settings, compile_host
from envs.sim.describe import spec_of, stock_of
from envs.sim.engine import run
from envs.sim.latency import Answers
from envs.sim.sample import (
    Counters,
    StageUse,
    answers_between,
    refuse_nonsense,
    sample_between,
    stages_between,
)
from envs.sim.state import STATE, State

WARM_UP = 0.03
"""Seconds simulated before an interval, in which windows open and caches fill."""
RESET = STATE.fields["asked"][1] if STATE.fields else 0
"""Bytes of a state before what needs no reset: an empty queue has no segments."""


class SimHost:
    """Simulates a scenario. Every measurement starts the same load anew from the same seed.

    So a sample depends on nothing but scenario, seed, settings and seconds, to the last bit, and
    two settings are compared under the same load.

    Of the last measurement, ``stages`` is what the stages of a packet's way took, and ``delivered``
    the bytes of data that came to their receivers, without acknowledgements; ``answers`` is how
    requests fared, None without any.
    """

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.seed = seed
        self._spec = spec_of(scenario)
        self._stock = stock_of(scenario, self._spec)
        self._settings = self._stock
        self._host = compile_host(scenario, self._spec, seed)
        self.stages: Mapping[str, StageUse] = {}
        self.delivered = 0
        self.answers: Answers | None = None
        self._states = np.zeros(1, STATE)  # its pages come only as they are used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> HostSpec:
        """What is there and what can be set."""
        return self._spec

    def settings(self) -> Settings:
        """The knobs as they are now."""
        return self._settings

    def apply(self, settings: Settings) -> None:
        """Set every knob. Raises IllegalSetting and changes nothing if a rule is broken."""
        check(self._spec, settings, self._stock)
        self._settings = settings

    def measure(self, seconds: float) -> Sample:
        """Simulate a warm-up and an interval of ``seconds``; give the interval's counters.

        Raises InputError for an interval that is not above zero, TunerError naming scenario and
        seed if the counters are impossible.
        """
        self._warm_up(seconds)
        before = Counters(self._states)
        self._run(WARM_UP + seconds)
        after = Counters(self._states)
        self.stages = stages_between(before, after)
        self.answers = answers_between(before, after, seconds)
        self.delivered = after.delivered - before.delivered
        sample = sample_between(self._spec, self._settings, before, after, seconds)
        refuse_nonsense(sample, f"scenario {self.scenario.name!r}, seed {self.seed}")
        return sample

    def watch(self, seconds: float, moments: int) -> Iterator[np.void]:
        """Simulate as ``measure`` does; give the state after each of ``moments`` equal parts.

        It is a view: copy what is to last. Raises InputError as ``measure`` does.
        """
        self._warm_up(seconds)
        for k in range(1, moments + 1):
            self._run(WARM_UP + seconds * k / moments)
            yield self._states[0]

    @property
    def events(self) -> int:
        """Events simulated by the last measurement, its warm-up included."""
        return int(self._states[0]["events"])

    def snapshot(self) -> bytes:
        """The settings, as JSON that ``restore`` reads."""
        return to_json(self._settings)

    def restore(self, snapshot: bytes) -> None:
        """Set what ``snapshot`` holds. Raises InputError if it holds no settings."""
        self.apply(from_json(snapshot, Settings))

    def close(self) -> None:
        """Nothing is held."""

    def _warm_up(self, seconds: float) -> None:
        if not seconds > 0:
            raise InputError(f"cannot measure {seconds} seconds: it must be more than 0")
        self._reset()
        self._run(WARM_UP)

    def _run(self, until: float) -> None:
        # To the compiled code, and so to the type checker, the array is a sequence of records.
        run(cast("Sequence[State]", self._states), until * 1e9)

    def _reset(self) -> None:
        """Bring the state back to its beginning, with the present settings in it."""
        source, target = (a.view("u1").reshape(-1) for a in (self._host, self._states))
        target[:RESET] = source[:RESET]
        apply_settings(self._states, self.scenario, self._spec, self._settings)
