"""The next setting to try, planned by what a forecast expects of many.

Candidates are what the agent and heuristics propose, some drawn at random, neighbours of the best
setting so far, and, by local search, neighbours of the candidates that look best themselves. What
the forecast expects of each is corrected by how far off it is for settings that were tried on this
host, although it is told of the best and the last of them: its errors are taken for a Gaussian
process over what the network makes of settings, so those that look alike to it share them.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from agents.forecast import Forecast, Outlook
from agents.heuristics import HEURISTICS
from agents.policy import History
from agents.recipe import BEST
from agents.search import STEPS, changed
from envs.host import Settings, to_json
from envs.menu import Menu
from envs.prospect import Prospects

BLIND, NEAR = 8, 48
"""So many candidates are drawn at random, and near the best setting so far."""
ROUNDS, PARENTS, CHILDREN = 3, 6, 8
"""Local search: so often, so many of the candidates that look best get so many neighbours each."""
BROKEN = -0.3
"""What a setting is worth that breaks a guard: a try, and nothing to keep."""
SPREAD = 0.25
"""How far off a forecast is (standard deviation): the prior of the Gaussian process."""
NOISE = 0.05
"""How far off a measurement is."""
REACH = 0.3
"""How far errors are shared: the process's length scale, in lengths of the vectors ``seen``."""

Values = NDArray[np.float64]


def ranked(
    history: History,
    forecast: Forecast,
    proposed: Iterable[Settings | None],
    rng: np.random.Generator,
) -> list[Settings]:
    """Settings that have not been tried, the most promising first.

    Those that ``proposed`` names are among them. Where the forecast is no number, there are none.
    """
    menu = Menu(history.spec, history.baseline)
    worth = _corrected(history, forecast)
    tried = {to_json(settings) for settings in (history.baseline, *_tried(history))}
    found: dict[bytes, tuple[float, Settings]] = {}

    def look_at(some: Iterable[Settings | None]) -> None:
        fresh = {to_json(one): one for one in some if one is not None}
        fresh = {key: one for key, one in fresh.items() if key not in tried and key not in found}
        if fresh:
            values = worth(list(fresh.values()))
            found.update(zip(fresh, zip(values.tolist(), fresh.values(), strict=True), strict=True))

    def best() -> list[Settings]:
        numbers = (pair for pair in found.values() if np.isfinite(pair[0]))
        return [settings for _, settings in sorted(numbers, key=lambda pair: -pair[0])]

    def near(start: Settings, count: int) -> list[Settings]:
        return [changed(menu, start, float(rng.choice(STEPS)), rng) for _ in range(count)]

    look_at(proposed)
    look_at(known.propose(history) for known in (*HEURISTICS, BEST.policy()))
    look_at(changed(menu, history.baseline, 1.0, rng) for _ in range(BLIND))
    look_at(near(history.start, NEAR))
    for _ in range(ROUNDS):
        look_at([child for parent in best()[:PARENTS] for child in near(parent, CHILDREN)])
    return best()


def _corrected(history: History, forecast: Forecast) -> Callable[[list[Settings]], Values]:
    """What settings are worth: as forecast, corrected by its errors for those that were tried."""
    prospects = Prospects(history.spec, history.baseline)
    known = prospects.facts(history)

    def outlook(settings: list[Settings]) -> Outlook:
        return forecast.of(*prospects.rows(known, settings))

    tried = _tried(history)
    if not tried:
        return lambda settings: _worth(outlook(settings))
    before = outlook(tried)
    turned_out = [t.verdict.gain if t.verdict.holds else BROKEN for t in history.trials]
    scale = REACH * float(np.sqrt((before.seen**2).sum(1).mean())) or 1.0
    noise = NOISE**2 * np.eye(len(tried))
    errors = np.linalg.solve(
        _covariance(before.seen, before.seen, scale) + noise, turned_out - _worth(before)
    )

    def worth(settings: list[Settings]) -> Values:
        now = outlook(settings)
        corrected: Values = _worth(now) + _covariance(now.seen, before.seen, scale) @ errors
        return corrected

    return worth


def _tried(history: History) -> list[Settings]:
    return [trial.settings for trial in history.trials]


def _worth(outlook: Outlook) -> Values:
    return np.asarray(outlook.holds * outlook.gain + (1.0 - outlook.holds) * BROKEN, float)


def _covariance(some: NDArray[np.float32], others: NDArray[np.float32], scale: float) -> Values:
    apart = np.linalg.norm(some[:, None, :] - others[None], axis=2) / scale
    return np.asarray(SPREAD**2 * np.exp(-0.5 * apart**2), float)
