"""Every policy by its name."""

from pathlib import Path

from agents import artifact
from agents.artifact import Agent
from agents.heuristics import HEURISTICS
from agents.learned import AgentPolicy
from agents.policy import Policy
from agents.recipe import BEST
from agents.search import Climb, RandomSearch
from envs.errors import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""The agent that comes with the program."""


OPTUNA = ("tpe", "gp")
"""Optuna's samplers, which need Optuna and time."""


def names() -> tuple[str, ...]:
    """The names that ``get`` knows, besides ``OPTUNA`` and folders of trained agents."""
    return (*(heuristic.name for heuristic in HEURISTICS), "recipe", "random", "climb", "agent")


def get(name: str, seed: int = 0) -> Policy:
    """The policy of that name, or the trained agent in the folder of that path.

    ``seed`` is for those that draw. Raises InputError listing the names for an unknown one, or
    where Optuna is missing, AgentError for a folder that does not hold an agent we can use.
    """
    for heuristic in HEURISTICS:
        if heuristic.name == name:
            return heuristic
    if name == "recipe":
        return BEST.policy()
    if name in OPTUNA:
        return _optuna(name, seed)
    if name == "random":
        return RandomSearch(seed=seed)
    if name == "climb":
        return Climb(seed=seed)
    if name != "agent" and not Path(name).exists():
        known = ", ".join([*names(), *OPTUNA])
        raise InputError(f"no policy {name!r}: use one of {known}, or the folder of an agent")
    return AgentPolicy(agent=trained(name), seed=seed, name=name)


def _optuna(name: str, seed: int) -> Policy:
    try:
        from agents.optuna_search import SEARCHES  # noqa: PLC0415 (not everyone has it)
    except ImportError as error:
        missing = f"{name} needs {error.name}: pip install '.[suite]' where viotune's sources are"
        raise InputError(missing) from error
    return SEARCHES[name](seed)


def trained(name: str) -> Agent:
    """The agent that ships, or the one in the folder of that path.

    Raises AgentError for a folder that does not hold an agent we can use.
    """
    return artifact.load(SHIPPED if name == "agent" else Path(name))
