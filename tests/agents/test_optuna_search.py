"""Optuna's samplers as policies: legal, new, and of use."""

import pytest
from fake_host import BASELINE, SPEC, FakeHost, sample

from agents import registry
from agents.evaluation import tune
from agents.policy import History
from envs.errors import InputError
from envs.knobs import check


@pytest.mark.parametrize("name", registry.OPTUNA)
def test_every_proposal_is_legal_and_new(name: str) -> None:
    found = tune(registry.get(name, 1), FakeHost(), 13, 1.0)
    assert len(found.trials) == 13
    tried = [BASELINE, *(trial.settings for trial in found.trials)]
    for number, settings in enumerate(tried):
        check(SPEC, settings, BASELINE)
        assert settings not in tried[:number]


def test_the_same_history_gives_the_same_proposal() -> None:
    history = History(spec=SPEC, baseline=BASELINE, baseline_sample=sample())
    policy = registry.get("tpe", 2_000_007)
    assert policy.propose(history) == policy.propose(history)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "agents.optuna_search", None)
    with pytest.raises(InputError, match=r"\[suite\]"):
        registry.get("tpe")
