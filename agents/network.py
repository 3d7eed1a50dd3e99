"""The network in torch, and as a policy that sb3-contrib's maskable PPO trains."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.scorer import KEEPS, Layout

KEEP = 2.5
"""The bias of what keeps a part: of ten candidates it is chosen with a chance of 0.6."""


class Network(nn.Module):
    """Logits and value of a batch of observations; ``agents.scorer`` says how they are made.

    The value is read from the state and from the mean and maximum of what was made of the
    candidates. What is not offered has a logit of -1e8.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width, embed = layout.width, layout.embed
        self.trunk = nn.ModuleList([nn.Linear(layout.state, width), nn.Linear(width, width)])
        self.context = nn.Linear(width, embed, bias=False)
        self.each = nn.ModuleList([nn.Linear(layout.candidate, embed), nn.Linear(embed, embed)])
        self.score = nn.Linear(embed, 1, bias=False)
        self.keep = nn.Parameter(torch.tensor(KEEP))
        self.value = nn.ModuleList([nn.Linear(width + 2 * embed, embed), nn.Linear(embed, 1)])
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=float(np.sqrt(2)))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.score.weight, gain=0.01)

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (batch, MAX_VALUES) and values (batch, 1)."""
        hidden = observation["state"]
        for layer in self.trunk:
            hidden = torch.tanh(layer(hidden))
        offered = observation["mask"] > 0
        owner = offered.nonzero()[:, 0]
        rows = observation["candidates"][offered]  # only what is offered is worth computing
        each = torch.tanh(self.each[0](rows) + self.context(hidden)[owner])
        each = torch.tanh(self.each[1](each))
        scores = self.score(each)[:, 0] + self.keep * rows[:, KEEPS]
        logits = torch.full(offered.shape, -1e8, dtype=scores.dtype, device=scores.device)
        logits = logits.masked_scatter(offered, scores)
        return logits, self._value(hidden, each, owner)

    def forward_actor(self, observation: dict[str, Tensor]) -> Tensor:
        """The logits alone, as SB3 asks for them."""
        return self.forward(observation)[0]

    def forward_critic(self, observation: dict[str, Tensor]) -> Tensor:
        """The values alone, as SB3 asks for them."""
        return self.forward(observation)[1]

    def _value(self, hidden: Tensor, each: Tensor, owner: Tensor) -> Tensor:
        index = owner[:, None].expand_as(each)
        blank = torch.zeros(len(hidden), each.shape[1], dtype=each.dtype, device=each.device)
        mean = blank.scatter_reduce(0, index, each, "mean", include_self=False)
        most = blank.scatter_reduce(0, index, each, "amax", include_self=False)
        pooled = torch.cat([hidden, mean, most], dim=1)
        value: Tensor = self.value[1](torch.tanh(self.value[0](pooled)))
        return value


class AsIs(BaseFeaturesExtractor):
    """Hands the observation on: the network reads its three arrays itself."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, features_dim=1)

    def forward(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """The observation."""
        return observation


class ScorerPolicy(MaskableActorCriticPolicy):
    """The network where SB3 expects its ``mlp_extractor``; the last layers are inside it."""

    mlp_extractor: Any
    action_net: Any
    value_net: Any

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        *,
        layout: Layout,
        **arguments: Any,  # noqa: ANN401 (handed on to SB3)
    ) -> None:
        self.layout = layout
        arguments["features_extractor_class"] = AsIs
        super().__init__(observation_space, action_space, lr_schedule, **arguments)

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor = Network(self.layout)
        self.action_net = self.value_net = nn.Identity()
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1.0), eps=1e-5)
