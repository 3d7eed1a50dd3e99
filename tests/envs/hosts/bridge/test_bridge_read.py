"""A bridge as found, out of what the host answered."""

import pytest
from bridges import LINKS, OPEN, answered

from envs.errors import HostError
from envs.hosts.bridge import watch
from envs.hosts.bridge.state import NETFILTER

MARKED = "sh\0-c\0the script\0viotune-watch:br0\0direct\0vif1/02:00:00:00:00:01/7200\0"


def test_a_bridge_is_read_with_its_ports_options_and_the_switches_of_netfilter() -> None:
    found = answered()
    assert (found.links["vif1"].txqlen, found.links["vif1"].master) == (32, "br0")
    assert found.state.options == {"mcast_snooping": 1, "nf_call_iptables": 0}
    assert found.state.ports == {"eth0": OPEN, "vif1": OPEN}
    assert found.state.netfilter == {NETFILTER[0]: "1"}
    assert found.obstacles == ()


@pytest.mark.parametrize("words", ["evil\0", "direct\0vif1\0", "lean\0vif1/02/$(reboot)\0"])
def test_a_process_that_only_calls_itself_a_watcher_is_none_of_ours(words: str) -> None:
    assert watch.watched("br0", MARKED) == ("direct", "vif1/02:00:00:00:00:01/7200")
    assert watch.watched("br0", f"sh\0viotune-watch:br0\0{words}") == ()


def test_a_bridge_that_is_gone_is_an_error() -> None:
    with pytest.raises(HostError, match="br0"):
        answered(links="[]")


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        ({"links": ""}, "ip link"),
        ({"fdb": ""}, "bridge fdb"),
        ({"mdb": "\n"}, "bridge mdb"),
        ({"qdiscs": ""}, "tc qdisc"),
        ({"filters": "vif1 \neth0 []\n"}, "tc filter"),
    ],
)
def test_no_answer_is_never_taken_for_an_empty_list(answer: dict[str, str], command: str) -> None:
    with pytest.raises(HostError, match=f"^{command} .* printed nothing"):
        answered(**answer)


def test_a_static_entry_is_state_and_a_learned_one_tells_who_is_behind_a_port() -> None:
    found = answered(
        fdb='[{"mac":"02:00:00:00:00:01","ifname":"vif1","vlan":1,"state":"static"},'
        '{"mac":"02:00:00:00:00:01","ifname":"vif1","state":"static"},'
        '{"mac":"02:00:00:00:00:09","ifname":"vif1","state":""},'
        '{"mac":"33:33:00:00:00:01","ifname":"vif1","flags":["self"],"state":"permanent"},'
        '{"mac":"fe:00:00:00:00:01","ifname":"vif1","state":"permanent"}]'
    )
    assert found.state.static == (("02:00:00:00:00:01", "vif1"),)
    assert found.others.learned == {"vif1": ("02:00:00:00:00:09",), "eth0": ()}


def test_a_watcher_is_known_by_what_it_was_started_with() -> None:
    assert answered(watch=MARKED).state.watch == ("direct", "vif1/02:00:00:00:00:01/7200")
    assert answered(watch=MARKED.replace("br0", "br1")).state.watch == ()
    assert answered().state.watch == ()


def test_what_a_mode_would_bypass_is_an_obstacle_unless_the_operator_says_otherwise() -> None:
    for had, has, told in (
        ('"vlan_filtering":0', '"vlan_filtering":1', "filters VLANs"),
        ('"isolated":false', '"isolated":true', "vif1 is isolated"),
        ('"locked":false', '"locked":true', "vif1 is isolated or locked"),
        ('"txqlen":32', '"xdp":{"mode":2,"prog":{"id":8}}', "vif1 runs an XDP program"),
    ):
        links = LINKS.replace(had, has)
        (obstacle,) = answered(links=links).obstacles
        assert told in obstacle
        assert answered(links=links, bypass_filters=True).obstacles == ()


