"""Policies compared: the same measurements for all, and honest ratios."""

import csv
import json
import math
from pathlib import Path

import pytest
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost

from envs.reward import Guards
from tuner import report, state
from tuner.compare import LiveBench, Results, Score, choose_live, score_live
from tuner.given import Given
from tuner.statistics import mean_ratio
from tuner.transaction import transaction
from tuner.tune import Budget

LONGER = replace(FOUND, tx_queue={"vif1": 512, "vif2": 32})
SHORTER = replace(FOUND, tx_queue={"vif1": 8, "vif2": 32})
BUDGET = Budget(tries=2, pairs=2, seconds=1.0, settle=0.0)
POLICIES = [
    Given(name="stock", make=lambda found: found),
    Given(name="longer", make=lambda _found: LONGER),
    Given(name="shorter", make=lambda _found: SHORTER),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    host = StumblingHost(tmp_path)
    with state.held(host) as held, transaction(held, "test") as trial:
        bench = LiveBench(trial, BUDGET, lambda _what: None)
        kept, tried = choose_live(bench, POLICIES, BUDGET.tries, Guards())
        assert kept == {"stock": FOUND, "longer": LONGER, "shorter": FOUND}
        scores = score_live(bench, kept, 3, Guards())
    assert host.now == FOUND
    return Results(scores=scores, tried=tried)


def test_each_policy_is_scored_in_every_round_against_the_host_as_found(results: Results) -> None:
    assert len(results.scores) == 9
    ratios = {score.policy: score.ratio for score in results.scores}
    assert ratios == pytest.approx({"stock": 1.0, "shorter": 1.0, "longer": 2.0})


def test_everything_measured_while_choosing_is_told(results: Results) -> None:
    assert [(score.policy, score.holds) for score in results.tried] == [
        ("longer", True),
        ("shorter", False),
    ]


def test_what_a_policy_proposed_is_told_also_where_it_kept_stock(results: Results) -> None:
    made = report.comparison(results, BUDGET, Guards())
    kept = {row.policy: row.ratio.mean for row in made.rows}
    assert kept["shorter"] == pytest.approx(1.0)
    proposed = {row.policy: row for row in made.proposed}
    assert proposed.keys() == {"longer", "shorter"}
    assert proposed["shorter"].ratio.mean == pytest.approx(0.25**0.25)
    assert "bandwidth" in proposed["shorter"].broken
    assert len(report.tables(made)) == 2


def test_of_several_trials_the_one_with_the_highest_reward_was_proposed() -> None:
    trials = [score("a", run, ratio) for run in (0, 1) for ratio in (1.1, 1.3, 0.9)]
    assert [(s.run, s.ratio) for s in report.best_tried(trials)] == [(0, 1.3), (1, 1.3)]


def test_the_files_hold_the_figures_and_how_they_were_made(
    results: Results, tmp_path: Path
) -> None:
    made = report.comparison(results, BUDGET, Guards())
    document, table, _tried = report.save(made, tmp_path / "out")
    stored = json.loads(document.read_text())
    assert stored["provenance"]["command"]
    assert stored["provenance"]["versions"]["numpy"]
    assert len(stored["rows"]) == 3
    with table.open() as file:
        assert len(list(csv.DictReader(file))) == 9


def test_pictures_are_drawn(results: Results, tmp_path: Path) -> None:
    plots = pytest.importorskip("tuner.plots")
    for path in plots.save(report.comparison(results, BUDGET, Guards()), tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_figures_of_equal_bandwidth_per_core_stand_outside_where_no_point_is(
    results: Results,
) -> None:
    plots = pytest.importorskip("tuner.plots")
    made = report.comparison(results, BUDGET, Guards())
    figure = plots.bandwidth_against_cores("fake:", made.rows, made.tried)
    figure.draw_without_rendering()
    axes, room = figure.axes[0], figure.axes[0].get_window_extent()
    figures = [text for text in axes.texts if text.get_text().replace(".", "").isdigit()]
    assert len(figures) > 1
    assert not any(text.get_window_extent().overlaps(room) for text in figures)
    assert axes.get_title(loc="left") == "fake: bandwidth against cores"


def test_several_hosts_get_a_summary_over_all() -> None:
    scores = [score(host, run, ratio) for host, ratio in (("a", 2.0), ("b", 0.5)) for run in (0, 1)]
    last = report.summary(scores)[-1]
    assert last.host == report.ALL_HOSTS
    assert last.ratio.mean == pytest.approx(1.0)


def test_a_single_run_has_no_interval() -> None:
    assert mean_ratio([[1.5]]).low is None


def test_the_interval_surrounds_the_mean_and_is_the_same_every_time() -> None:
    groups = [[1.1, 1.3, 1.2, 1.4], [0.9, 1.0, 1.1, 1.2]]
    found = mean_ratio(groups)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert found == mean_ratio(groups)


def test_twice_and_half_cancel_out() -> None:
    assert mean_ratio([[2.0, 0.5]]).mean == pytest.approx(1.0)
    assert math.isclose(mean_ratio([[2.0, 2.0]]).mean, 2.0)


def score(host: str, run: int, ratio: float) -> Score:
    return Score(
        host=host, policy="p", run=run, bandwidth=1.0, cores=1.0, per_core=1.0, ratio=ratio,
        reward=math.log(ratio), guards=(),
    )  # fmt: skip
