"""The demo says honestly who won."""

from collections.abc import Callable
from pathlib import Path

import pytest

from envs.errors import HostError
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.reward import Guard, Guards
from tuner import demo, report
from tuner.compare import Results, Score
from tuner.console import Output
from tuner.interrupts import Interrupts
from tuner.tune import Budget


def made(agent: float, lee: float, *, lee_margin: float = 0.1) -> report.Comparison:
    per_core = {"stock": 5.0, "agent": 5.0 * agent, "lee": 5.0 * lee, "both": 5.5}
    scores = [
        Score(
            host="lab:demo",
            policy=policy,
            run=run,
            bandwidth=2.0 * value,
            cores=2.0,
            per_core=value * (1.0 + 0.01 * run),
            ratio=value / 5.0,
            reward=0.0,
            guards=(Guard(name="bandwidth", margin=lee_margin if policy == "lee" else 0.1),),
        )
        for policy, value in per_core.items()
        for run in range(3)
    ]
    return report.comparison(Results(scores=tuple(scores), tried=()), Budget(), Guards())


@pytest.mark.parametrize(
    ("agent", "lee", "says"),
    [
        (2.0, 1.5, "beats lee, the best heuristic: 1.33 times"),
        (1.2, 1.5, "loses to lee, the best heuristic: 0.80 times"),
        (1.5, 1.5, "within noise of each other"),
    ],
)
def test_the_agent_wins_loses_or_neither(agent: float, lee: float, says: str) -> None:
    assert says in demo.conclusion(made(agent, lee))


def test_a_heuristic_that_missed_a_guard_is_no_rival() -> None:
    assert "beats both" in demo.conclusion(made(1.3, 1.5, lee_margin=-0.2))


def test_before_and_after_are_told_in_all_three_figures() -> None:
    text = demo.conclusion(made(2.0, 1.5))
    assert "as found  10.0 Gb/s with 2.00 cores: 5.0 Gb/s per core" in text


def refuse(error: HostError) -> Callable[..., None]:
    def up(_config: LabConfig) -> None:
        raise error

    return up


def test_a_simulated_lab_takes_the_place_of_one_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(record, "root", lambda: tmp_path)
    monkeypatch.setattr(manage, "up", refuse(HostError("no tun")))
    with demo.demo_host(Output(as_json=False), Interrupts()) as host:
        assert host.describe().kind == "sim"
    assert "no lab can be made here (no tun)" in capsys.readouterr().out


def test_a_lab_that_is_in_the_way_is_not_hidden_by_a_simulated_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / demo.LAB).mkdir()
    monkeypatch.setattr(record, "root", lambda: tmp_path)
    monkeypatch.setattr(manage, "down_if_dead", lambda _name: None)
    monkeypatch.setattr(manage, "up", refuse(HostError("run: tuner lab down demo")))
    with (
        pytest.raises(HostError, match="tuner lab down demo"),
        demo.demo_host(Output(as_json=False), Interrupts()),
    ):
        pass
