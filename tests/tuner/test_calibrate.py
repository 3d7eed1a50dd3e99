"""``tuner calibrate`` and what ``tuner plan`` expects, as a person runs them."""

import json
from pathlib import Path

from click.testing import CliRunner

from envs.errors import InputError
from envs.scenario import load
from tuner.commands import calibrate, plan


def test_a_twin_is_written_that_other_commands_take(tmp_path: Path) -> None:
    out = tmp_path / "twin.toml"
    arguments = ["--host", "sim:lab", "--out", str(out), "--rounds", "1", "--json"]
    result = CliRunner().invoke(calibrate.command, arguments, catch_exceptions=False)
    document = json.loads(result.stdout)
    assert document["points"][0]["setting"] == "as found"
    assert load(str(out)).costs.copy_llc > 0.0
    arguments = ["--host", "sim:lab", "--twin", str(out), "--policy", "liao-all", "--json"]
    result = CliRunner().invoke(plan.command, arguments, catch_exceptions=False)
    reasons = json.loads(result.stdout)["reasons"]
    assert reasons[0]["knob"] == "all together"
    assert {one["knob"] for one in reasons[1:]} <= {"placement", "weight", "tx_queue", "bridge"}


def test_what_cannot_be_a_scenario_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    for out in (tmp_path / "twin.json", tmp_path / "no-such" / "twin.toml"):
        result = CliRunner().invoke(calibrate.command, ["--host", "sim:lab", "--out", str(out)])
        assert isinstance(result.exception, InputError)
        assert str(out) in str(result.exception)


def test_a_plan_on_a_simulated_host_expects_what_its_own_simulation_says() -> None:
    arguments = ["--host", "sim:lab", "--policy", "lee", "--json"]
    result = CliRunner().invoke(plan.command, arguments, catch_exceptions=False)
    document = json.loads(result.stdout)
    assert document["unreasoned"] == ""
    assert [one["knob"] for one in document["reasons"]] == ["all together", "side_cores"]


def test_the_wrong_twin_is_refused() -> None:
    arguments = ["--host", "sim:lab", "--twin", "no-such.toml", "--policy", "lee"]
    result = CliRunner().invoke(plan.command, arguments)
    assert isinstance(result.exception, InputError)
    assert "no-such.toml" in str(result.exception)
