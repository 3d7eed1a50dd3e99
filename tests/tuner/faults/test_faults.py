"""One fault of every kind, at a step of a transaction: the host is as it must be, and says why."""

from collections.abc import Iterator

import pytest
from kinds import kinds
from lab_subject import LabSubject
from throw import Row, Target, throw_at
from traffic import longest

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
    assert not row.failed, row


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


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        ("", 0.0),
        ("1.0 a:1 b:1\n2.0 a:2 b:2\n", 0.0),
        ("1.0 a:1\n2.0 a:1\n3.0 a:1\n4.0 a:2\n", 2.0),
        ("1.0 a:0\n9.0 a:0\n", 0.0),  # nothing has gone to it yet
        ("1.0 a:1 c:1\n9.0 a:2 c:1\n", 0.0),  # not asked for
        ("1.0 a:1 b:1\n2.0 a:2\n9.0 a:3 b:2\n", 0.0),  # away meanwhile
        ("1.0 a:1\n9.0 a", 0.0),  # cut off
    ],
)
def test_how_long_a_vif_carried_nothing(counts: str, seconds: float) -> None:
    assert longest(counts, {"a", "b"}) == seconds
