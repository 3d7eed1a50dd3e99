"""A bridge's modes as values, and the commands between them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from envs.host import BridgeMode
from envs.hosts import bridge, iproute
from envs.hosts.bridge import BridgeFound, BridgeState, Plug, PortFlags
from envs.hosts.bridge.state import NETFILTER, PRIORITY
from envs.hosts.transport import Result

PLUGS = (
    Plug(port="vif1", mac="02:00:00:00:00:01"),
    Plug(port="vif2", mac="02:00:00:00:00:02"),
    Plug(port="uplink", mac="02:00:00:00:ff:01", guest=False),
)
OPEN = PortFlags(learning=True, flood=True)
STOCK = BridgeState(
    options={"mcast_snooping": 1, "nf_call_iptables": 0},
    netfilter=dict.fromkeys(NETFILTER, "1"),
    ports=dict.fromkeys(("uplink", "vif1", "vif2"), OPEN),
)
LINKS = (
    '[{"ifname":"lo","txqlen":1000},{"ifname":"vif1","txqlen":32,"master":"br0","linkinfo":{'
    '"info_kind":"tun","info_data":{"type":"tap"},"info_slave_kind":"bridge","info_slave_data":{'
    '"state":"forwarding","learning":true,"flood":true,"isolated":false,"locked":false}}},'
    '{"ifname":"br0","txqlen":1000,"linkinfo":{"info_kind":"bridge","info_data":{'
    '"vlan_filtering":0,"mcast_snooping":1,"nf_call_iptables":0}}}]'
)
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

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
modes = st.sampled_from(["stock", "lean", "direct"])


def _found(links: str = LINKS, qdiscs: str = "[]", filters: str = "") -> BridgeFound:
    asked = bridge.questions("br0")
    netfilter = f"{NETFILTER[0]}\0001\n"
    said = (links, "[]", qdiscs, filters, netfilter)
    answers = [Result(argv=q, rc=0, out=out) for q, out in zip(asked, said, strict=True)]
    return bridge.found("br0", answers)


def test_a_bridge_is_read_with_its_ports_options_and_the_switches_of_netfilter() -> None:
    found = _found()
    assert (found.links["vif1"].txqlen, found.links["vif1"].master) == (32, "br0")
    assert found.state.options == {"mcast_snooping": 1, "nf_call_iptables": 0}
    assert found.state.ports == {"vif1": OPEN}
    assert found.state.netfilter == {NETFILTER[0]: "1"}
    assert found.obstacles == ()


def test_redirects_are_read_where_a_port_has_an_ingress_hook() -> None:
    state = _found(qdiscs='[{"kind":"ingress","dev":"vif1"}]', filters=f"vif1 {FILTERS}\n").state
    assert state.ingress == ("vif1",)
    assert [redirect.to for redirect in state.redirects] == ["vif2"]


def test_a_bridge_that_is_gone_is_an_error() -> None:
    with pytest.raises(HostError, match="br0"):
        _found(links="[]")


def test_something_that_is_no_list_of_links_is_an_error() -> None:
    with pytest.raises(HostError, match="unexpected"):
        iproute.links("Cannot open netlink socket")


def test_redirects_are_read_although_a_key_repeats() -> None:
    (found,) = iproute.redirects("vif1", FILTERS, PRIORITY)
    assert found.source == "02:00:00:00:00:01"
    assert found.target == "02:00:00:00:00:02"
    assert (found.port, found.to) == ("vif1", "vif2")


def test_filters_of_others_are_not_ours() -> None:
    assert iproute.redirects("vif1", FILTERS.replace("7200", "1"), PRIORITY) == ()
    assert iproute.redirects("vif1", "", PRIORITY) == ()


def test_a_stranger_s_filter_at_our_priority_is_an_error() -> None:
    with pytest.raises(HostError, match="is not ours"):
        iproute.redirects("vif1", FILTERS.replace('"off":-4', '"off":0'), PRIORITY)


def test_only_static_addresses_are_kept_and_only_once() -> None:
    shown = (
        '[{"mac":"02:00:00:00:00:01","ifname":"vif1","vlan":1,"master":"br0","state":"static"},'
        '{"mac":"02:00:00:00:00:01","ifname":"vif1","master":"br0","state":"static"},'
        '{"mac":"02:00:00:00:00:09","ifname":"vif1","master":"br0","state":""},'
        '{"mac":"fe:00:00:00:00:01","ifname":"vif1","master":"br0","state":"permanent"}]'
    )
    assert iproute.static_entries(shown) == (("02:00:00:00:00:01", "vif1"),)


def test_lean_quiets_the_guests_ports_and_knows_their_addresses() -> None:
    lean = bridge.in_mode("lean", STOCK, PLUGS)
    assert set(lean.options.values()) == {0}
    assert set(lean.netfilter.values()) == {"0"}
    assert lean.ports["vif1"] == PortFlags(learning=False, flood=False)
    assert lean.ports["uplink"] == OPEN
    assert lean.static == (("02:00:00:00:00:01", "vif1"), ("02:00:00:00:00:02", "vif2"))


def test_direct_redirects_only_from_a_port_s_own_address_to_another_s() -> None:
    direct = bridge.in_mode("direct", STOCK, PLUGS)
    behind = {plug.port: plug.mac for plug in PLUGS}
    assert len(direct.redirects) == 6
    for redirect in direct.redirects:
        assert redirect.source == behind[redirect.port]
        assert redirect.target == behind[redirect.to]
        assert redirect.port != redirect.to


def test_no_difference_needs_no_command() -> None:
    for mode in ("stock", "lean", "direct"):
        state = bridge.in_mode(mode, STOCK, PLUGS)
        assert bridge.commands("br0", state, state) == ()


def test_addresses_are_set_before_learning_ends_and_removed_after_it_begins() -> None:
    lean = bridge.in_mode("lean", STOCK, PLUGS)
    assert bridge.commands("br0", STOCK, lean)[0][:3] == ("bridge", "fdb", "replace")
    assert bridge.commands("br0", lean, STOCK)[-1][:3] == ("bridge", "fdb", "del")


def test_an_ingress_hook_that_was_there_before_stays() -> None:
    hooked = msgspec.structs.replace(STOCK, ingress=("vif1",))
    back = bridge.commands("br0", bridge.in_mode("direct", hooked, PLUGS), hooked)
    unhooked = {command[-1] for command in back if command[0] == "sh"}
    assert unhooked == {"vif2", "uplink"}


@given(port=names, other=names, mac=macs, far=macs, before=modes, after=modes)
def test_a_hostile_name_stays_one_argument_behind_its_keyword(
    port: str, other: str, mac: str, far: str, before: BridgeMode, after: BridgeMode
) -> None:
    plugs = (Plug(port=port, mac=mac), Plug(port=other, mac=far, guest=False))
    stock = msgspec.structs.replace(STOCK, ports={port: OPEN, other: OPEN})
    one, two = (bridge.in_mode(mode, stock, plugs) for mode in (before, after))
    for command in bridge.commands("br0", one, two):
        if command[0] != "sh":
            at = [number for number, word in enumerate(command) if word == "dev"]
            assert command[at[0] + 1] in {port, other, "br0"}


def test_what_a_mode_would_bypass_is_named() -> None:
    for had, has, told in (
        ('"vlan_filtering":0', '"vlan_filtering":1', "VLAN"),
        ('"isolated":false', '"isolated":true', "isolated"),
        ('"forwarding"', '"blocking"', "not forwarding"),
    ):
        (obstacle,) = _found(LINKS.replace(had, has)).obstacles
        assert told in obstacle
