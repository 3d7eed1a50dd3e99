"""What a decision earns in training: how much better it is than others' for the same host."""

import numpy as np
import pytest
from fake_host import FakeHost

from agents import worker
from agents.config import TrainConfig
from agents.worker import Group, Groups

CONFIG = TrainConfig(
    scenario="lab", envs=2, members=2, workers=1, decisions=2, care=0.1, reward_floor=-1.0
)
KEEP, LEAN, DIRECT = {"bridge": 0}, {"bridge": 1}, {"bridge": 2}
SHORT = {"tx_queue": 1}  # a queue of 8, which is worse


class Members:
    """A group on a fake host, whose members each choose what they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: TrainConfig = CONFIG) -> None:
        monkeypatch.setattr(worker, "ToldHost", lambda *_, **__: FakeHost())
        self.group = Group(config, seed=0)
        self.group.begin()

    def decide(self, *wanted: dict[str, int]) -> tuple[list[float], list[dict[str, float]]]:
        """One decision of each member; what each earned and was told."""
        while True:
            choices = [member._decision.choice for member in self.group._members]
            kinds = [choice.kind if choice else "" for choice in choices]
            actions = [want.get(kind, 0) for want, kind in zip(wanted, kinds, strict=True)]
            steps = self.group.step(actions)
            if all(end for _, _, end, _ in steps):
                return [reward for _, reward, _, _ in steps], [info for *_, info in steps]


def test_the_better_decision_of_a_group_earns_what_the_worse_one_loses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rewards, _ = Members(monkeypatch).decide(LEAN, DIRECT)
    assert rewards[1] > 0.0 > rewards[0]
    assert sum(rewards) == pytest.approx(0.0)


def test_equal_decisions_earn_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Members(monkeypatch).decide(DIRECT, DIRECT)[0] == [0.0, 0.0]


def test_a_bad_try_costs_a_little_more_than_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    rewards, _ = Members(monkeypatch).decide(KEEP, SHORT)
    assert 0.5 > rewards[0] > 0.0 > rewards[1]


def test_all_members_go_on_from_the_history_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(monkeypatch)
    members.decide(LEAN, DIRECT)
    first, second = (member.history for member in members.group._members)
    assert first == second
    assert len(first.trials) == 1


def test_the_gain_is_told_once_when_the_host_has_had_its_decisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = Members(monkeypatch)
    assert members.decide(DIRECT, DIRECT)[1] == [{}, {}]
    told = [info["gain"] for info in members.decide(DIRECT, DIRECT)[1] if info]
    assert len(told) == 1
    assert told[0] > 0.0


def test_who_is_done_first_waits_with_a_choice_of_one_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Members(monkeypatch).group
    group._waiting[0] = 0.0
    observation, reward, end, _ = group.step([3, 0])[0]
    assert observation["mask"].sum() == 1.0
    assert (reward, end) == (0.0, False)


def test_groups_answer_with_a_row_for_each_member() -> None:
    groups = Groups(TrainConfig(scenario="lab", envs=4, members=2, seconds=0.01), [1, 2])
    groups.send([])
    steps = groups.recv()
    assert [len(rows) for rows in steps.observations.values()] == [4, 4, 4]
    groups.send([0, 0, 0, 0])
    assert np.shape(groups.recv().rewards) == (4,)
    groups.send(None)
