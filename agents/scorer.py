"""The network in NumPy, so that to control a host needs no torch.

Two layers read the state. Every candidate is then read by two layers of its own, together with
what was made of the state, and ends in one number, its logit: the same weights for every
candidate, so their number and order are free. What keeps the part as it is has a bias more,
which starts high: an untrained agent changes little.

    h = tanh(trunk.1 · tanh(trunk.0 · state))                   (width,)
    c = tanh(each.1 · tanh(each.0 · candidate + context · h))   (embed,) for each candidate
    logit = score · c + keep · (the candidate keeps)

``agents.network`` is the same in torch, for training, with a value besides.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from envs.host import Record
from envs.layout import CANDIDATE, CANDIDATES, STATE, Observation

KEEPS = CANDIDATES.index("keeps")
"""The column of a candidate that says that it keeps the part as it is."""


class Layout(Record, frozen=True):
    """The sizes of the network: of what it reads, and of its layers."""

    state: int = STATE
    candidate: int = CANDIDATE
    width: Annotated[int, Meta(ge=1)] = 128
    embed: Annotated[int, Meta(ge=1)] = 64

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of weights by its name; a matrix is (outputs, inputs)."""
        pooled = self.width + 2 * self.embed
        return {
            "trunk.0.weight": (self.width, self.state),
            "trunk.0.bias": (self.width,),
            "trunk.1.weight": (self.width, self.width),
            "trunk.1.bias": (self.width,),
            "context.weight": (self.embed, self.width),
            "each.0.weight": (self.embed, self.candidate),
            "each.0.bias": (self.embed,),
            "each.1.weight": (self.embed, self.embed),
            "each.1.bias": (self.embed,),
            "score.weight": (1, self.embed),
            "keep": (),
            "value.0.weight": (self.embed, pooled),
            "value.0.bias": (self.embed,),
            "value.1.weight": (1, self.embed),
            "value.1.bias": (1,),
        }


class Scorer:
    """Scores the candidates of one choice."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self._weights = weights

    def logits(self, observation: Observation) -> NDArray[np.float32]:
        """A logit for each value that is offered, in order."""
        w = self._weights
        rows = observation["candidates"][observation["mask"] > 0]
        hidden = np.tanh(w["trunk.0.weight"] @ observation["state"] + w["trunk.0.bias"])
        hidden = np.tanh(w["trunk.1.weight"] @ hidden + w["trunk.1.bias"])
        context = w["context.weight"] @ hidden
        each = np.tanh(rows @ w["each.0.weight"].T + w["each.0.bias"] + context)
        each = np.tanh(each @ w["each.1.weight"].T + w["each.1.bias"])
        scores: NDArray[np.float32] = each @ w["score.weight"][0] + w["keep"] * rows[:, KEEPS]
        return scores
