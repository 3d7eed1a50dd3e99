"""An agent as a policy: greedy first, new each time, silent where its scores are no numbers."""

import hypothesis
import numpy as np
import pytest
import torch
from fake_host import BASELINE, SPEC, FakeHost, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.artifact import About, Agent
from agents.forecast import ForecastLayout
from agents.forecast_training import ForecastNetwork
from agents.learned import AgentPolicy
from agents.network import Network
from agents.policy import History, Trial
from agents.registry import get
from agents.scorer import Layout
from agents.search import Climb
from envs.host import HostSpec, Settings
from envs.knobs import check
from envs.layout import SCHEMA
from envs.reward import judge

LAYOUT = Layout(width=8, embed=4)
START = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())


def arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def untrained(seed: int = 0) -> Agent:
    torch.manual_seed(seed)
    return Agent(about=About(schema=SCHEMA, layout=LAYOUT), weights=arrays(Network(LAYOUT)))


AGENT = untrained()
PLANNING = replace(AGENT, forecast=arrays(ForecastNetwork(ForecastLayout(width=8))))
both = pytest.mark.parametrize("agent", [AGENT, PLANNING], ids=["policy", "with a forecast"])


@both
@hypothesis.settings(max_examples=20)  # a plan looks at hundreds of settings
@given(data=st.data(), found=hosts())
def test_a_proposal_is_legal_and_new_on_any_host(
    agent: Agent, data: st.DataObject, found: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = found
    history = History(spec=spec, baseline=baseline, baseline_sample=data.draw(samples(spec)))
    settings = AgentPolicy(agent=agent).propose(history)
    if settings is not None:
        assert settings != baseline
        check(spec, settings, baseline)


@both
def test_the_same_history_gives_the_same_setting_and_tries_give_new_ones(agent: Agent) -> None:
    host, history = FakeHost(), START
    policy = AgentPolicy(agent=agent, seed=1)
    for _ in range(5):
        settings = policy.propose(history)
        assert settings is not None
        assert settings == policy.propose(history)
        assert settings not in [BASELINE, *(trial.settings for trial in history.trials)]
        host.apply(settings)
        seen = host.measure(1.0)
        verdict = judge(SPEC, settings, seen, BASELINE, history.baseline_sample)
        history = history.with_trial(Trial(settings=settings, sample=seen, verdict=verdict))


def test_who_has_more_tries_than_the_agent_has_learned_goes_on_by_climbing() -> None:
    tried = [
        replace(BASELINE, tx_queue=dict.fromkeys(BASELINE.tx_queue, n)) for n in (64, 128, 256)
    ]
    history = START
    for settings in tried:
        history = history.with_sample(settings, sample())
    climbing = Climb(seed=1).propose(history)
    assert climbing is not None
    assert AgentPolicy(agent=AGENT, seed=1).propose(history) == climbing


@both
def test_scores_that_are_no_numbers_propose_nothing(agent: Agent) -> None:
    weights = dict(agent.weights) | {"keep": np.array(np.nan, np.float32)}
    assert AgentPolicy(agent=replace(agent, weights=weights)).propose(START) is None


def test_the_shipped_agent_is_there_and_makes_legal_settings() -> None:
    settings = get("agent").propose(START)
    assert settings is not None
    check(SPEC, settings, BASELINE)
