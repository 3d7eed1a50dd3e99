"""Many simulated hosts stepped together: the one core of ``vector_env`` and ``sb3``."""

from collections.abc import Mapping, MutableSequence, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from envs.batch.making import history_of, make_host, sample_of
from envs.batch.measuring import workspace
from envs.batch.overlap import table
from envs.batch.records import DECISION_TYPE, HOST_TYPE, TRIAL_TYPE, Decision, Host, Trial
from envs.batch.stepping import NONE, Places, Scratch, Shown, answer, choose, simulate
from envs.errors import InputError
from envs.history import History
from envs.layout import CANDIDATE, STATE, Observation
from envs.menu import MAX_VALUES
from envs.reward import Guards
from envs.scenario import Scenario
from envs.sim.describe import spec_of
from envs.sim.host import RESET
from envs.sim.sample import refuse_nonsense


class Batch:
    """``places`` hosts, each with its own episode of ``decisions`` settings.

    ``put`` fills some places and measures their hosts as found; ``step`` makes a choice of every
    host. ``shown`` holds what these gave, and is overwritten by the next. A measurement takes
    ``seconds``. About 150 KB a place with three decisions, and 40 MB for one simulation at a time.
    """

    def __init__(self, places: int, decisions: int, seconds: float, guards: Guards) -> None:
        if not seconds > 0:
            raise InputError(f"cannot measure {seconds} seconds: it must be more than 0")
        self.places = places
        self.decisions = decisions
        self.seconds = seconds
        self.guards = guards
        self._made: dict[int, tuple[Scenario, int]] = {}
        self._hosts = np.zeros(places, HOST_TYPE)
        self._decisions = np.zeros(places, DECISION_TYPE)
        self._trials = np.zeros((places, decisions + 1), TRIAL_TYPE)
        self._places = Places(
            # To compiled code, and so to the type checker, these are sequences of records.
            hosts=cast("Sequence[Host]", self._hosts),
            decisions=cast("Sequence[Decision]", self._decisions),
            trials=cast("Sequence[MutableSequence[Trial]]", self._trials),
            begins=np.zeros((places, RESET), np.uint8),
            decided=np.zeros(places, bool),
            asked=np.zeros(places, bool),
        )
        self.shown = Shown(
            state=np.zeros((places, STATE), np.float32),
            candidates=np.zeros((places, MAX_VALUES, CANDIDATE), np.float32),
            mask=np.zeros((places, MAX_VALUES), np.float32),
            reward=np.zeros(places),
            gain=np.zeros(places),
        )
        self._workspace = workspace()
        self._scratch = Scratch(known=table(), row=np.zeros(STATE))
        self._all = np.arange(places)

    def put(self, hosts: Mapping[int, tuple[Scenario, int]]) -> None:
        """Put hosts, each a scenario and a seed, into their places, and measure them as found.

        Raises TunerError naming scenario and seed if a simulation gives impossible counters.
        """
        for place, (scenario, seed) in hosts.items():
            made = make_host(scenario, seed, self.guards)
            self._made[place] = (scenario, seed)
            self._hosts[place] = made.host
            self._trials[place, 0] = made.base
            self._places.begins[place] = made.begin
            self._decisions[place] = np.zeros(1, DECISION_TYPE)[0]
            self._places.decided[place] = self._places.asked[place] = True
        self._answer(np.array(list(hosts), np.int64))

    def step(self, actions: NDArray[np.int64]) -> None:
        """Make one choice of every host; the last one of a decision measures it.

        Raises TunerError as ``put`` does.
        """
        choose(self._places, actions)
        self._answer(self._all)

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Where the last step ended a decision, (places,)."""
        return self._places.decided

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Where an episode is over, (places,): the host there has had all its decisions."""
        return np.asarray(self._decisions["trials"] > self.decisions)

    def observation(self) -> Observation:
        """A copy of what each host shows, rows of (places, ...)."""
        shown = self.shown
        arrays = {key: getattr(shown, key) for key in ("state", "candidates", "mask")}
        return {key: array.copy() for key, array in arrays.items()}

    def history(self, place: int) -> History:
        """What has been measured in a place since its host was put there."""
        count = self._decisions["trials"][place]
        trials = self._trials[place, :count]
        return history_of(self._made[place][0], trials, self.seconds, self.guards)

    def _answer(self, which: NDArray[np.int64]) -> None:
        failed = simulate(self._places, self.seconds, self._workspace)
        if failed != NONE:
            scenario, seed = self._made[failed]
            trial = self._trials[failed, self._decisions["trials"][failed]]
            sample = sample_of(spec_of(scenario), trial, self.seconds)
            refuse_nonsense(sample, f"scenario {scenario.name!r}, seed {seed}")
        answer(self._places, which, self.seconds, self._scratch, self.shown)
