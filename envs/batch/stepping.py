"""The compiled entry points: a step of a batch is ``choose``, ``simulate`` and ``answer``.

They are kept on disk as the engine is (``envs.sim.compiled``), by a digest of all sources that
they are made of. Only ``simulate`` has the engine in it, so that it is optimised once.
"""

from collections.abc import Callable, MutableSequence, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import envs
from envs.batch.encoding import encode_state, encode_values
from envs.batch.features import trial_row
from envs.batch.judging import judge
from envs.batch.measuring import Block, Workspace, begin_interval, begin_simulation, take_sample
from envs.batch.menu import ask, take
from envs.batch.overlap import Table
from envs.batch.records import NOTHING, Decision, Host, Setting, Trial
from envs.sim.compiled import called, compiled, digest, kept
from envs.sim.engine import run
from envs.sim.host import WARM_UP

NONE = -1


class Places(NamedTuple):
    """The arrays of a batch of n hosts; see ``envs.batch.records``.

    ``trials`` (n, decisions + 1) begins with the baseline; ``begins`` (n, RESET) holds the bytes
    of each state at its beginning. For each place, ``decided`` is whether a decision has ended,
    and ``asked`` whether its setting is one that has to be measured.
    """

    hosts: Sequence[Host]
    decisions: Sequence[Decision]
    trials: Sequence[MutableSequence[Trial]]
    begins: Block
    decided: NDArray[np.bool_]
    asked: NDArray[np.bool_]


class Shown(NamedTuple):
    """The observation of each host, what its last choice earned and its best gain so far."""

    state: NDArray[np.float32]
    candidates: NDArray[np.float32]
    mask: NDArray[np.float32]
    reward: NDArray[np.float64]
    gain: NDArray[np.float64]


class Scratch(NamedTuple):
    """Room for what is known of each core, and for one row of numbers."""

    known: Table
    row: NDArray[np.float64]


class Entries(NamedTuple):
    """What Python calls.

    ``choose(places, actions)`` gives each host the value of its choice. ``simulate(places, seconds,
    workspace)`` measures the settings that are asked for; it gives the place whose counters are
    impossible, NONE if all are well. ``answer(places, which, seconds, scratch, shown)`` judges what
    was measured, begins the next decisions, and shows some hosts.
    """

    choose: Callable[[Places, NDArray[np.int64]], None]
    simulate: Callable[[Places, float, Workspace], int]
    answer: Callable[[Places, NDArray[np.int64], float, Scratch, Shown], None]


def _entries(version: int) -> Entries:
    """The entry points; ``version`` is there to be part of them (see ``envs.sim.compiled``)."""

    @kept
    def choose(places: Places, actions: NDArray[np.int64]) -> None:
        places.decisions[0].version = version
        for i in range(len(actions)):
            _choose(places, i, actions[i])

    @kept
    def simulate(places: Places, seconds: float, w: Workspace) -> int:
        places.decisions[0].version = version
        for i in range(len(places.asked)):
            if places.asked[i]:
                h, trials = places.hosts[i], places.trials[i]
                trial = trials[places.decisions[i].trials]
                begin_simulation(w, places.begins[i], h, trials[0], trial)
                run(w.now, WARM_UP * 1e9)
                begin_interval(w)
                run(w.now, (WARM_UP + seconds) * 1e9)
                if not take_sample(w, h, trial, seconds):
                    return i
                places.asked[i] = False
        return NONE

    @kept
    def answer(
        places: Places,
        which: NDArray[np.int64],
        seconds: float,
        scratch: Scratch,
        shown: Shown,
    ) -> None:
        places.decisions[0].version = version
        for i in which:
            h, d, trials = places.hosts[i], places.decisions[i], places.trials[i]
            shown.reward[i] = _conclude(h, d, trials, seconds) if places.decided[i] else 0.0
            shown.gain[i] = trials[d.best].gain
            known, row = scratch.known, scratch.row
            encode_state(h, d, trials, seconds, row, shown.state[i])
            candidates, mask = shown.candidates[i], shown.mask[i]
            encode_values(h, d, trials, seconds, known, row, candidates, mask)

    return Entries(choose, simulate, answer)


@compiled
def _choose(places: Places, i: int, action: int) -> None:
    """Make one choice of a host; after the last one of a decision, see what is to be measured.

    A host that has had all its decisions stays as it is until another is put in its place.
    """
    h, d, trials = places.hosts[i], places.decisions[i], places.trials[i]
    places.decided[i] = False
    if d.trials == len(trials):
        return
    if d.kind != NOTHING:
        take(h, trials[0], d, action)
    places.decided[i] = d.kind == NOTHING
    if places.decided[i]:
        known = _measured_before(h, d, trials)
        if known == NONE:
            _copy_setting(h, d, trials[d.trials])
            places.asked[i] = True
        else:
            trials[d.trials] = trials[known]


@called
def _conclude(h: Host, d: Decision, trials: Sequence[Trial], seconds: float) -> float:
    """Judge the last trial and begin a decision from the best one; gives the trial's reward.

    The first trial is the baseline, from which all others are judged.
    """
    trial = trials[d.trials]
    if d.trials > 0:
        judge(h, trials[0], trial, seconds)
    trial_row(h, trials[0], trial, seconds)
    if trial.holds and trial.reward > trials[d.best].reward:
        d.best = d.trials
    d.trials += 1
    _copy_setting(h, trials[d.best], d)
    ask(h, trials[0], d, 0)
    return trial.reward


@called
def _measured_before(h: Host, d: Decision, trials: Sequence[Trial]) -> int:
    """The first trial of the setting that has been made, NONE if there is none."""
    for k in range(d.trials):
        if _same_setting(h, d, trials[k]):
            return k
    return NONE


@compiled
def _same_setting(h: Host, one: Setting, other: Setting) -> bool:
    same = one.side_cores == other.side_cores and one.polling == other.polling
    same = same and one.driver_weight == other.driver_weight
    same = same and one.guest_weight == other.guest_weight
    same = same and one.tx_queue == other.tx_queue and one.bridge == other.bridge
    for i in range(h.entities):
        same = same and one.placement[i] == other.placement[i]
    return same


@called
def _copy_setting(h: Host, source: Setting, target: Setting) -> None:
    target.side_cores, target.polling = source.side_cores, source.polling
    target.driver_weight, target.guest_weight = source.driver_weight, source.guest_weight
    target.tx_queue, target.bridge = source.tx_queue, source.bridge
    for i in range(h.entities):
        target.placement[i] = source.placement[i]


_SOURCES = digest(Path(__file__).parent, digest(Path(envs.__file__).parent, digest()))
choose, simulate, answer = _entries(_SOURCES)
