"""What search finds is better than what a tuner could, and free of what chance has changed."""

import pytest
from fake_host import FakeHost

from agents.demonstrations import demonstrate
from agents.evaluation import scores
from agents.teacher import search, simplified
from envs.scenario import TRAIN_SEEDS


def test_the_best_setting_found_is_told_without_what_does_not_matter() -> None:
    host = FakeHost()
    found = search(host, 40, 1.0, seed=0)
    after, plain = simplified(host, found, 1.0)
    assert found.best is not None
    kept = next(t.verdict.gain for t in after.trials if t.settings == plain)
    assert kept >= 0.98 * found.best.verdict.gain
    again, plainer = simplified(host, after, 1.0)
    assert plainer == plain
    assert len(again.trials) >= len(after.trials)


def test_a_demonstration_is_a_choice_that_is_offered() -> None:
    shown = demonstrate(TRAIN_SEEDS[0], measurements=8, seconds=0.01, tries=2)
    assert shown
    assert all(0 <= one.right < len(one.candidates) for one in shown)


def test_the_same_seed_shows_the_same() -> None:
    one, other = (demonstrate(TRAIN_SEEDS[1], 6, 0.01, 1) for _ in range(2))
    assert [a.right for a in one] == [b.right for b in other]


def test_the_share_of_the_best_known_counts_hosts_with_something_to_gain() -> None:
    found = scores([0.1, 0.05, 0.0, 0.3], [0.1, 0.1, 0.001, 0.2])
    assert found["share of the best known"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert scores([0.0], [0.0])["share of the best known"] == 1.0
