"""The network in torch and in NumPy are one, and neither minds the number of candidates."""

import numpy as np
import pytest
import torch
from fake_host import FakeHost
from sb3_contrib import MaskablePPO

from agents.network import KEEP, Network, ScorerPolicy
from agents.scorer import KEEPS, Layout, Scorer
from envs.host_env import HostEnv
from envs.layout import CANDIDATE, STATE
from envs.menu import MAX_VALUES


def observation(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    candidates = np.zeros((MAX_VALUES, CANDIDATE), np.float32)
    candidates[:count] = rng.normal(size=(count, CANDIDATE))
    candidates[:count, KEEPS] = np.arange(count) == 0
    return {
        "state": rng.normal(size=STATE).astype(np.float32),
        "candidates": candidates,
        "mask": (np.arange(MAX_VALUES) < count).astype(np.float32),
    }


def network() -> Network:
    torch.manual_seed(0)
    net = Network(Layout())
    with torch.no_grad():
        net.score.weight.mul_(100.0)  # so that the candidates differ by more than the bias
    return net


def arrays(net: Network) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in net.state_dict().items()}


def batch(*observations: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.tensor(np.stack([o[key] for o in observations])) for key in observations[0]}


@pytest.mark.parametrize("count", [1, 2, 13, MAX_VALUES])
def test_numpy_and_torch_agree(count: int) -> None:
    net = network()
    logits, _ = net(batch(observation(count), observation(3, seed=1)))
    ours = Scorer(arrays(net)).logits(observation(count))
    assert ours == pytest.approx(logits[0, :count].detach().numpy(), abs=1e-5)
    assert (logits[0, count:] == -1e8).all()


def test_the_weights_have_the_shapes_of_the_layout() -> None:
    layout = Layout(width=32, embed=16)
    shapes = {name: tuple(value.shape) for name, value in Network(layout).state_dict().items()}
    assert shapes == layout.shapes


def test_the_order_of_candidates_changes_the_order_of_logits_and_no_value() -> None:
    net = network()
    one = observation(7)
    order = np.random.default_rng(1).permutation(7)
    other = dict(one) | {"candidates": one["candidates"].copy()}
    other["candidates"][:7] = one["candidates"][:7][order]
    logits, values = net(batch(one, other))
    assert logits[1, :7].tolist() == pytest.approx(logits[0, :7][order].tolist(), abs=1e-5)
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-5)


def test_an_untrained_agent_keeps_most_parts() -> None:
    torch.manual_seed(0)
    logits = Scorer(arrays(Network(Layout()))).logits(observation(10))
    assert logits[0] - logits[1:].mean() == pytest.approx(KEEP, abs=0.1)


def test_maskable_ppo_trains_it() -> None:
    model = MaskablePPO(
        ScorerPolicy,
        HostEnv(FakeHost(), decisions=1),
        n_steps=32,
        batch_size=16,
        n_epochs=1,
        seed=0,
        policy_kwargs={"layout": Layout(width=16, embed=8)},
        device="cpu",
    )
    before = arrays(model.policy.mlp_extractor)
    before = {name: value.copy() for name, value in before.items()}
    model.learn(32)
    after = arrays(model.policy.mlp_extractor)
    assert all(np.isfinite(value).all() for value in after.values())
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert changed == set(after)
