"""A setting is kept only if it is better beyond noise and misses no guard."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stumbling_host import FOUND, SPEC, sample

from envs.pooling import pool
from envs.reward import Guards
from tuner.judge import decide, hindsight, interval, judge_pairs, ratio
from tuner.pairs import Pair


def pairs(*gbps: tuple[float, float], cores: float = 1.0) -> list[Pair]:
    return [Pair(before=sample(a, 1.0), after=sample(b, cores)) for a, b in gbps]


def test_twice_the_bandwidth_every_time_is_kept() -> None:
    judgement = judge_pairs(SPEC, FOUND, FOUND, pairs((5.0, 10.0), (5.1, 10.1), (4.9, 10.0)))
    assert judgement.outcome == "better"
    assert judgement.gain.mean == pytest.approx(math.log(2.0), abs=0.02)
    assert judgement.after.per_core == pytest.approx(10.03, abs=0.01)


def test_the_same_twice_is_no_difference() -> None:
    assert judge_pairs(SPEC, FOUND, FOUND, pairs((5, 5), (5, 5))).outcome == "no difference"


def test_more_cores_for_the_same_bandwidth_is_worse() -> None:
    measured = pairs((5, 5.0), (5, 5.01), (5, 4.99), cores=2.0)
    assert judge_pairs(SPEC, FOUND, FOUND, measured).outcome == "worse"


def test_a_single_pair_cannot_tell_however_large_its_gain() -> None:
    assert judge_pairs(SPEC, FOUND, FOUND, pairs((5.0, 15.0))).outcome == "cannot tell"


def test_a_gain_that_comes_and_goes_cannot_be_told() -> None:
    measured = pairs((5.0, 10.0), (5.0, 5.0), (5.0, 7.0))
    assert judge_pairs(SPEC, FOUND, FOUND, measured).outcome == "cannot tell"


def test_what_is_better_under_a_load_that_drifts_away_cannot_be_told() -> None:
    judgement = judge_pairs(SPEC, FOUND, FOUND, pairs((4.0, 4.8), (5.0, 6.0), (7.0, 8.4)))
    assert judgement.gain.positive  # pairs keep the drift out of the comparison
    assert judgement.outcome == "cannot tell"
    assert "the load drifted" in judgement.reason
    assert not judgement.held_still


def test_a_guard_broken_is_broken_whatever_the_load_does() -> None:
    measured = pairs((4.0, 3.0), (5.0, 3.8), (7.0, 5.3), cores=0.5)
    judgement = judge_pairs(SPEC, FOUND, FOUND, measured)
    assert judgement.load == "drifting"
    assert judgement.outcome == "guard broken"
    assert judgement.conclusive


def test_a_load_that_leans_is_a_reason_to_measure_on_and_none_to_keep_nothing() -> None:
    judgement = judge_pairs(SPEC, FOUND, FOUND, pairs((5.0, 7.0), (5.1, 7.2), (6.5, 9.0)))
    assert judgement.load == "leaning"
    assert judgement.outcome == "better"
    assert not judgement.conclusive


@pytest.mark.parametrize(
    ("since", "outcome"),
    [
        (pairs((4.9, 2.0), (5.2, 2.1)), "better"),
        (pairs((6.0, 2.4), (7.0, 2.8)), "cannot tell"),
        (pairs((5.0, 2.0), (0.0, 0.0)), "cannot tell"),
    ],
)
def test_what_was_better_is_so_only_while_its_load_is_there(
    since: list[Pair], outcome: str
) -> None:
    measured = pairs((5.0, 10.0), (5.1, 10.1), (5.0, 10.0))
    judgement = judge_pairs(SPEC, FOUND, FOUND, measured)
    assert hindsight(judgement, [measured, since]).outcome == outcome


def test_a_load_that_doubles_or_stops_meanwhile_cannot_be_judged() -> None:
    for measured in (
        pairs((2.0, 2.4), (4.0, 4.8), (6.0, 7.2)),
        pairs((5.0, 6.0), (5.0, 6.0), (0.0, 0.0)),
        pairs((5.0, 6.0), (0.0, 6.0)),
        pairs((0.0, 0.0), (0.0, 0.0)),
    ):
        judgement = judge_pairs(SPEC, FOUND, FOUND, measured)
        assert judgement.outcome == "cannot tell"
        assert judgement.load == "changed"
        assert "load" in judgement.reason


def test_a_better_ratio_for_less_bandwidth_breaks_a_guard() -> None:
    measured = pairs((5.0, 4.0), (5.0, 4.01), (5.0, 3.99), cores=0.5)
    judgement = judge_pairs(SPEC, FOUND, FOUND, measured)
    assert judgement.outcome == "guard broken"
    assert "bandwidth" in judgement.reason


def test_a_guard_that_may_be_missed_cannot_be_told_and_is_not_kept() -> None:
    measured = pairs((5.0, 4.0), (5.0, 5.2), (5.0, 4.1), cores=0.25)
    judgement = judge_pairs(SPEC, FOUND, FOUND, measured)
    assert judgement.gain.positive
    assert judgement.outcome == "cannot tell"
    assert "bandwidth" in judgement.reason


def test_a_guard_missed_once_and_kept_on_average_is_no_obstacle() -> None:
    measured = pairs((5.0, 4.0), (5.0, 6.0), (5.0, 5.1), cores=0.25)
    assert judge_pairs(SPEC, FOUND, FOUND, measured).outcome == "better"


def test_starving_one_guest_once_is_hopeless_however_well_the_rest_goes() -> None:
    fine = Pair(before=sample(5.0, 1.0), after=sample(9.0, 1.0))
    starved = Pair(before=sample(5.0, 1.0), after=sample(9.0, 1.0, share=0.9))
    judgement = judge_pairs(SPEC, FOUND, FOUND, [fine, fine, fine, starved])
    assert judgement.outcome == "guard broken"
    assert "bandwidth of two by 6" in judgement.reason


def test_guards_can_be_loosened() -> None:
    measured = pairs((5.0, 4.0), (5.0, 4.01), (5.0, 3.99), cores=0.5)
    loose = Guards(bandwidth=0.5, guest_bandwidth=0.5)
    assert judge_pairs(SPEC, FOUND, FOUND, measured, loose).outcome == "better"


@given(st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=8))
def test_an_interval_surrounds_its_mean_and_decides_one_way(values: list[float]) -> None:
    found = interval(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high
    outcome, reason = decide(found, ())
    assert (outcome == "better") == (found.low > 0.0)
    assert reason


def test_student_s_interval_of_three_values() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.high == pytest.approx(2.0 + 4.3027 / math.sqrt(3.0), abs=1e-3)


def test_a_ratio_reads_as_people_write_it() -> None:
    assert ratio(interval([math.log(2.0)] * 2)) == "2.00 times (2.00 to 2.00)"
    assert ratio(interval([0.0])) == "1.00 times"
    assert ratio(interval([-1.0, 1.0])) == "1.00 times (under 0.01 to over 100)"


def test_pooling_adds_intervals_and_counters() -> None:
    pooled = pool([sample(4.0, 1.0, seconds=1.0), sample(8.0, 2.0, seconds=3.0)])
    assert pooled.seconds == 4.0
    assert pooled.backend_cpu["backend"] == 7.0
    assert pooled.latency is None
