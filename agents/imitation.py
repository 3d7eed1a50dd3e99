"""A network taught to make the choices it is shown, before it learns from its own."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from agents.demonstrations import Demonstration
from agents.network import Network
from envs.menu import MAX_VALUES

BATCH = 512
RATE = 2e-3
"""The highest learning rate; it rises to it and falls again over the lessons."""


def imitate(
    network: Network,
    shown: Sequence[Demonstration],
    passes: int,
    seed: int,
    tick: Callable[[float], None],
) -> None:
    """Fit the network's choices to those shown, by cross-entropy, in ``passes`` over all of them.

    ``tick`` is told how much is done, from 0 to 1.
    """
    rng = np.random.default_rng(seed)
    steps = max(1, passes * len(shown) // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        batch = [shown[i] for i in rng.integers(len(shown), size=BATCH)]
        logits, _ = network(_stacked(batch))
        right = torch.tensor([one.right for one in batch])
        loss = nn.functional.cross_entropy(logits, right)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has it untyped
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tick((step + 1) / steps)


def _stacked(batch: Sequence[Demonstration]) -> dict[str, Tensor]:
    """Demonstrations as a batch of observations, candidates padded to ``MAX_VALUES``."""
    counts = np.array([len(one.candidates) for one in batch])
    mask = np.arange(MAX_VALUES) < counts[:, None]
    candidates = np.zeros((*mask.shape, batch[0].candidates.shape[1]), np.float32)
    candidates[mask] = np.concatenate([one.candidates for one in batch])
    return {
        "state": torch.from_numpy(np.stack([one.state for one in batch])),
        "candidates": torch.from_numpy(candidates),
        "mask": torch.from_numpy(mask.astype(np.float32)),
    }
