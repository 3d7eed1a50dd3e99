"""What a policy keeps on a test host, and what that is worth."""

import pytest

from agents import registry
from agents.evaluation import tune
from agents.suite import SAMPLES, Worth, loads, long_search, play
from agents.telemetry import PooledHost
from envs.scenario import TEST_SEEDS

HOST = TEST_SEEDS[8]


def test_what_is_kept_is_the_best_of_what_was_measured_with_noise() -> None:
    played = play(registry.get("climb", 3), HOST, 5)
    history = tune(registry.get("climb", 3), PooledHost(HOST, loads(HOST)[:SAMPLES]), 5, 0.1)
    assert len(played.kept) == 5
    assert played.kept[-1] == Worth(HOST).of(history.start)


def test_what_is_kept_is_worth_the_same_to_everybody() -> None:
    worth = Worth(HOST)
    settings = play(registry.get("lee"), HOST, 1).best
    assert worth.of(settings) == Worth(HOST).of(settings)
    assert worth.of(worth.found) == 0.0


def test_a_game_can_be_played_again() -> None:
    first, second = (play(registry.get("climb", 2), HOST, 6) for _ in range(2))
    assert first == second


def test_who_proposes_nothing_keeps_the_host_as_found() -> None:
    played = play(registry.get("stock"), HOST, 5)
    assert (played.kept, played.most, played.best) == ((), 0.0, Worth(HOST).found)


def test_a_long_search_names_the_setting_that_is_worth_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.suite.LONG", 30)
    found = long_search(HOST)
    assert found.most == max(0.0, Worth(HOST).of(found.best))
