"""A setting that is already known, as a policy."""

from collections.abc import Callable
from dataclasses import dataclass

from envs.history import History
from envs.host import Settings


@dataclass(frozen=True, slots=True)
class Given:
    """Proposes one setting, once: what ``make`` makes of the host as found."""

    name: str
    make: Callable[[Settings], Settings]

    def propose(self, history: History) -> Settings | None:
        """The setting, before anything has been tried."""
        return None if history.trials else self.make(history.baseline)
