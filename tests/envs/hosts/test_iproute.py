"""What ip, bridge and tc print, as values."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from envs.hosts import iproute

OURS = range(7200, 7210)
FILTERS = (  # printed by tc of iproute2 6.1; u32 repeats the key "match"
    '[{"protocol":"all","pref":7200,"kind":"u32","chain":0},{"protocol":"all","pref":7200,'
    '"kind":"u32","chain":0,"options":{"fh":"801:","ht_divisor":1}},{"protocol":"all","pref":7200,'
    '"kind":"u32","chain":0,"options":{"fh":"801::800","order":2048,"key_ht":"801","bkt":"0",'
    '"not_in_hw":true,"match":{"value":"200","mask":"ffff","offmask":"","off":-16},'
    '"match":{"value":"2","mask":"ffffffff","offmask":"","off":-12},'
    '"match":{"value":"2000000","mask":"ffffffff","offmask":"","off":-8},'
    '"match":{"value":"10000","mask":"ffff0000","offmask":"","off":-4},"actions":[{"order":1,'
    '"kind":"mirred","mirred_action":"redirect","direction":"egress","to_dev":"vif2",'
    '"control_action":{"type":"stolen"},"index":1,"ref":1,"bind":1}]}}]'
)


def test_redirects_are_read_although_a_key_repeats() -> None:
    found = iproute.filters("vif1", FILTERS, OURS)
    (redirect,) = found.redirects
    assert redirect.source == "02:00:00:00:00:01"
    assert redirect.target == "02:00:00:00:00:02"
    assert (redirect.port, redirect.to, redirect.preference) == ("vif1", "vif2", 7200)
    assert found.others == 0


@pytest.mark.parametrize(
    ("had", "has"),
    [
        ("7200", "1"),  # at another preference
        ('"off":-4', '"off":0'),  # another match at ours
        ('"mirred"', '"police"'),  # a rate limit that drops
        ('"redirect"', '"mirror"'),
        ('"egress"', '"ingress"'),
        ('"to_dev"', '"dev"'),
    ],
)
def test_whatever_is_not_a_redirect_of_ours_is_of_others(had: str, has: str) -> None:
    found = iproute.filters("vif1", FILTERS.replace(had, has), OURS)
    assert (found.redirects, found.others) == ((), 1)


def test_filters_of_a_kind_we_do_not_know_are_of_others() -> None:
    shown = (  # as tc prints a BPF program
        '[{"protocol":"all","pref":49152,"kind":"bpf","chain":0},{"protocol":"all","pref":49152,'
        '"kind":"bpf","chain":0,"options":{"handle":"0x1","bpf_name":"x","direct-action":true}}]'
    )
    assert iproute.filters("vif1", shown, OURS).others == 1


def test_a_port_without_filters_has_none() -> None:
    assert iproute.filters("vif1", "[]", OURS) == iproute.Filters()


@given(st.text() | st.sampled_from(["0", "{}", '{"a":1}', "null", "[1]", '["x"]', "[[]]"]))
def test_whatever_is_printed_is_an_answer_or_a_clear_error(shown: str) -> None:
    with suppress(HostError):
        assert iproute.filters("vif1", shown, OURS).redirects == ()


@given(cut=st.integers(0, len(FILTERS) - 1))
def test_a_list_that_breaks_off_is_an_error(cut: int) -> None:
    if cut:
        with pytest.raises(HostError, match="unexpected"):
            iproute.filters("vif1", FILTERS[:cut], OURS)


def test_something_that_is_no_list_of_links_is_an_error() -> None:
    with pytest.raises(HostError, match="unexpected"):
        iproute.links("Cannot open netlink socket")


def test_entries_of_the_interface_itself_are_not_the_bridge_s() -> None:
    shown = (
        '[{"mac":"02:00:00:00:00:01","ifname":"vif1","master":"br0","flags":[],"state":"static"},'
        '{"mac":"33:33:00:00:00:01","ifname":"vif1","flags":["self"],"state":"permanent"},'
        '{"mac":"02:00:00:00:00:09","ifname":"vif1","master":"br0","flags":[],"state":""}]'
    )
    assert [(entry.mac, entry.state) for entry in iproute.entries(shown)] == [
        ("02:00:00:00:00:01", "static"),
        ("02:00:00:00:00:09", ""),
    ]


def test_a_multicast_router_is_seen() -> None:
    assert not iproute.has_multicast_router('[{"mdb":[],"router":{}}]')
    assert iproute.has_multicast_router('[{"mdb":[],"router":{"br0":[{"port":"vif1"}]}}]')
