"""What-if curves: every value of one knob is tried, all else as it is; what is found is marked."""

import json
import sys
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from envs.errors import InputError
from envs.host import Knob
from envs.knobs import violations
from envs.scenario import Settable, load
from envs.sim.host import SimHost
from tuner import cli
from tuner.settings import differences
from tuner.sweep import Point, sweep

SECONDS = 0.02


def points(name: str, knob: Knob) -> tuple[Point, ...]:
    scenario = load(name)
    return sweep(scenario, SimHost(scenario).settings(), knob, SECONDS, seed=0)


@pytest.mark.parametrize("knob", get_args(Knob))
@pytest.mark.parametrize("name", ["xen-2008-mixed", "lab"])
def test_a_sweep_has_legal_values_of_one_knob_and_the_one_found_among_them(
    name: str, knob: Knob
) -> None:
    host = SimHost(load(name))
    stock, spec = host.settings(), host.describe()
    found = points(name, knob)
    assert [point.settings for point in found if point.found] == [stock]
    for point in found:
        assert not list(violations(spec, point.settings, stock))
        changed = {row.knob for row in differences(stock, point.settings)}
        # who reserves a core also says who runs there and who no longer does
        assert changed <= {knob, *(["placement"] if knob == "side_cores" else [])}
        for spread in (point.bandwidth, point.cores, point.per_core):
            assert 0.0 <= spread.low <= spread.median <= spread.high


def test_a_value_is_measured_as_if_it_were_set_alone() -> None:
    scenario = load("lab")
    by_value = {point.value: point for point in points("lab", "tx_queue")}
    host = SimHost(scenario, seed=2)
    host.apply(by_value["8"].settings)
    sample = host.measure(SECONDS)
    delivered = sum(port.inward.bytes for port in sample.vifs.values())
    low, high = by_value["8"].bandwidth.low, by_value["8"].bandwidth.high
    assert low <= 8e-9 * (delivered + sample.uplink.outward.bytes) / SECONDS <= high


def test_a_knob_without_a_choice_is_refused() -> None:
    scenario = load("xen-2008-receive")
    host = SimHost(scenario)
    one_mode = replace(scenario, settable=Settable(bridge=("stock",)))
    with pytest.raises(InputError, match="nothing to choose from for bridge"):
        sweep(one_mode, host.settings(), "bridge", SECONDS, seed=0)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["tuner", "simulate", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_the_curve_is_drawn_and_given_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "curve.png"
    words = ("lab", "--sweep", "bridge", "--seconds", "0.02", "--json", "--plot", str(picture))
    assert run(monkeypatch, *words) == 0
    assert [p["value"] for p in json.loads(capsys.readouterr().out)] == ["stock", "lean", "direct"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_plot_needs_a_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "lab", "--plot", "x.png") == 2
    assert "--sweep" in capsys.readouterr().err
