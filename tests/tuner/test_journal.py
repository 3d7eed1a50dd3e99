"""The journal is the one durable truth about a host's tuning."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stumbling_host import FOUND, StumblingHost
from trying import LEAN, keep

from envs.errors import HostError
from envs.hosts.transport import LocalTransport
from tuner.journal import (
    JOURNAL,
    LARGEST,
    Applied,
    Applying,
    Begun,
    Confirmed,
    Event,
    Journal,
    Restored,
    RollingBack,
    copy_of,
    decode,
    essence,
    read_copy,
    standing,
)
from tuner.state import journal_of

BEGUN = Begun(snapshot="{}", found=FOUND)
CONFIRMED = Confirmed(settings=FOUND, snapshot="{}")
APPLYING = Applying(settings=FOUND)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(LocalTransport(), tmp_path / "state", tmp_path / "copy" / "journal.jsonl")


def test_a_rollback_that_was_cut_off_began_when_it_did() -> None:
    rolling = RollingBack(to=1, time="2026-02-03T00:00:00+00:00")
    pending = standing([BEGUN, CONFIRMED, rolling]).pending
    assert pending is not None
    assert pending.since == rolling.time != BEGUN.time
    assert pending.begun == BEGUN


def test_what_is_appended_is_read_back(journal: Journal) -> None:
    journal.append(BEGUN)
    journal.append(CONFIRMED)
    assert journal.events() == (BEGUN, CONFIRMED)


def test_a_copy_is_kept_here(journal: Journal, tmp_path: Path) -> None:
    journal.append(BEGUN)
    journal.close(Restored())
    theirs, ours = (tmp_path / where / "journal.jsonl" for where in ("state", "copy"))
    assert theirs.read_text() == ours.read_text()
    assert len(journal.events()) == 2


def test_a_copy_that_cannot_be_written_stops_nothing(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("no folder")
    journal.append(BEGUN)
    journal.close(Restored())
    assert len(journal.events()) == 2


def test_a_large_copy_moves_aside(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.journal.LARGE", 1)
    for _ in range(3):
        journal.append(BEGUN)
    copies = {path.name: path.read_text().count("\n") for path in (tmp_path / "copy").iterdir()}
    assert copies == {"journal.jsonl": 1, "journal.old.jsonl": 1}


def test_a_copy_that_a_full_disk_tore_is_read_and_goes_on(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy" / JOURNAL
    journal.append(BEGUN)
    with copy.open("a") as file:
        file.write('{"event":"beg')
    journal.append(BEGUN)
    assert read_copy(copy) == journal.events()
    monkeypatch.setattr("tuner.journal.LARGE", 1)
    journal.append(BEGUN)
    assert len(read_copy(copy)) == 3


def test_a_copy_is_not_written_through_a_link(journal: Journal, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / JOURNAL).symlink_to(other)
    journal.append(BEGUN)
    assert not other.exists()
    assert len(journal.events()) == 1


@pytest.mark.parametrize("uri", ["xen:", "qemu:///system", "kvm:"])
def test_a_host_that_is_this_machine_has_a_copy_that_outlives_a_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    host = StumblingHost(tmp_path / "run")
    host.uri = uri
    keep(host, LEAN)
    there = host.state_dir / JOURNAL
    assert copy_of(uri).read_text() == there.read_text() != ""


def test_a_lab_of_this_machine_has_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    keep(StumblingHost(tmp_path / "run"), LEAN)
    assert not (tmp_path / "here").exists()


def test_the_journal_of_a_host_that_cannot_be_described_is_read_all_the_same(
    tmp_path: Path,
) -> None:
    host = StumblingHost(tmp_path / "run")
    host.stumble = lambda _moment: True
    assert journal_of(host).events() == ()


def test_a_journal_that_does_not_exist_is_empty(journal: Journal) -> None:
    assert journal.events() == ()


def test_a_torn_last_line_never_happened(journal: Journal, tmp_path: Path) -> None:
    journal.append(BEGUN)
    with (tmp_path / "state" / "journal.jsonl").open("ab") as file:
        file.write(b'{"event":"confirmed","sett')
    assert journal.events() == (BEGUN,)
    journal.append(CONFIRMED)
    assert journal.events() == (BEGUN, CONFIRMED)


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(
    journal: Journal, tmp_path: Path
) -> None:
    journal.append(BEGUN)
    with (tmp_path / "state" / "journal.jsonl").open("ab") as file:
        file.write(b"rubbish\n")
    journal.append(CONFIRMED)
    with pytest.raises(HostError, match=r"journal\.jsonl, line 2"):
        journal.events()


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError):
        Journal(LocalTransport(), tmp_path / "file").append(BEGUN)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=40), max_size=5))
def test_rubbish_is_one_clear_line(lines: list[str]) -> None:
    if not lines:
        return
    with pytest.raises(HostError, match=r"the journal, line 1: damaged"):
        decode("".join(f"{line}\n" for line in lines), "the journal")


def test_a_journal_of_another_age_of_the_world_is_too_large() -> None:
    with pytest.raises(HostError, match="move it away"):
        decode("x" * (LARGEST + 1), "the journal")


@pytest.mark.parametrize(
    ("events", "pending", "generations"),
    [
        ([], False, 0),
        ([BEGUN], True, 0),
        ([BEGUN, Restored()], False, 0),
        ([BEGUN, CONFIRMED], False, 1),
        ([BEGUN, CONFIRMED, BEGUN, CONFIRMED], False, 2),
        ([BEGUN, CONFIRMED, BEGUN, Restored()], False, 1),
        ([BEGUN, CONFIRMED, RollingBack(to=1)], True, 0),
        ([BEGUN, CONFIRMED, RollingBack(to=1), Restored()], False, 0),
        ([*[BEGUN, CONFIRMED] * 3, RollingBack(to=2), Restored()], False, 1),
        ([CONFIRMED, Restored(), APPLYING], False, 0),
        ([BEGUN, CONFIRMED, RollingBack(to=7)], False, 1),
    ],
)
def test_where_the_host_stands(events: list[Event], pending: bool, generations: int) -> None:
    found = standing(events)
    assert (found.pending is not None) == pending
    assert len(found.generations) == generations


def test_a_setting_that_was_not_read_back_makes_us_unsure_of_what_is_ours() -> None:
    for events, sure, ours in (
        ([BEGUN], True, ()),
        ([BEGUN, APPLYING], False, ()),
        ([BEGUN, APPLYING, Applied(snapshot="1")], True, ("1",)),
        ([BEGUN, APPLYING, Applied(snapshot="1"), APPLYING], False, ("1",)),
        ([msgspec.structs.replace(BEGUN, lent=True)], False, ()),
    ):
        pending = standing(events).pending
        assert pending is not None
        assert (pending.sure, pending.ours) == (sure, ours)


def test_a_large_journal_moves_aside_and_a_rollback_still_leads_to_the_beginning(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        journal.append(Begun(snapshot=f"{number}", found=FOUND))
        journal.append(Confirmed(settings=FOUND, snapshot=f"{number + 1}"))
    before = journal.events()
    journal.tidy()
    assert journal.events() == before  # it is not large
    monkeypatch.setattr("tuner.journal.LARGE", 1000)
    journal.tidy()
    after = journal.standing().generations
    assert len(after) == 21
    assert (after[0].before.snapshot, after[0].after.snapshot) == ("0", "10")
    assert after[1:] == standing(before).generations[10:]
    assert (tmp_path / "state" / "journal.old.jsonl").read_text().count("\n") == 60


def test_what_is_pending_is_never_moved_aside(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(BEGUN)
    before = journal.standing()
    monkeypatch.setattr("tuner.journal.LARGE", 1)
    journal.tidy()
    assert journal.standing() == before


EVENTS = st.lists(
    st.sampled_from([BEGUN, CONFIRMED, APPLYING, Restored(), RollingBack(to=1)]), max_size=150
)


@given(EVENTS)
def test_the_essence_of_a_journal_says_the_same(events: list[Event]) -> None:
    found = standing(events)
    again = standing(essence(found))
    assert again.pending is None
    assert again.generations[-20:] == found.generations[-20:]
    assert [g.before for g in again.generations[:1]] == [g.before for g in found.generations[:1]]
