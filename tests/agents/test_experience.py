"""What is tried on training hosts becomes examples: bounded, varied, the same for the same seed."""

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from agents.artifact import About, Agent
from agents.experience import TARGETS, TOLD, experience
from agents.forecast import ForecastLayout
from agents.forecast_training import ForecastNetwork
from agents.network import Network
from agents.scorer import Layout
from envs.errors import InputError
from envs.layout import BOUND, SCHEMA
from envs.prospect import ENTITY, WHOLE
from envs.scenario import TRAIN_SEEDS, load
from envs.scenario.records import Settable


def untrained() -> Agent:
    torch.manual_seed(0)
    policy, forecast = Network(Layout(width=8, embed=4)), ForecastNetwork(ForecastLayout(width=8))
    return Agent(
        about=About(schema=SCHEMA, layout=Layout(width=8, embed=4)),
        weights={k: v.numpy() for k, v in policy.state_dict().items()},
        forecast={k: v.numpy() for k, v in forecast.state_dict().items()},
    )


@pytest.mark.parametrize("agent", [None, untrained()], ids=["others", "itself"])
def test_a_host_gives_examples_and_the_same_ones_again(agent: Agent | None) -> None:
    found = experience(TRAIN_SEEDS[0], 0.01, agent=agent)
    count = len(TOLD) * TARGETS
    assert found.counts.shape == (count,)
    assert found.entities.shape == (found.counts.sum(), len(ENTITY))
    assert found.wholes.shape == (count, WHOLE)
    assert found.worth.shape == (count, 3)
    assert np.isfinite(found.worth).all()
    assert np.abs(found.wholes).max() <= BOUND
    assert len(np.unique(found.worth[:, 0])) > TARGETS
    held = found.worth[:, 1] == 1.0
    assert (found.worth[held, 2] == 0.0).all()
    assert (found.worth[~held, 2] > 0.0).all()
    again = experience(TRAIN_SEEDS[0], 0.01, agent=agent)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_scenario_where_nothing_can_be_set_teaches_nothing() -> None:
    nothing = Settable(
        backends=False, guests=False, weights=False, tx_queue_max=0, bridge=("stock",), side_cores=0
    )
    with pytest.raises(InputError, match="lab: nothing can be set"):
        experience(1, 0.01, replace(load("lab"), settable=nothing))


def test_ones_own_scenario_is_tried_under_many_loads() -> None:
    one, other = (experience(seed, 0.01, load("lab")) for seed in (1, 2))
    assert one.counts[0] == other.counts[0]
    assert not np.array_equal(one.worth, other.worth)
