"""The best that search finds on a simulated host, in many more measurements than a tuner has.

It is what an agent is shown before it learns by itself, and what its gains are compared with.
"""

from agents.evaluation import attempt, go_on, tune
from agents.heuristics import HEURISTICS
from agents.policy import History, measured
from agents.search import Climb, RandomSearch
from envs.decision import Decision
from envs.host import Host, Settings
from envs.menu import Kind, Menu

REPEATS = 2
"""How often a heuristic may propose: the adaptive ones need a second look."""
RANDOM = 0.25
"""The share of the measurements that are drawn blindly, before the climb from the best."""
WORTH = 0.02
"""A part that brings less than this share of the gain is put back as it was found."""


def search(host: Host, measurements: int, seconds: float, seed: int) -> History:
    """Every heuristic, then ``measurements`` at random and uphill."""
    history = tune(HEURISTICS[0], host, 0, seconds)
    for heuristic in HEURISTICS:
        history = go_on(heuristic, host, history, REPEATS, seconds)
    blind = round(RANDOM * measurements)
    history = go_on(RandomSearch(seed), host, history, blind, seconds)
    return go_on(Climb(seed), host, history, measurements - blind, seconds)


def simplified(host: Host, history: History, seconds: float) -> tuple[History, Settings]:
    """The best setting found with every part as it was found that hardly matters, the last first.

    What chance has changed along the way is no advice. The history has the measurements besides.
    """
    if history.best is None:
        return history, history.baseline
    enough = (1.0 - WORTH) * history.best.verdict.gain
    best = history.best.settings
    menu = Menu(history.spec, history.baseline)
    for part in reversed(menu.parts):
        plainer = _without(menu, best, part)
        if plainer != best and not measured(history, plainer):
            history = attempt(host, history, plainer, seconds)
        known = next((t.verdict for t in history.trials if t.settings == plainer), None)
        if known and known.holds and known.gain >= enough:
            best = plainer
    return history, best


def _without(menu: Menu, settings: Settings, part: tuple[Kind, str]) -> Settings:
    """``settings`` with one part as it was found, as far as a decision can make that."""
    decision = Decision.over(menu, menu.baseline)
    while decision.choice:
        own = (decision.choice.kind, decision.choice.subject) == part
        decision = decision.take(decision.toward(menu.baseline if own else settings))
    return decision.settings
