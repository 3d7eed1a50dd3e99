"""A policy let loose on a host: measured in turn, judged, and the best chosen."""

from itertools import cycle
from pathlib import Path

import pytest
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost, sample

from envs.history import History
from envs.host import Sample, Settings
from envs.reward import Guards
from tuner import state
from tuner.given import Given
from tuner.journal import Restored
from tuner.transaction import transaction
from tuner.tune import Budget, Tuning, tune, tune_and_keep


def queue(length: int) -> Settings:
    return replace(FOUND, tx_queue={"vif1": length, "vif2": 32})


class Lengths:
    """Proposes queue lengths one after the other."""

    name = "lengths"

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths
        self.seen: list[History] = []

    def propose(self, history: History) -> Settings | None:
        self.seen.append(history)
        done = len(history.trials)
        return queue(self.lengths[done]) if done < len(self.lengths) else None


@pytest.fixture
def host(tmp_path: Path) -> StumblingHost:
    return StumblingHost(tmp_path)


def tuned(host: StumblingHost, policy: Lengths | Given, tries: int = 3, pairs: int = 2) -> Tuning:
    budget = Budget(tries=tries, pairs=pairs, seconds=1.0, settle=0.0)
    with state.held(host) as held, transaction(held, "test") as trial:
        return tune(trial, policy, budget, Guards(), lambda _what: None)


def test_the_best_of_several_is_chosen(host: StumblingHost) -> None:
    tuning = tuned(host, Lengths(64, 1000, 128))
    assert tuning.kept == 1
    assert tuning.best is not None
    assert tuning.best.settings == queue(1000)


def test_nothing_is_chosen_where_nothing_is_better(host: StumblingHost) -> None:
    tuning = tuned(host, Lengths(16, 8))
    assert tuning.best is None
    assert "left as found" in tuning.reason


def test_the_journal_says_why_nothing_was_kept(host: StumblingHost) -> None:
    budget = Budget(tries=1, pairs=2, seconds=1.0, settle=0.0)
    with state.held(host) as held:
        tuning = tune_and_keep(held, Lengths(16), budget, Guards(), lambda _what: None)
        last = held.journal.events()[-1]
    assert isinstance(last, Restored)
    assert last.reason == tuning.reason
    assert "left as found" in tuning.reason


def test_no_more_than_the_tries_are_measured(host: StumblingHost) -> None:
    assert len(tuned(host, Lengths(64, 128, 256, 512), tries=2).trials) == 2


def test_a_policy_that_repeats_itself_has_nothing_more_to_try(host: StumblingHost) -> None:
    assert len(tuned(host, Lengths(64, 64, 64)).trials) == 1
    assert len(tuned(host, Given(name="as found", make=lambda found: found)).trials) == 0


def test_a_policy_sees_what_its_settings_measured(host: StumblingHost) -> None:
    policy = Lengths(64, 1000)
    tuned(host, policy)
    last = policy.seen[-1]
    assert [trial.settings for trial in last.trials] == [queue(64), queue(1000)]
    assert last.trials[1].verdict.gain > last.trials[0].verdict.gain > 0.0


def test_pairs_begin_as_found_and_changed_in_turn(host: StumblingHost) -> None:
    lengths: list[int] = []
    host.before_measure = lambda host: lengths.append(host.now.tx_queue["vif1"])
    tuned(host, Lengths(64))
    assert lengths == [32, 32, 64, 64, 32]


def test_measuring_ends_as_soon_as_one_can_tell(host: StumblingHost) -> None:
    assert tuned(host, Lengths(64), pairs=12).trials[0].judgement.pairs == 3


def test_measuring_goes_on_while_one_cannot_tell(host: StumblingHost) -> None:
    noisy = cycle((5.0, 5.5, 6.0, 5.5, 5.0, 6.5))
    host = StumblingHost(host.state_dir, lambda _settings: sample(next(noisy), 1.0))
    assert tuned(host, Lengths(64), pairs=6).trials[0].judgement.pairs == 6


def test_a_setting_that_starves_a_guest_is_left_after_one_sample(host: StumblingHost) -> None:
    def starving(settings: Settings) -> Sample:
        return sample(5.0, 1.0, share=0.5 if settings == FOUND else 0.99)

    lengths: list[int] = []
    host = StumblingHost(host.state_dir, starving)
    host.before_measure = lambda host: lengths.append(host.now.tx_queue["vif1"])
    assert tuned(host, Lengths(64), pairs=6).trials[0].judgement.outcome == "guard broken"
    assert lengths == [32, 32, 64, 32]


def test_a_load_that_stops_in_the_middle_leaves_the_host_as_found(host: StumblingHost) -> None:
    left = iter((5.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0))
    host = StumblingHost(host.state_dir, lambda _settings: sample(next(left), 1.0))
    tuning = tuned(host, Lengths(64), pairs=6)
    assert tuning.trials[0].judgement.outcome == "cannot tell"
    assert "the load stopped" in tuning.trials[0].judgement.reason
    assert host.now == FOUND


def under(host: StumblingHost, *loads: float) -> StumblingHost:
    """A host that carries one load after the other, and a fifth more with a longer queue."""
    left = iter(loads)

    def measured(settings: Settings) -> Sample:
        return sample(next(left) * (1.0 if settings == FOUND else 1.2), 1.0)

    return StumblingHost(host.state_dir, measured)


def test_a_load_that_drifts_is_measured_to_the_last_pair_and_nothing_is_kept(
    host: StumblingHost,
) -> None:
    loads = [4.0 * 1.06**number for number in range(13)]
    tuning = tuned(under(host, *loads), Lengths(64), pairs=6)
    assert tuning.trials[0].judgement.pairs == 6
    assert tuning.kept is None
    assert "the load drifted" in tuning.trials[0].judgement.reason
    assert not tuning.for_this_load


def test_a_load_that_goes_after_a_try_takes_what_was_kept_for_it_along(
    host: StumblingHost,
) -> None:
    steady, gone = [5.0] * 7, [5.0, 0.0, 0.0]
    host = under(host, *steady, *gone)
    tuning = tuned(host, Lengths(64, 128), pairs=3, tries=2)
    assert [t.judgement.outcome for t in tuning.trials] == ["cannot tell", "cannot tell"]
    assert tuning.kept is None
    assert host.now == FOUND
