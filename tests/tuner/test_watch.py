"""A host is tuned again when its load has changed, and only then."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from stumbling_host import SPEC, StumblingHost, sample

from tuner import commands
from tuner.commands import options
from tuner.commands.watch import Watch, command
from tuner.journal import Begun
from tuner.state import journal_of
from tuner.watch import change, idle, load

EVEN = load(SPEC, sample(8.0, 1.0))
UNEVEN = load(SPEC, sample(8.0, 1.0, share=0.9))


@pytest.mark.parametrize("gbps", [6.0, 8.0, 10.0])
def test_noise_is_no_change_of_load(gbps: float) -> None:
    assert change(EVEN, load(SPEC, sample(gbps, 1.0))) == ""


def test_a_guest_that_falls_behind_is_a_change_and_is_named() -> None:
    assert "traffic of two 4.00 -> 0.80" in change(EVEN, UNEVEN)


def test_what_hardly_flows_is_no_reason_whatever_it_does() -> None:
    most = load(SPEC, sample(8.0, 1.0, share=0.98))
    all_of_it = load(SPEC, sample(8.0, 1.0, share=1.0))
    assert change(most, all_of_it) == ""


def test_other_guests_are_a_change() -> None:
    assert change({**EVEN, "cores of burn": 1.0}, EVEN) == "other guests: cores of burn"


def test_no_traffic_is_nothing_to_tune_for() -> None:
    assert idle(load(SPEC, sample(0.0, 0.1)))
    assert not idle(EVEN)


def test_a_host_is_tuned_once_and_then_only_after_a_change_that_lasts() -> None:
    memory = Watch(least=0.0)
    assert memory.why(EVEN) == "not tuned yet"
    memory.tuned(EVEN, kept=True)
    assert memory.why(EVEN) == ""
    assert memory.why(UNEVEN) == ""
    assert memory.why(EVEN) == ""  # it was a hiccup
    assert memory.why(UNEVEN) == ""
    assert "traffic of two" in memory.why(UNEVEN)
    memory.tuned(UNEVEN, kept=False)
    assert memory.why(UNEVEN) == ""


def test_a_host_that_gains_nothing_is_tuned_ever_less_often() -> None:
    memory = Watch(least=100.0)
    assert memory.seconds_left() < 0.0
    waits = []
    for kept in (True, False, False, True):
        memory.tries()
        memory.tuned(EVEN, kept=kept)
        waits.append(round(memory.seconds_left(), -2))
    assert waits == [100.0, 200.0, 400.0, 100.0]


def test_a_host_whose_load_did_not_hold_still_is_tuned_again_though_later() -> None:
    memory = Watch(least=100.0)
    memory.tries()
    memory.tuned(None, kept=False)
    assert memory.why(EVEN) == "not tuned yet for a load that holds still"
    assert memory.seconds_left() > 100.0


def test_why_a_host_was_tuned_is_in_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "setting.json"
    setting.write_text('{"bridge": "lean"}')
    host = StumblingHost(tmp_path / "host", lambda _settings: sample(8.0, 1.0))
    monkeypatch.setattr(options, "open_host", lambda _uri: host)
    looks = iter([EVEN, EVEN, UNEVEN, UNEVEN, UNEVEN])
    monkeypatch.setattr(commands.watch, "_load", lambda *_: next(looks))
    words = ["--host", "lab:x", "--setting", str(setting), "--every", "0.1", "--looks", "3"]
    words += ["--at-most-every", "0", "--pairs", "3"]
    assert CliRunner().invoke(command, words).exit_code == 0
    begun = [event for event in journal_of(host).events() if isinstance(event, Begun)]
    first, second = [event.reason for event in begun]
    assert first == f"tune by {setting}: not tuned yet"
    assert second.startswith(f"tune by {setting}: the load has changed: traffic of one 4.00 -> ")


def test_a_host_that_somebody_sets_while_it_is_tuned_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "setting.json"
    setting.write_text('{"bridge": "lean"}')
    host = StumblingHost(tmp_path / "host")

    def edit(host: StumblingHost) -> None:
        host.now = replace(host.now, weight={**host.now.weight, "two": 99})

    host.before_measure = edit
    monkeypatch.setattr(options, "open_host", lambda _uri: host)
    monkeypatch.setattr(commands.watch, "_load", lambda *_: EVEN)
    words = ["--host", "lab:x", "--setting", str(setting), "--every", "0.1", "--looks", "3"]
    done = CliRunner().invoke(command, [*words, "--at-most-every", "0", "--json"])
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in told] == ["failed", "waits", "waits"]
    assert told[1]["reason"] == "somebody else has set weight two: left alone"
    assert (host.now.weight["two"], host.now.bridge) == (99, "stock")


def test_a_tuning_that_fails_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A knob that never takes is not tried again and again on a host that people need."""
    setting = tmp_path / "setting.json"
    setting.write_text('{"tx_queue": {"vif1": 64}}')
    host = StumblingHost(tmp_path / "host")
    host.stumble = lambda moment: moment == "apply halfway"
    monkeypatch.setattr(options, "open_host", lambda _uri: host)
    words = ["--host", "lab:x", "--setting", str(setting), "--every", "0.1", "--looks", "3"]
    done = CliRunner().invoke(command, [*words, "--json"])
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (events, done.exit_code) == (["failed", "waits", "waits"], 0)
    assert host.calls.count("apply") == 1
