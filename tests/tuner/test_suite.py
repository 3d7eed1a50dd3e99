"""Policies over many test hosts: scores, what is kept on disk, and the command."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agents.suite import BEST_KNOWN, Played
from envs.errors import InputError
from envs.host import Settings
from tuner import suite, suite_plots, suite_report
from tuner.commands import compare
from tuner.suite import MARKS, PLAYED, Line, Suite

FOUND = Settings(placement={}, weight={}, tx_queue={})
KEPT = {
    ("agent", 1): (0.2, 0.4, 0.4),
    ("agent", 2): (0.1, 0.1, 0.1),
    ("agent", 3): (-0.02,),
    ("stock", 1): (),
    ("stock", 2): (),
    ("stock", 3): (),
}
BEST = {1: 0.4, 2: 0.2, 3: 0.01}


def played(policy: str, seed: int) -> Played:
    kept = (BEST[seed],) if policy == BEST_KNOWN else KEPT[policy, seed]
    return Played(seed=seed, policy=policy, kept=kept, best=FOUND)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Three hosts, on the last of which hardly anything can be gained; what was asked for."""
    asked: list[tuple[str, int]] = []

    def play(wanted: Sequence[tuple[str, int]], _workers: int) -> list[Played]:
        asked.extend(wanted)
        return [played(*one) for one in wanted]

    monkeypatch.setattr(suite, "_in_parallel", play)
    monkeypatch.setattr(suite, "TEST_SEEDS", (1, 2, 3))
    return asked


def run(folder: Path, names: tuple[str, ...] = ("agent", "stock")) -> Suite:
    return suite.run(folder, 3, names, 1, lambda _: None)


def test_a_score_is_the_share_of_the_best_known_gain(fake: object, tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.with_headroom == (1, 2)
    assert outcome.each["agent"][1] == [0.5, 0.5]
    assert outcome.each["agent"][3] == [1.0, 0.5]
    assert outcome.each["agent"][100] == [1.0, 0.5]
    assert outcome.each["stock"] == {mark: [0.0, 0.0] for mark in MARKS}


def test_policies_are_ranked_and_told_apart(fake: object, tmp_path: Path) -> None:
    agent, stock = run(tmp_path).standings
    assert (agent.policy, stock.policy) == ("agent", "stock")
    assert stock.better[3] == 1.0
    assert agent.worst[0] == 2
    assert (agent.stays, stock.stays) == (0.0, 1.0)


def test_the_best_known_includes_what_a_policy_measured(fake: object, tmp_path: Path) -> None:
    BEST[1], found = 0.3, BEST[1]
    try:
        assert run(tmp_path).each["agent"][3][0] == 1.0
    finally:
        BEST[1] = found


def test_what_has_been_played_is_not_played_again(
    fake: list[tuple[str, int]], tmp_path: Path
) -> None:
    first = run(tmp_path, ("stock",))
    assert len(fake) == 6
    with (tmp_path / PLAYED).open("ab") as file:
        file.write(b'{"code": 1, "wei')  # cut off by a crash
    run(tmp_path)
    assert len(fake) == 9
    assert {name for name, _ in fake[6:]} == {"agent"}
    assert run(tmp_path, ("stock",)) == first
    assert len(fake) == 9
    run(tmp_path)
    assert len(fake) == 9


def test_another_versions_games_are_not_mixed_in(fake: object, tmp_path: Path) -> None:
    line = Line(code=1, weights="", played=played("stock", 1))
    (tmp_path / PLAYED).write_bytes(msgspec.json.encode(line) + b"\n")
    with pytest.raises(InputError, match="another version of the program"):
        run(tmp_path)


def test_hosts_on_which_nothing_can_be_gained_are_no_suite(
    fake: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "HEADROOM", 0.5)
    with pytest.raises(InputError, match="on none of these 3 hosts"):
        run(tmp_path)


def test_there_are_so_many_test_hosts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--suite 1001: there are 1000 test hosts"):
        suite.run(tmp_path, 1001, ("stock",), 1, lambda _: None)


def test_the_outcome_is_a_table_the_worst_hosts_and_pictures(fake: object, tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert suite_report.table(outcome).row_count == 2
    assert "tuner simulate generated-2" in suite_report.worst(outcome)
    written = suite_plots.save(outcome, tmp_path)
    assert [path.name for path in written] == ["suite.json", "curves.png", "profile.png"]
    assert all(path.stat().st_size > 0 for path in written)


def test_the_command_plays_real_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agents.suite.LONG", 4)
    arguments = ["--suite", "1", "--policy", "lee", "--out", str(tmp_path)]
    result = CliRunner().invoke(compare.command, arguments)
    assert result.exit_code == 0, result.output
    assert "lee" in result.output
    assert (tmp_path / "curves.png").exists()


def test_the_command_wants_a_folder() -> None:
    result = CliRunner().invoke(compare.command, ["--suite", "1"])
    assert isinstance(result.exception, InputError)
    assert "--out" in str(result.exception)
