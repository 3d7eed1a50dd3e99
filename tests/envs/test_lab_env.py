"""The environment over a real host: the lab, set and measured, and left as it was found."""

import os
from collections.abc import Iterator

import gymnasium
import pytest

from envs.hosts.lab import manage
from envs.hosts.lab.config import LabConfig
from envs.hosts.locate import open_host

pytestmark = pytest.mark.lab
NAME = f"e{os.getpid() % 10**7}"


@pytest.fixture
def lab() -> Iterator[str]:
    manage.up(LabConfig(name=NAME, guests=2))
    try:
        yield f"lab:{NAME}"
    finally:
        manage.down(NAME)


def test_an_episode_sets_and_measures_the_lab_and_leaves_it_as_found(lab: str) -> None:
    env = gymnasium.make(
        "envs.host_env:viotune/LiveHost-v0", uri=lab, decisions=1, seconds=1.0, settle=0.5
    )
    found = open_host(lab).settings()
    env.reset(seed=0)
    rng_choice = env.get_wrapper_attr("action_masks")
    ended = False
    info: dict = {}
    while not ended:
        _, _, ended, _, info = env.step(int(rng_choice().sum()) - 1)  # the last value offered
    assert len(info["trials"]) == 1
    assert info["trials"][0].verdict.bandwidth > 0.0
    env.close()
    assert open_host(lab).settings() == found
