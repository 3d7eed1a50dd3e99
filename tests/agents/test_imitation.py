"""A network learns to choose what it is shown."""

import numpy as np
import torch

from agents.demonstrations import Demonstration
from agents.imitation import imitate
from agents.network import Network
from agents.scorer import Layout
from envs.layout import CANDIDATE, STATE, empty


def test_what_marks_the_right_candidate_is_learned() -> None:
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(400):
        rows = rng.normal(size=(int(rng.integers(2, 6)), CANDIDATE)).astype(np.float32)
        shown.append(Demonstration(np.zeros(STATE, np.float32), rows, int(rows[:, 20].argmax())))
    network = Network(Layout(width=16, embed=16))
    done: list[float] = []
    imitate(network, shown, passes=80, seed=0, tick=done.append)
    assert done[-1] == 1.0
    observation = empty()
    rows = rng.normal(size=(4, CANDIDATE)).astype(np.float32)
    rows[2, 20] = 3.0
    observation["candidates"][:4] = rows
    observation["mask"][:4] = 1.0
    batch = {key: torch.from_numpy(value[None]) for key, value in observation.items()}
    assert int(network(batch)[0].argmax()) == 2
