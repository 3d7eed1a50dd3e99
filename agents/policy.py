"""What chooses settings: from all that was measured so far to the next setting to try."""

from typing import Protocol

from envs.history import History, Trial
from envs.host import Settings

__all__ = ["History", "Policy", "Trial", "measured"]


class Policy(Protocol):
    """Anything that proposes settings: a heuristic, a search, a trained agent.

    A policy keeps no state between proposals: the same history gives the same answer.
    """

    @property
    def name(self) -> str:
        """The name by which it is asked for and reported."""
        ...

    def propose(self, history: History) -> Settings | None:
        """The next setting to try, legal on this host; None where nothing is left to try."""
        ...


def measured(history: History, settings: Settings) -> bool:
    """Whether ``settings`` is the baseline or has been tried, so that to try it tells nothing."""
    return settings == history.baseline or any(settings == t.settings for t in history.trials)