def test_tc_filters_of_others_are_an_obstacle() -> None:
    police = '[{"protocol":"all","pref":1,"kind":"u32","options":{"actions":[{"kind":"police"}]}}]'
    (obstacle,) = answered(filters=f"vif1 {police}\neth0 []\n").obstacles
    assert obstacle == "port vif1 has tc filters of others"


def test_a_port_whose_filters_cannot_be_read_is_an_obstacle_whatever_the_operator_says() -> None:
    (obstacle,) = answered(filters="vif1 []\n", bypass_filters=True).obstacles
    assert "'eth0' cannot be read" in obstacle


def test_a_port_that_does_not_learn_is_an_obstacle_whatever_the_operator_says() -> None:
    links = LINKS.replace('"learning":true', '"learning":false', 1)
    (obstacle,) = answered(links=links, bypass_filters=True).obstacles
    assert "vif1 does not learn" in obstacle


def test_open_vswitch_is_recognised_and_left_as_it_is() -> None:
    links = LINKS.replace('"info_kind":"bridge","info_data":{', '"info_kind":"openvswitch","x":{')
    found = answered(links=links, bypass_filters=True)
    assert found.obstacles == ("br0 is no Linux bridge (openvswitch) and is left as it is",)
    assert found.state.ports == {}


def test_others_are_seen() -> None:
    quiet = answered().others
    assert (quiet.multicast, quiet.bridges, quiet.tagged, quiet.still) == (False, False, (), ())
    router = '[{"mdb":[],"router":{"br0":[{"port":"eth0"}]}}]'
    assert answered(mdb=router).others.multicast
    querier = LINKS.replace('"mcast_querier":0', '"mcast_querier":1')
    assert answered(links=querier).others.multicast
    second = LINKS[:-1] + ',{"ifname":"br1","linkinfo":{"info_kind":"bridge"}}]'
    assert answered(links=second).others.bridges
    vlan = LINKS[:-1] + ',{"ifname":"eth0.7","link":"eth0","linkinfo":{"info_kind":"vlan"}}]'
    assert answered(links=vlan).others.tagged == ("eth0",)
    blocked = LINKS.replace('"forwarding"', '"blocking"', 1)
    assert answered(links=blocked).others.still == ("vif1",)


def route(dev: str, gateway: str = "") -> str:
    hop = f'"gateway":"{gateway}",' if gateway else ""
    return f'[{{"dst":"192.0.2.9",{hop}"dev":"{dev}","prefsrc":"192.0.2.1"}}]'


def test_a_bridge_that_carries_our_own_connection_is_never_changed() -> None:
    found = answered(route=route("br0"), bypass_filters=True)
    assert found.obstacles == ("br0 carries our own connection to this host (through br0)",)
    assert answered(route=route("lo")).obstacles == ()
    assert answered(route=route("eth7")).obstacles == ()


def test_a_vlan_on_the_bridge_and_one_on_a_port_rest_on_it() -> None:
    for below in ("br0", "eth0"):
        links = LINKS[:-1] + f',{{"ifname":"mgmt","link":"{below}"}}]'
        (obstacle,) = answered(links=links, route=route("mgmt")).obstacles
        assert f"(through {below})" in obstacle


@pytest.mark.parametrize("gateway", ["", "192.0.2.254"])
def test_the_port_behind_which_the_next_hop_is_carries_it(gateway: str) -> None:
    hop = gateway or "192.0.2.9"
    found = answered(
        route=route("br0", gateway),
        neighbours=f'[{{"dst":"{hop}","dev":"br0","lladdr":"02:00:00:00:00:01"}}]',
        fdb='[{"mac":"02:00:00:00:00:01","ifname":"vif1"},{"mac":"02:00:00:00:00:02",'
        '"ifname":"eth0"}]',
    )
    assert found.ours == {"br0", "vif1"}


def test_a_bond_is_carried_by_its_members() -> None:
    links = '[{"ifname":"bond0","linkinfo":{"info_kind":"bond"}},' + LINKS[1:].replace(
        '"ifname":"br0"', '"master":"bond0","ifname":"br0"'
    )
    assert answered(links=links, route=route("bond0")).ours == {"bond0", "br0"}
