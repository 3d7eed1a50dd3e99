"""A lab that was recorded, controlled without privileges."""

from pathlib import Path

import msgspec
import pytest

from envs.errors import CommandFailed, HostError, IllegalSetting, InputError
from envs.host import Record, Settings
from envs.hosts.change import commands
from envs.hosts.lab.host import LabHost
from envs.hosts.lab.record import Lab
from envs.hosts.transport import RecordedTransport, Result

RECORDING = Path(__file__).parents[1] / "recordings" / "lab.json"


class Recording(Record, frozen=True):
    """A lab, a setting, and what every command printed while it was applied and taken back."""

    lab: Lab
    target: Settings
    results: tuple[Result, ...]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return msgspec.json.decode(RECORDING.read_bytes(), type=Recording)


@pytest.fixture
def host(recording: Recording) -> LabHost:
    folder = Path("/run/viotune/lab/recorded")
    return LabHost(recording.lab, folder, RecordedTransport(recording.results))


def _asked(host: LabHost) -> list[tuple[str, ...]]:
    assert isinstance(host.transport, RecordedTransport)
    return host.transport.asked


def test_it_describes_itself(host: LabHost) -> None:
    spec = host.describe()
    assert (spec.uri, spec.kind, spec.core_ids) == ("lab:recorded", "lab", (0, 1))
    assert [guest.role for guest in spec.guests] == ["io", "io", "cpu"]
    assert spec.vifs == ("vif1", "vif2")
    assert spec.limits.weights == spec.domains == ("driver", "g1", "g2", "n1")
    assert spec.limits.bridge == ("stock", "lean", "direct")
    assert spec.limits.why_not == {}
    assert spec.softirq_in_tasks


def test_its_settings_are_the_kernel_s_defaults(host: LabHost) -> None:
    found = host.settings()
    assert set(found.placement.values()) == {(0, 1)}
    assert set(found.weight.values()) == {1024}
    assert found.tx_queue == {"vif1": 1000, "vif2": 1000}
    assert (found.bridge, found.side_cores, found.polling) == ("stock", (), False)


def test_a_setting_is_applied_read_back_and_taken_back(host: LabHost, recording: Recording) -> None:
    host.settings()
    host.measure(0)
    before = host.snapshot()
    host.apply(recording.target)
    assert host.settings() == recording.target
    host.restore(before)
    assert host.snapshot() == before


def test_what_was_found_out_of_range_may_come_back(
    host: LabHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, present = host._look()
    for length in (10**6, 64):
        queues = dict.fromkeys(state.tx_queue, length)
        now = msgspec.structs.replace(state, tx_queue=queues)
        monkeypatch.setattr(host, "_look", lambda now=now: (now, present))
        host.describe()  # as it was found, the first time
    target = msgspec.structs.replace(host.settings(), tx_queue=dict.fromkeys(queues, 10**6))
    assert {change.knob for change in host.changes(target)} == {"tx_queue"}
    with pytest.raises(IllegalSetting, match="outside"):
        host.changes(msgspec.structs.replace(target, tx_queue=dict.fromkeys(queues, 10**6 + 1)))


def test_guests_leave_a_side_core_before_the_poller_comes(
    host: LabHost, recording: Recording
) -> None:
    changes = host.changes(recording.target)
    assert changes[-1].subject == "relays"
    assert changes[-1].after == "relay1 polls vif1 vif2; reserved 0"
    assert {change.knob for change in changes} == {
        "placement",
        "weight",
        "tx_queue",
        "bridge",
        "side_cores",
    }


def test_what_would_be_run_is_what_is_run(host: LabHost, recording: Recording) -> None:
    planned = commands(host.changes(recording.target))
    host.settings()
    _asked(host).clear()
    host.apply(recording.target)
    ran = [command for command in _asked(host) if command in planned]
    assert ran == list(planned)


def test_a_setting_that_holds_already_runs_nothing(host: LabHost) -> None:
    assert host.changes(host.settings()) == ()


def test_an_illegal_setting_touches_nothing(host: LabHost, recording: Recording) -> None:
    bad = msgspec.structs.replace(recording.target, tx_queue={"vif1": 0, "vif2": 1000})
    host.describe()
    _asked(host).clear()
    with pytest.raises(IllegalSetting, match="vif1"):
        host.apply(bad)
    assert not any("taskset" in command or "txqueuelen" in command for command in _asked(host))


def test_a_measurement_is_two_commands(host: LabHost) -> None:
    host.describe()
    _asked(host).clear()
    sample = host.measure(0)
    assert len(_asked(host)) == 2
    assert set(sample.vifs) == {"vif1", "vif2"}
    assert set(sample.guest_cpu) == {"g1", "g2", "n1"}
    assert set(sample.backend_cpu) == {"relay1", "relay2"}
    assert sample.vifs["vif1"].inward.bytes > 0
    assert sample.uplink.inward.bytes > sample.uplink.outward.bytes
    assert sample.work["n1"] > 0


class Failing(RecordedTransport):
    """A host on which one kind of command fails, once ``culprit`` names a word of it."""

    culprit = "no such word"

    def _next(self, words: tuple[str, ...]) -> Result:
        result = super()._next(words)
        return msgspec.structs.replace(result, rc=1, err="no") if self.culprit in words else result


def test_when_a_command_fails_what_was_changed_is_put_back(recording: Recording) -> None:
    transport = Failing(recording.results)
    host = LabHost(recording.lab, Path("/run/viotune/lab/recorded"), transport)
    pinned = ("taskset", "-a", "-c", "-p")
    host.settings()
    host.snapshot()
    transport.culprit = "txqueuelen"
    with pytest.raises(CommandFailed, match="txqueuelen"):
        host.apply(recording.target)
    moved = [command for command in transport.asked if command[:4] == pinned]
    assert {command[4] for command in moved} == {"0", "1", "0,1"}


def test_restoring_goes_on_past_a_command_that_fails(recording: Recording) -> None:
    transport = Failing(recording.results)
    host = LabHost(recording.lab, Path("/run/viotune/lab/recorded"), transport)
    host.settings()
    host.measure(0)
    before = host.snapshot()
    host.apply(recording.target)
    host.settings()
    transport.asked.clear()
    transport.culprit = "taskset"
    host.restore(before)  # the recording says that all took, as it would at a second try
    assert any("taskset" in command for command in transport.asked)
    assert ("rm", "-f", "--", "/run/viotune/lab/recorded/stock-bridge.json") in transport.asked


def test_a_process_that_is_another_by_now_is_never_controlled(recording: Recording) -> None:
    processes = {
        key: msgspec.structs.replace(process, start=process.start + 1)
        for key, process in recording.lab.processes.items()
    }
    lab = msgspec.structs.replace(recording.lab, processes=processes)
    host = LabHost(lab, Path("/run/viotune/lab/recorded"), RecordedTransport(recording.results))
    with pytest.raises(HostError, match="has ended: run: tuner lab down"):
        host.settings()


def test_a_snapshot_of_another_lab_is_refused(host: LabHost) -> None:
    with pytest.raises(InputError, match="not of lab"):
        host.restore(host.snapshot().replace(b"g1/0", b"g9/0"))
