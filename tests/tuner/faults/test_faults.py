"""One fault of every kind, at a step of a transaction: the host is as it must be, and says why."""

import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from fault_table import table
from faulty import Course, Faulty, hang, once_done, refuse
from kinds import kinds
from lab_subject import LabSubject
from looks import Look, how_soon
from msgspec.structs import replace
from row import Row
from throw import Target, throw_at
from traffic import Traffic, longest

from envs.errors import CommandFailed
from envs.hosts.transport import LocalTransport

KINDS = (
    "tuner SIGKILL",
    "tuner SIGTERM",
    "tuner SIGINT",
    "tuner hangs 25 s",
    "command refused",
    "command ignored",
    "command takes 30 s",
    "connection cut",
    "port blocked",
    "second tuner",
    "watchdog killed",
    "disk full",
    "edit by hand",
    "guest destroyed",
    "vif removed",
    "tuner SIGKILL once done",
    "connection cut once done",
    "command refused once done",
)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    subject = LabSubject(9)
    subject.slack = 30.0  # whether a busy machine is quick is not what is tested
    try:
        yield Target(subject)
    finally:
        subject.down()


def thrown(target: Target, kind: str, play: str, step: str) -> Row:
    """Throw a fault in the middle of a step."""
    calls = [at for at, name in enumerate(target.calls[play]) if name == step]
    return throw_at(target, kind, play, calls[len(calls) // 2])


@pytest.mark.lab
@pytest.mark.ssh
def test_every_kind_of_fault_is_thrown_here(target: Target) -> None:
    assert kinds(target.subject) == KINDS


@pytest.mark.lab
@pytest.mark.ssh
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_goes_wrong_the_host_is_as_found_or_as_confirmed(
    target: Target, kind: str
) -> None:
    row = thrown(target, kind, "keep", "apply")
    assert row.step == "apply", row
    assert not replace(row, back=0.0, took=0.0, stood_still=0.0).failed, row  # a machine's speed


@pytest.mark.lab
@pytest.mark.parametrize(("play", "step"), [("give up", "undo"), ("go back", "roll back")])
def test_a_tuner_killed_on_the_way_back_is_no_obstacle(
    target: Target, play: str, step: str
) -> None:
    row = thrown(target, "tuner SIGKILL", play, step)
    assert (row.outcome, row.status, row.left) == ("as found", "reverted", "")


@pytest.mark.lab
def test_a_change_that_was_held_and_is_confirmed_by_a_person_who_was_killed_goes_back(
    target: Target,
) -> None:
    target.rehearse("hold", "go back")
    row = thrown(target, "tuner SIGKILL", "hold", "confirm by hand")
    assert (row.outcome, row.status, row.left) == ("as found", "reverted", "")


FINE = Row(
    number=1,
    host="lab:faults0",
    fault="tuner SIGKILL",
    play="keep",
    step="apply",
    call=1,
    outcome="as found",
    back=23.9,
    took=60.0,
    stood_still=0.9,
    load=1.0,
    exit_code=-9,
    error="",
    status="reverted",
    summary="",
    left="",
)
DONE = replace(
    FINE, fault="command ignored", outcome="as confirmed", exit_code=0, status="confirmed"
)
FAILING = replace(FINE, fault="command refused", exit_code=4, error="HostError", status="untouched")
BACK_AGAIN = replace(DONE, play="go back", outcome="as found", status="untouched")
EDITED = replace(DONE, fault="edit by hand")
TOLD = replace(FAILING, fault="edit by hand", error="NotApplied: tx_queue of 'vif2' …, it is '777'")
LOST = replace(
    FINE,
    fault="vif removed",
    exit_code=4,
    error="HostError: the host could not be put back (…)",
    status="unreadable",
    summary="cannot be read: …; by the journal: the tuner that began … fell silent; the host …",
)


@pytest.mark.parametrize(
    "row",
    [
        replace(FINE, back=24.1),
        replace(FINE, back=inf),
        replace(FINE, took=90.1),  # as of a tuner that takes no notice of a signal
        replace(FINE, stood_still=1.1),
        replace(FINE, stood_still=inf),
        replace(FINE, outcome="NOT BACK"),
        replace(FINE, step="never thrown", outcome="NOT BACK"),
        replace(FINE, left="a lock"),
        replace(FINE, error="crashed: KeyError"),
        replace(FINE, status="confirmed"),
        replace(FINE, status="interrupted"),
        replace(FINE, status="untouched"),  # with a transaction begun that nobody could end
        replace(FINE, status="reverting"),
        replace(FINE, status="unreadable"),
        replace(FINE, step="recover"),  # which is before there is anything to put back
        replace(FINE, outcome="as confirmed"),
        replace(FINE, outcome="as confirmed", status="interrupted"),
        replace(FINE, play="go back", status="interrupted"),
        replace(FAILING, status="reverted"),
        replace(FAILING, exit_code=0),  # it says that it has kept what is not there
        replace(DONE, play="go back"),
        replace(DONE, play="give up"),
        replace(DONE, status="changed"),
        replace(BACK_AGAIN, status="reverted"),
        replace(EDITED, outcome="as confirmed; edit kept"),
        replace(EDITED, outcome="as confirmed; edit undone"),
        replace(TOLD, outcome="as found; edit undone", step="measure"),
        replace(TOLD, outcome="as found; edit undone", error="HostError"),
        replace(LOST, fault="disk full"),
        replace(LOST, host="lab:kvm"),
        replace(LOST, summary="cannot be read: …; by the journal: as confirmed …"),
        replace(LOST, summary="cannot be read: …"),
    ],
)
def test_what_is_not_as_it_must_be_has_failed(row: Row) -> None:
    assert row.failed
    assert "or beyond a limit: 1\n" in table([FINE, row])


@pytest.mark.parametrize(
    "row",
    [
        FINE,
        DONE,
        FAILING,
        BACK_AGAIN,
        LOST,
        replace(FINE, host="lab:kvm", back=49.0),
        replace(FINE, step="undo", play="give up", status="untouched"),
        replace(FINE, step="recover", status="untouched"),
        replace(FAILING, error="HostError: the host could not be put back (…)", status="reverted"),
        replace(BACK_AGAIN, exit_code=4, step="roll back", status="reverted"),
        replace(EDITED, outcome="as confirmed; edit kept", status="changed"),
        replace(EDITED, outcome="as confirmed; edit undone unseen"),
        replace(TOLD, outcome="as found; edit undone"),
        replace(DONE, play="go back", exit_code=4, step="roll back", status="interrupted"),
        replace(LOST, play="hold", summary="cannot be read: …; by the journal: nobody confirmed …"),
        replace(LOST, step="recover", summary="cannot be read: …; by the journal: as found: no …"),
    ],
)
def test_what_is_as_it_must_be_has_not_failed(row: Row) -> None:
    assert not row.failed


def test_hosts_have_rows_of_their_own_and_faults_never_thrown_none_unless_they_failed() -> None:
    never = replace(DONE, step="never thrown")
    kvm = replace(FINE, host="lab:kvm", back=45.0)
    printed = table([FINE, never, kvm, replace(never, left="a lock")])
    assert "| lab:faults | 2 | 1 | 23.9 |" in printed
    assert "| lab:kvm | tuner SIGKILL | apply | 1 |" in printed


BACK, AWAY = "as found", "NOT BACK"


@pytest.mark.parametrize(
    ("looks", "silence", "seconds"),
    [
        ([], 0.0, inf),
        ([(11.0, BACK), (40.0, BACK)], 0.0, 0.0),  # before the tuner had ended
        ([(11.0, AWAY), (31.0, AWAY), (33.0, BACK)], 0.0, 3.0),
        ([(11.0, AWAY), (29.0, BACK), (31.0, BACK)], 25.0, 19.0),  # by itself
        ([(11.0, BACK), (36.0, AWAY), (38.0, BACK)], 25.0, 8.0),  # changed again, after the silence
        ([(11.0, AWAY), (34.0, AWAY), (36.0, BACK)], 25.0, inf),  # not in all of the silence
        ([(36.0, BACK)], 25.0, inf),  # nobody looked
        ([(31.0, BACK), (33.0, AWAY)], 0.0, inf),
        ([(11.0, BACK), (15.0, AWAY), (18.0, BACK)], inf, 8.0),
    ],
)
def test_how_soon_a_host_was_as_it_must_be(
    looks: list[tuple[float, str]], silence: float, seconds: float
) -> None:
    """A fault at 10 s, the tuner's end at 30 s."""
    seen = [Look(at, at + 0.5, outcome) for at, outcome in looks]
    assert how_soon(seen, 10.0, silence, 30.0) == seconds


@pytest.mark.parametrize(
    ("counts", "lasted", "seconds"),
    [
        ("", 1.0, inf),  # nothing was counted
        ("1.0 a:1 b:1\n2.0 a:2 b:2\n", 1.0, 1.0),
        ("1.0 a:1 b:1\n2.0 a:2 b:2\n", 4.0, 3.0),  # not to the end
        ("1.0 a:1 b:1\n2.0 a:2 b:1\n3.0 a:3 b:1\n4.0 a:4 b:2\n", 3.0, 3.0),
        ("1.0 a:1 b:1\n2.0 a:2 b:2\n9.0 a:3 b:3\n", 8.0, 7.0),  # nobody looked meanwhile
        ("1.0 a:1 b:1\n2.0 a:2\n9.0 a:3 b:2\n", 8.0, 8.0),  # away meanwhile
        ("1.0 a:1 b:1\n9.0 a:2 b:1\n", 8.0, inf),  # nothing has gone to it
        ("1.0 a:1 b:1 c:1\n2.0 a:2 b:2 c:1\n", 1.0, 1.0),  # not asked for
        ("1.0 a:1 b:1\n2.0 a:2 b:2\n9.0 a", 1.0, 1.0),  # cut off
    ],
)
def test_how_long_a_vif_carried_nothing(counts: str, lasted: float, seconds: float) -> None:
    assert longest(counts, ("a", "b"), lasted) == seconds


def test_traffic_whose_counts_have_ended_stood_still_for_ever(tmp_path: Path) -> None:
    with Traffic(tmp_path, vifs=(), inside=lambda _argv: ("true",)) as traffic:
        time.sleep(0.5)
        assert traffic.stood_still(()) == inf


def test_a_fault_once_a_command_is_done_loses_its_reply_alone(tmp_path: Path) -> None:
    course = Course(1, once_done(refuse))
    faulty = Faulty(LocalTransport(), course, together=False)
    for name in "abc":
        faulty.run(("touch", str(tmp_path / name)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    with pytest.raises(CommandFailed, match="before the reply came"):
        Faulty(LocalTransport(), Course(0, once_done(hang(0.0))), together=False).run(("true",))


def test_it_is_told_that_the_trace_of_a_fault_was_read() -> None:
    said: list[str] = []
    faulty = Faulty(LocalTransport(), Course(1, hang(0.0), said.append, "777"), together=False)
    for word in ("777", "1", "777", "777"):
        faulty.run(("echo", word))
    assert [line.split()[0] for line in said] == ["thrown", "seen"]
