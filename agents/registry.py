"""Every policy by its name."""

from pathlib import Path

from agents import artifact
from agents.artifact import Agent
from agents.heuristics import HEURISTICS
from agents.learned import AgentPolicy
from agents.policy import Policy
from agents.search import Climb, RandomSearch
from envs.errors import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""The agent that comes with the program."""


def names() -> tuple[str, ...]:
    """The names that ``get`` knows, besides folders of trained agents."""
    return (*(heuristic.name for heuristic in HEURISTICS), "random", "climb", "agent")


def get(name: str, seed: int = 0) -> Policy:
    """The policy of that name, or the trained agent in the folder of that path.

    ``seed`` is for those that draw. Raises InputError listing the names for an unknown one,
    AgentError for a folder that does not hold an agent we can use.
    """
    for heuristic in HEURISTICS:
        if heuristic.name == name:
            return heuristic
    if name == "random":
        return RandomSearch(seed=seed)
    if name == "climb":
        return Climb(seed=seed)
    if name != "agent" and not Path(name).exists():
        known = ", ".join(names())
        raise InputError(f"no policy {name!r}: use one of {known}, or the folder of an agent")
    return AgentPolicy(agent=trained(name), seed=seed, name=name)


def trained(name: str) -> Agent:
    """The agent that ships, or the one in the folder of that path.

    Raises AgentError for a folder that does not hold an agent we can use.
    """
    return artifact.load(SHIPPED if name == "agent" else Path(name))
