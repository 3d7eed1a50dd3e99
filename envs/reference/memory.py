"""Where data is: caches that count what came in, and places that remember the count.

Under LRU, what was touched when a cache had taken in x bytes is still there until as many bytes
as it holds have come in since. So a cache is a counter, and no line is ever followed.
"""

from typing import NamedTuple

from simpy import Environment

LINE = 64.0
"""Bytes that a miss brings."""
NEVER = float("-inf")


class Cache:
    """A private cache or an LLC: how many bytes ever came in, at once or as a stream."""

    def __init__(self, env: Environment, size: float) -> None:
        self.size = size
        self._env = env
        self._count = 0.0
        self._rate = 0.0
        self._since = 0.0

    @property
    def count(self) -> float:
        """Bytes that ever came in, by now."""
        return self._count + self._rate * (self._env.now - self._since)

    def fill(self, size: float) -> None:
        """``size`` bytes come in at once."""
        self._count += size

    def stream(self, change: float) -> None:
        """From now on ``change`` bytes/ns more (or less) come in all the time."""
        self._count = self.count
        self._since = self._env.now
        self._rate += change

    def lost(self, count: float) -> float:
        """How much of what came in until ``count`` is gone: a share of the cache, 0 to 1."""
        return min(1.0, (self.count - count) / self.size)

    def holds(self, count: float) -> bool:
        """Whether what was touched at ``count`` is still here."""
        return self.count - count < self.size


class Caches(NamedTuple):
    """A core's own cache and the LLC that it shares, with the domain and node they are in."""

    own: Cache
    shared: Cache
    llc: int
    node: int

    def fill(self, size: float) -> None:
        """The core touches ``size`` bytes that it had not."""
        self.own.fill(size)
        self.shared.fill(size)

    def here(self) -> "Place":
        """The place of what the core touches now."""
        return Place(self, self.own.count, self.shared.count)


class Place(NamedTuple):
    """Where data was touched last, and how much these caches had taken in by then."""

    caches: Caches
    own: float
    shared: float
