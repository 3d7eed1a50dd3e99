"""Three snapshots merged: what is ours goes back as found, what is somebody else's stays."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from tuner.merge import changed, merge, missed, same

keys = st.sampled_from("abc")
tables = st.lists(st.lists(keys, min_size=2, max_size=2), max_size=3, unique_by=tuple).map(sorted)
cores = st.lists(st.integers(0, 2), min_size=1, max_size=2)
leaves = st.one_of(st.integers(0, 3), st.none(), cores, tables)
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


def test_a_table_that_we_have_half_changed_or_half_put_back_goes_back_whole() -> None:
    found, ours = {"static": [["a", "1"]]}, {"static": [["b", "1"], ["c", "2"]]}
    for half in ([["a", "1"], ["c", "2"]], [["b", "1"]], []):
        merged = merge(text(found), [text(found), text(ours)], text({"static": half}))
        assert same(merged.snapshot, text(found))
        assert merged.kept == ()


def test_in_a_table_each_entry_is_whose_it_is() -> None:
    found, ours = {"t": [{"at": 1}, {"at": 3}]}, {"t": [{"at": 1}, {"at": 3}, {"at": 4}]}
    now = {"t": [{"at": 1}, {"at": 2}, {"at": 4}]}
    merged = merge(text(found), [text(ours)], text(now))
    assert merged.snapshot == text({"t": [{"at": 1}, {"at": 2}]})
    assert merged.kept == ("t",)


def test_cores_are_one_part() -> None:
    found, ours, now = {"g1": [0, 1]}, {"g1": [0]}, {"g1": [1]}
    assert same(merge(text(found), [text(ours)], text(now)).snapshot, text(now))


def test_what_has_gone_or_come_without_us_is_left_gone_or_there() -> None:
    found, now = {"vif1": 1, "vif2": 2}, {"vif2": 3, "vif3": 5}
    merged = merge(text(found), [text({"vif1": 9, "vif2": 3})], text(now))
    assert same(merged.snapshot, text({"vif2": 2, "vif3": 5}))
    assert merged.kept == ("vif1", "vif3")


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
