"""What a policy measures on a test host, and what that is truly worth."""

import pytest

from agents import registry
from agents.suite import long_search, play
from envs.scenario import TEST_SEEDS

HOST = TEST_SEEDS[8]


def test_what_is_kept_is_the_best_by_measurement_at_its_true_worth() -> None:
    played = play(registry.get("random", 3), HOST, 12)
    assert len(played.worth) == len(played.kept) == 12
    assert set(played.kept) <= {0.0, *played.worth}
    assert played.most == max(0.0, *played.worth)


def test_a_game_can_be_played_again() -> None:
    first, second = (play(registry.get("climb", 2), HOST, 6) for _ in range(2))
    assert first == second


def test_who_proposes_nothing_keeps_the_host_as_found() -> None:
    played = play(registry.get("stock"), HOST, 5)
    assert (played.worth, played.kept, played.most) == ((), (), 0.0)


def test_a_long_search_finds_more_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.suite.LONG", 60)
    assert long_search(HOST).most >= play(registry.get("random", 3), HOST, 12).most
