"""The forecast's network in torch, and how it is fitted to what settings turned out to be worth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agents.experience import Examples
from agents.forecast import OUT, ROLES, ForecastLayout

BATCH = 512
RATE = 3e-3
"""The highest learning rate; it rises to it and falls again."""
DECAY = 1e-3
MOST = 1.5
"""Gains and shortfalls beyond this are as good, or as bad, as this."""
WEIGHTS = (4.0, 1.0, 1.0)
"""What errors of gain, guards and shortfall weigh."""


class ForecastNetwork(nn.Module):
    """As ``agents.forecast`` says, for settings of many hosts at once."""

    def __init__(self, layout: ForecastLayout) -> None:
        super().__init__()
        width, wide = layout.width, 2 * layout.width
        self.whole = nn.ModuleList([nn.Linear(layout.whole, wide), nn.Linear(wide, wide)])
        self.context = nn.Linear(wide, width, bias=False)
        self.each = nn.ModuleList([nn.Linear(layout.entity, width), nn.Linear(width, width)])
        self.join = nn.Linear(wide + (ROLES + 1) * width, wide)
        self.out = nn.Linear(wide, len(OUT))

    def forward(self, entities: Tensor, owner: Tensor, wholes: Tensor) -> Tensor:
        """``OUT`` of B settings, (B, 3); ``owner`` says whose each of all their ``entities`` is."""
        whole = wholes
        for layer in self.whole:
            whole = torch.tanh(layer(whole))
        each = functional.relu(self.each[0](entities) + self.context(whole)[owner])
        each = functional.relu(self.each[1](each))
        made = [whole]
        blank = each.new_zeros(len(wholes), each.shape[1])
        for role in entities[:, :ROLES].T:
            count = role.new_zeros(len(wholes)).index_add(0, owner, role)
            total = blank.index_add(0, owner, each * role[:, None])
            made.append(total / count.clamp(min=1.0)[:, None])
        index = owner[:, None].expand_as(each)
        made.append(blank.scatter_reduce(0, index, each, "amax", include_self=False))
        out: Tensor = self.out(functional.relu(self.join(torch.cat(made, dim=1))))
        return out


def fit(
    network: ForecastNetwork,
    examples: Examples,
    passes: int,
    seed: int,
    tick: Callable[[float], None],
) -> None:
    """Fit the network to examples, ``passes`` times as many draws as there are.

    ``tick`` is told how much is done, from 0 to 1.
    """
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(examples.counts)[:-1]])
    steps = max(1, passes * len(examples.counts) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        some = rng.integers(len(examples.counts), size=BATCH)
        counts = examples.counts[some]
        owner = np.repeat(np.arange(BATCH), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        entities = examples.entities[np.repeat(first[some], counts) + within]
        out = network(_tensor(entities), torch.from_numpy(owner), _tensor(examples.wholes[some]))
        loss = _loss(out, _tensor(examples.worth[some]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has it untyped
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tick((step + 1) / steps)


def _loss(out: Tensor, worth: Tensor) -> Tensor:
    gain, holds, shortfall = worth.T
    errors = (
        functional.smooth_l1_loss(out[:, 0], gain.clamp(-MOST, MOST), beta=0.1),
        functional.binary_cross_entropy_with_logits(out[:, 1], holds),
        functional.smooth_l1_loss(out[:, 2], shortfall.clamp(0.0, MOST).sqrt(), beta=0.2),
    )
    return sum((w * error for w, error in zip(WEIGHTS, errors, strict=True)), torch.tensor(0.0))


def _tensor(array: NDArray[np.floating[Any]]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
