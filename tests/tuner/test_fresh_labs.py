from pathlib import Path

import pytest

from envs.hosts.lab import manage, record
from envs.reward import Guards
from tuner.fresh_labs import LAB, compare_fresh_labs
from tuner.tune import Budget

pytestmark = pytest.mark.lab


def test_each_run_has_a_lab_of_its_own_and_none_is_left() -> None:
    budget = Budget(tries=1, pairs=2, seconds=0.5, settle=0.5)
    labs = []

    def step(_: str) -> None:
        (lab,) = [lab for lab in manage.status() if lab.name == LAB]
        labs.append(record.read(Path(lab.state_dir)).token)

    found = compare_fresh_labs(["intra"], 2, ["stock", "liao-bridge"], budget, Guards(), step)
    assert len(set(labs)) == 2
    assert [(s.policy, s.run) for s in found.scores] == [
        ("stock", 0),
        ("liao-bridge", 0),
        ("stock", 1),
        ("liao-bridge", 1),
    ]
    assert {score.host for score in (*found.scores, *found.tried)} == {"lab, intra"}
    assert all(score.bandwidth > 0.0 and score.cores > 0.0 for score in found.scores)
    assert LAB not in [lab.name for lab in manage.status()]
