"""Three snapshots merged: what is ours goes back as found, what is somebody else's stays."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from tuner.merge import changed, merge, missed, same

keys = st.sampled_from("abc")
leaves = st.one_of(st.integers(0, 3), st.none(), st.lists(st.integers(0, 2), max_size=2))
trees = st.dictionaries(keys, st.one_of(leaves, st.dictionaries(keys, leaves)))


def text(tree: object) -> bytes:
    return msgspec.json.encode(tree)


@given(trees, trees)
def test_what_we_have_set_goes_back_as_found(found: object, ours: object) -> None:
    merged = merge(text(found), [text(ours)], text(ours))
    assert same(merged.snapshot, text(found))
    assert merged.kept == ()


@given(trees, trees)
def test_a_host_as_found_stays_so(found: object, ours: object) -> None:
    assert merge(text(found), [text(ours)], text(found)).snapshot == text(found)


@given(trees, trees)
def test_without_anything_of_ours_all_stays(found: object, now: object) -> None:
    merged = merge(text(found), [], text(now))
    assert same(merged.snapshot, text(now))
    assert bool(merged.kept) == (found != now)


@given(trees, trees, trees)
def test_when_all_may_be_ours_all_goes_back(found: object, ours: object, now: object) -> None:
    merged = merge(text(found), [text(ours), text(now)], text(now))
    assert same(merged.snapshot, text(found))


def test_one_edit_among_our_changes_is_kept_and_named() -> None:
    found = {"queue": {"vif1": 32, "vif2": 32}, "bridge": {"snooping": 1}, "redirects": []}
    ours = {"queue": {"vif1": 99, "vif2": 99}, "bridge": {"snooping": 1}, "redirects": [1]}
    now = {"queue": {"vif1": 99, "vif2": 7}, "bridge": {"snooping": 0}, "redirects": [1]}
    merged = merge(text(found), [text(ours)], text(now))
    assert merged.kept == ("queue vif2", "bridge snooping")
    expected = {"queue": {"vif1": 32, "vif2": 7}, "bridge": {"snooping": 0}, "redirects": []}
    assert same(merged.snapshot, text(expected))


PINS, FILTERS = [["a", "1"], ["b", "2"]], [{"to": "1"}, {"to": "2"}]
STOCK, DIRECT = {"static": [], "redirects": []}, {"static": PINS, "redirects": FILTERS}


@pytest.mark.parametrize(("found", "ours"), [(STOCK, DIRECT), (DIRECT, STOCK)])
@given(data=st.data())
def test_tables_that_are_half_changed_or_half_put_back_go_back_whole(
    found: dict[str, list[object]], ours: dict[str, list[object]], data: st.DataObject
) -> None:
    half = {
        table: [entry for entry in DIRECT[table] if data.draw(st.booleans())] for table in DIRECT
    }
    merged = merge(text(found), [text(found), text(ours)], text(half))
    assert (merged.snapshot, merged.kept) == (text(found), ())


def test_a_table_with_an_entry_of_somebody_else_s_stays_and_so_do_those_beside_it() -> None:
    theirs = {"static": [["c", "3"]], "redirects": FILTERS[:1]}
    merged = merge(text(STOCK), [text(DIRECT)], text(theirs))
    assert (merged.snapshot, merged.kept) == (text(theirs), ("static", "redirects"))


def test_a_table_that_lacks_what_we_left_there_stays_and_so_do_those_beside_it() -> None:
    """Redirects must not come back without the static address that somebody has removed."""
    lean = {"static": PINS, "redirects": []}
    theirs = {"static": PINS[:1], "redirects": FILTERS[:1]}
    merged = merge(text(DIRECT), [text(DIRECT), text(lean)], text(theirs))
    assert (merged.snapshot, merged.kept) == (text(theirs), ("static", "redirects"))


def test_half_a_table_is_not_ours_where_that_is_ruled_out() -> None:
    half = {"static": PINS[:1], "redirects": []}
    assert merge(text(STOCK), [text(DIRECT)], text(half), halves=False).kept == ("static",)


def test_cores_are_one_value() -> None:
    found, ours, theirs = {"g1": [0, 1]}, {"g1": [2, 3]}, {"g1": [1, 2]}
    assert merge(text(found), [text(ours)], text(theirs)).kept == ("g1",)


def test_what_has_gone_or_come_without_us_is_left_gone_or_there() -> None:
    found, now = {"vif1": 1, "vif2": 2}, {"vif2": 3, "vif3": 5}
    merged = merge(text(found), [text({"vif1": 9, "vif2": 3})], text(now))
    assert same(merged.snapshot, text({"vif2": 2, "vif3": 5}))
    assert merged.kept == ("vif1 (gone)", "vif3 (new)")


def test_parts_are_named_without_the_word_that_they_are_there_now() -> None:
    found, now = {"now": {"weight": {"g1": 1}}, "kept": None}, {"now": {"weight": {"g1": 2}}}
    assert merge(text(found), [], text(now)).kept == ("weight g1", "kept (gone)")


def test_changed_names_the_parts_that_differ() -> None:
    assert changed(text({"a": {"b": 1}, "c": 2}), text({"a": {"b": 3}, "c": 2})) == ("a b",)


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_snapshot_is_one_clear_line(damaged: bytes) -> None:
    with pytest.raises(HostError, match="snapshot in the journal is damaged"):
        merge(damaged, [], b"{}")


def test_a_guest_that_is_gone_or_new_is_nothing_that_was_missed() -> None:
    expected = text({"pins": {"g1": "0", "g2": "1"}, "mode": "stock"})
    assert missed(expected, text({"pins": {"g1": "0", "g3": "2"}, "mode": "stock"})) == ()
    assert missed(expected, text({"pins": {"g1": "1"}, "mode": "stock"})) == ("pins g1",)
