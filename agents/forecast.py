"""A forecast of what settings are worth, before they are tried: a network in NumPy.

It reads what ``envs.prospect`` tells of complete settings. Every backend and VCPU is read by the
same two layers, together with what two layers made of the whole; their means by role and their
maximum, the whole besides, end in three numbers. So neither the number of guests nor their order
matters.

    w = tanh(whole.1 · tanh(whole.0 · whole))                        (2 width,)
    e = relu(each.1 · relu(each.0 · entity + context · w))           (width,) for each entity
    z = relu(join · (w, mean e of backends, of I/O and CPU VCPUs, max e))   (2 width,)
    gain, guards, shortfall = out · z                     (3,)

``guards`` is the logit of the chance that all hold. ``shortfall``, the root of by how much they are
missed, is an auxiliary target: it is learned, as who must tell how far sees better whether, and
not used. ``agents.forecast_training`` is the same in torch.
"""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from envs.host import Record
from envs.prospect import ENTITY, WHOLE

ROLES = 3
"""Backends, I/O VCPUs and CPU VCPUs: the first columns of an entity's row, one of them 1."""
OUT = ("gain", "guards hold", "shortfall")

Array = NDArray[np.float32]


class ForecastLayout(Record, frozen=True):
    """The sizes of the network: of what it reads, and of its layers."""

    entity: int = len(ENTITY)
    whole: int = WHOLE
    width: Annotated[int, Meta(ge=1)] = 64

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of weights by its name; a matrix is (outputs, inputs)."""
        width, wide = self.width, 2 * self.width
        return {
            "whole.0.weight": (wide, self.whole),
            "whole.0.bias": (wide,),
            "whole.1.weight": (wide, wide),
            "whole.1.bias": (wide,),
            "context.weight": (width, wide),
            "each.0.weight": (width, self.entity),
            "each.0.bias": (width,),
            "each.1.weight": (width, width),
            "each.1.bias": (width,),
            "join.weight": (wide, wide + (ROLES + 1) * width),
            "join.bias": (wide,),
            "out.weight": (len(OUT), wide),
            "out.bias": (len(OUT),),
        }


class Outlook(NamedTuple):
    """What is expected of K settings.

    ``gain`` (K,) is the logarithm of bandwidth per core over the baseline's, ``holds`` (K,) the
    chance that all guards hold, ``seen`` (K, n) what the network made of each: settings that are
    alike to it are near each other there.
    """

    gain: Array
    holds: Array
    seen: Array


class Forecast:
    """Tells what settings of one host are expected to be worth."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights

    def of(self, entities: Array, wholes: Array) -> Outlook:
        """The outlook of settings, as ``Prospects.rows`` tells of them."""
        w = self._weights
        whole = np.tanh(self._layer("whole.1", np.tanh(self._layer("whole.0", wholes))))
        context = (whole @ w["context.weight"].T)[:, None, :]
        each = np.maximum(self._layer("each.0", entities) + context, 0.0)
        each = np.maximum(self._layer("each.1", each), 0.0)
        role = entities[0, :, :ROLES]  # the same under every setting
        means = [
            each.transpose(0, 2, 1) @ role[:, r] / max(1.0, role[:, r].sum()) for r in range(ROLES)
        ]
        joined = np.concatenate([whole, *means, each.max(1)], axis=1)
        seen = np.maximum(self._layer("join", joined), 0.0)
        gain, guards, _ = self._layer("out", seen).T
        return Outlook(gain=gain, holds=0.5 + 0.5 * np.tanh(guards / 2.0), seen=seen)

    def _layer(self, name: str, rows: Array) -> Array:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        made: Array = rows.reshape(-1, rows.shape[-1]) @ weight.T + bias  # far faster as a matrix
        return made.reshape(*rows.shape[:-1], -1)
