"""The settings under which a host is measured to learn its constants: each turns one knob."""

from agents.policy import History, measured
from agents.recipe import Recipe
from envs.host import Settings

AS_FOUND = "as found"
RECIPES = {
    "cache-aware": Recipe(placement="cache-aware"),
    "short queue": Recipe(tx_queue=64),
    "pinned": Recipe(placement="pinned"),
    "lean bridge": Recipe(bridge="lean"),
    "side-core": Recipe(side_cores="sleeping"),
    "polled side-core": Recipe(side_cores="polled"),
    "boosted": Recipe(boost=8),
    "direct bridge": Recipe(bridge="direct"),
}


def designed(history: History) -> dict[str, Settings]:
    """The host as found, and every recipe that changes something there, none twice."""
    found = {AS_FOUND: history.baseline}
    for name, recipe in RECIPES.items():
        settings = recipe.policy().propose(history)
        if settings and not measured(history, settings) and settings not in found.values():
            found[name] = settings
    return found
