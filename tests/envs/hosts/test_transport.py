"""One seam: commands as lists, here or from a recording."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.errors import CommandFailed
from envs.hosts.transport import (
    NOT_FOUND,
    LocalTransport,
    RecordedTransport,
    RecordingTransport,
    Result,
    output,
    read_files,
    reading,
    replace_file,
    write_file,
)

HOSTILE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


quick = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)


@pytest.fixture
def local() -> LocalTransport:
    return LocalTransport()


def test_a_command_gives_what_it_printed_and_its_return_code(local: LocalTransport) -> None:
    result = local.run(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=b"given")
    assert (result.rc, result.out, result.err) == (3, "given", "oops\n")


def test_a_command_that_is_not_installed_is_a_result_like_a_shell_s(local: LocalTransport) -> None:
    assert local.run(["no-such-program"]).rc == NOT_FOUND


def test_a_command_that_takes_too_long_fails_and_is_ended(local: LocalTransport) -> None:
    with pytest.raises(CommandFailed, match="longer than"):
        local.run([sys.executable, "-c", "import signal; signal.pause()"], timeout=0.2)


def test_what_takes_too_long_ends_with_all_that_it_has_begun(
    local: LocalTransport, tmp_path: Path
) -> None:
    """Else it would go on changing a host that is being put back."""
    path = tmp_path / "pid"
    script = 'sh -c \'echo $$ >"$0.new"; mv "$0.new" "$0"; exec tail -f /dev/null\' "$0"; true'
    with pytest.raises(CommandFailed, match="longer than"):
        local.run(["sh", "-c", script, str(path)], timeout=5)
    stat = Path(f"/proc/{path.read_text().strip()}/stat")
    with suppress(OSError):  # it has been waited for as well
        while ") Z " not in stat.read_text():
            time.sleep(0.01)


def test_a_signal_to_the_group_of_the_tuner_does_not_reach_a_command(local: LocalTransport) -> None:
    group = output(local, [sys.executable, "-c", "import os; print(os.getpgrp())"])
    assert int(group) != os.getpgrp()


def test_a_command_that_must_succeed_fails_with_its_own_complaint(local: LocalTransport) -> None:
    with pytest.raises(CommandFailed, match=r"no luck \(return code 9\)"):
        output(local, ["sh", "-c", "echo no luck >&2; exit 9"])


@quick
@given(argument=HOSTILE)
def test_an_argument_stays_one_argument(local: LocalTransport, argument: str) -> None:
    assert output(local, ["printf", "%s|", argument, "end"]).encode() == f"{argument}|end|".encode()


@quick
@given(text=HOSTILE)
def test_a_file_is_written_as_given(local: LocalTransport, tmp_path: Path, text: str) -> None:
    for write in (write_file, replace_file):
        path = tmp_path / "it's $(a) file"
        output(local, write(str(path), text))
        assert path.read_bytes() == text.encode() + b"\n"
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_several_files_are_read_in_one_command(local: LocalTransport, tmp_path: Path) -> None:
    one, two, absent = (str(tmp_path / name) for name in ("a", "a:b", "none"))
    Path(one).write_text("b:c\n\nd\n")
    Path(two).write_text("e: f\n")
    recording = RecordingTransport(local)
    assert read_files(recording, [one, two, absent]) == {one: "b:c\n\nd\n", two: "e: f\n"}
    assert len(recording.results) == 1


def test_reading_no_files_runs_nothing() -> None:
    assert read_files(RecordedTransport([]), []) == {}


def test_a_file_that_must_be_there_and_was_not_told_is_an_error() -> None:
    nothing = RecordedTransport([Result(reading(["/b"]), 1)])
    texts = read_files(nothing, ["/b"])
    assert texts.get("/b") is None
    with pytest.raises(CommandFailed, match="cannot read /b: it is absent or empty, or was not"):
        texts["/b"]
    silent = RecordedTransport([Result(reading(["/b"]), 0)])
    with pytest.raises(CommandFailed, match="-- /b: found something but printed nothing"):
        read_files(silent, ["/b"])


def test_reading_through_a_prefix_that_fails_is_an_error(local: LocalTransport) -> None:
    with pytest.raises(CommandFailed, match="cannot read"):
        read_files(local, ["/proc/version"], prefix=["no-such-program"])


def test_a_recording_gives_the_results_of_a_command_in_order_and_keeps_the_last() -> None:
    results = [Result(argv=("date",), rc=0, out=text) for text in ("one", "two")]
    recorded = RecordedTransport(results)
    assert [recorded.run(["date"]).out for _ in range(3)] == ["one", "two", "two"]
    assert recorded.asked == [("date",)] * 3


def test_what_was_not_recorded_cannot_be_run() -> None:
    with pytest.raises(CommandFailed, match="not in the recording"):
        RecordedTransport([]).run(["rm", "-rf", "/"])


def test_commands_that_travel_together_each_have_their_own_result(local: LocalTransport) -> None:
    fails = ["sh", "-c", "echo no >&2; exit 3"]
    results = local.run_all([["echo", "one"], fails, ["no-such-program"], ["echo", "two"]])
    assert [r.rc for r in results] == [0, 3, NOT_FOUND, 0]
    assert [r.out for r in results] == ["one\n", "", "", "two\n"]
    assert results[1].err == "no\n"


def test_commands_that_travel_together_have_one_time_limit(local: LocalTransport) -> None:
    naps = [[sys.executable, "-c", "import signal; signal.pause()"]] * 2
    with pytest.raises(CommandFailed, match="longer than"):
        local.run_all(naps, timeout=0.2)


def test_a_recording_of_commands_that_travelled_together_replays_as_one_trip(
    local: LocalTransport,
) -> None:
    recording = RecordingTransport(local)
    commands = [["echo", "one"], ["echo", "two"]]
    results = recording.run_all(commands)
    recorded = RecordedTransport(recording.results)
    assert recorded.run_all(commands) == results
    assert recording.trips == recorded.trips == 1
