"""The forecast in torch and in NumPy are one, and it can be taught."""

import numpy as np
import pytest
import torch

from agents.experience import Examples, join
from agents.forecast import Forecast, ForecastLayout
from agents.forecast_training import ForecastNetwork, fit
from envs.prospect import ENTITY, WHOLE

LAYOUT = ForecastLayout(width=16)
ENTITIES = 5


def network(seed: int = 0) -> ForecastNetwork:
    torch.manual_seed(seed)
    return ForecastNetwork(LAYOUT)


def arrays(net: ForecastNetwork) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in net.state_dict().items()}


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    entities = rng.normal(size=(count, ENTITIES, len(ENTITY))).astype(np.float32)
    entities[:, :, :3] = np.eye(3)[[0, 1, 1, 2, 2]]
    return entities, rng.normal(size=(count, WHOLE)).astype(np.float32)


def examples(count: int) -> Examples:
    """Settings whose gain is one number of their backend's; guards hold where it is above 0."""
    entities, wholes = rows(count)
    gain = np.clip(entities[:, 0, -1], -1.0, 1.0)
    return Examples(
        entities=entities.reshape(-1, len(ENTITY)).astype(np.float16),
        counts=np.full(count, ENTITIES),
        wholes=wholes.astype(np.float16),
        worth=np.stack([gain, gain > 0, np.maximum(0, -gain)], axis=1).astype(np.float32),
    )


def test_numpy_and_torch_agree() -> None:
    net, (entities, wholes) = network(), rows(4)
    owner = torch.arange(4).repeat_interleave(ENTITIES)
    flat = torch.from_numpy(entities.reshape(-1, len(ENTITY)))
    out = net(flat, owner, torch.from_numpy(wholes)).detach().numpy()
    outlook = Forecast(arrays(net)).of(entities, wholes)
    assert outlook.gain == pytest.approx(out[:, 0], abs=1e-5)
    assert outlook.holds == pytest.approx(1.0 / (1.0 + np.exp(-out[:, 1])), abs=1e-5)


def test_the_weights_have_the_shapes_of_the_layout() -> None:
    shapes = {name: tuple(value.shape) for name, value in network().state_dict().items()}
    assert shapes == LAYOUT.shapes


def test_the_order_of_guests_does_not_matter() -> None:
    forecast, (entities, wholes) = Forecast(arrays(network())), rows(3)
    order = [3, 0, 4, 2, 1]
    one, other = forecast.of(entities, wholes), forecast.of(entities[:, order], wholes)
    assert other.gain == pytest.approx(one.gain, abs=1e-5)
    assert other.seen == pytest.approx(one.seen, abs=1e-5)


def test_what_it_is_taught_it_tells() -> None:
    net, told = network(), list[float]()
    fit(net, examples(2000), passes=40, seed=0, tick=told.append)
    entities, wholes = rows(300, seed=1)
    outlook = Forecast(arrays(net)).of(entities, wholes)
    gain = np.clip(entities[:, 0, -1], -1.0, 1.0)
    assert np.corrcoef(outlook.gain, gain)[0, 1] > 0.9
    assert ((outlook.holds > 0.5) == (gain > 0)).mean() > 0.85
    assert told[-1] == 1.0


def test_examples_of_several_hosts_are_one() -> None:
    both = join([examples(2), examples(3)])
    assert both.counts.tolist() == [ENTITIES] * 5
    assert len(both.entities) == 5 * ENTITIES
    assert both.worth.shape == (5, 3)
