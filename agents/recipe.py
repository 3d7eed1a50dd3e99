"""Fixed recipes: the same advice for every host, whatever is measured there.

An agent that cannot beat the best of them has learned nothing.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Literal, get_args

from msgspec.structs import replace

from agents.heuristics import (
    Heuristic,
    Technique,
    cache_aware,
    credit_stealing,
    pinned,
    side_cores,
)
from agents.policy import History
from envs.host import BRIDGE_MODES, BridgeMode, Record, Settings
from envs.knobs import WEIGHT_LEVELS

SideCores = Literal["none", "sleeping", "polled"]
Placement = Literal["as found", "cache-aware", "pinned"]
LENGTHS = (0, 64, 512, 4000)
"""TX queue lengths of recipes; 0 leaves it as found."""


class Recipe(Record, frozen=True):
    """What to do with each knob; what a host cannot set is left as it is."""

    side_cores: SideCores = "none"
    placement: Placement = "as found"
    boost: int = 1
    tx_queue: int = 0
    bridge: BridgeMode = "stock"

    def policy(self) -> Heuristic:
        """The recipe as a policy: it proposes one setting."""
        return Heuristic("recipe", tuple(self._techniques()))

    def _techniques(self) -> Iterator[Technique]:
        if self.side_cores != "none":
            yield partial(side_cores, polling=self.side_cores == "polled")
        if self.placement != "as found":
            yield cache_aware if self.placement == "cache-aware" else pinned
        if self.boost > 1:
            yield partial(credit_stealing, level=self.boost)
        if self.tx_queue:
            yield partial(_queue, length=self.tx_queue)
        if self.bridge != "stock":
            yield partial(_bridge, mode=self.bridge)


BEST = Recipe(placement="cache-aware", boost=4, tx_queue=4000, bridge="direct")
"""The best of all on 100 training hosts (``results/recipe.txt``)."""


def every() -> Iterator[Recipe]:
    """All recipes."""
    sides: tuple[SideCores, ...] = get_args(SideCores)
    places: tuple[Placement, ...] = get_args(Placement)
    for side, place, boost, length, bridge in product(
        sides,
        places,
        WEIGHT_LEVELS,
        LENGTHS,
        BRIDGE_MODES,
    ):
        yield Recipe(side_cores=side, placement=place, boost=boost, tx_queue=length, bridge=bridge)


def _queue(history: History, settings: Settings, length: int) -> Settings:
    limits = history.spec.limits.tx_queue
    if limits is None:
        return settings
    within = min(limits[1], max(limits[0], length))
    return replace(settings, tx_queue=dict.fromkeys(settings.tx_queue, within))


def _bridge(history: History, settings: Settings, mode: BridgeMode) -> Settings:
    return replace(settings, bridge=mode) if mode in history.spec.limits.bridge else settings
