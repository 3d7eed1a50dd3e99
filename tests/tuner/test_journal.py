"""The journal is the one durable truth about a host's tuning."""

from pathlib import Path

import pytest
from stumbling_host import FOUND

from envs.errors import HostError
from tuner.journal import (
    Begun,
    Confirmed,
    Event,
    Journal,
    Restored,
    RollingBack,
    standing,
)

BEGUN = Begun(snapshot="{}", found=FOUND)
CONFIRMED = Confirmed(settings=FOUND)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_what_is_appended_is_read_back(journal: Journal) -> None:
    journal.append(BEGUN)
    journal.append(CONFIRMED)
    assert journal.events() == (BEGUN, CONFIRMED)


def test_a_journal_that_does_not_exist_is_empty(journal: Journal) -> None:
    assert journal.events() == ()


def test_a_torn_last_line_never_happened_and_the_next_line_is_whole(journal: Journal) -> None:
    journal.append(BEGUN)
    with journal.path.open("ab") as file:
        file.write(b'{"event":"confirmed","sett')
    assert journal.events() == (BEGUN,)
    journal.append(CONFIRMED)
    assert journal.events() == (BEGUN, CONFIRMED)


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(journal: Journal) -> None:
    journal.append(BEGUN)
    with journal.path.open("ab") as file:
        file.write(b"rubbish\n")
    journal.append(CONFIRMED)
    with pytest.raises(HostError, match=r"journal\.jsonl, line 2"):
        journal.events()


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write"):
        Journal(tmp_path / "absent" / "journal.jsonl").append(BEGUN)


@pytest.mark.parametrize(
    ("events", "pending", "generations"),
    [
        ([], False, 0),
        ([BEGUN], True, 0),
        ([BEGUN, Restored()], False, 0),
        ([BEGUN, CONFIRMED], False, 1),
        ([BEGUN, CONFIRMED, BEGUN, CONFIRMED], False, 2),
        ([BEGUN, CONFIRMED, BEGUN, Restored()], False, 1),
        ([BEGUN, CONFIRMED, RollingBack()], True, 0),
        ([BEGUN, CONFIRMED, RollingBack(), Restored()], False, 0),
    ],
)
def test_where_the_host_stands(events: list[Event], pending: bool, generations: int) -> None:
    found = standing(events)
    assert (found.pending is not None) == pending
    assert len(found.generations) == generations
