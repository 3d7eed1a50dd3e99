"""A bridge's modes as values, and the commands between them."""

import msgspec
from bridges import OPEN, PLUGS, STOCK
from hypothesis import given
from hypothesis import strategies as st

from envs.host import BridgeMode
from envs.hosts import bridge
from envs.hosts.bridge import BridgeState, Others, Plug, PortFlags
from envs.hosts.bridge.state import NO_OTHERS

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
modes = st.sampled_from(["stock", "lean", "direct"])
QUIET = PortFlags(learning=True, flood=False)


def lean(others: Others = NO_OTHERS) -> BridgeState:
    return bridge.in_mode("lean", STOCK, PLUGS, others)


def direct(others: Others = NO_OTHERS) -> BridgeState:
    return bridge.in_mode("direct", STOCK, PLUGS, others)


def test_lean_quiets_the_guests_ports_and_pins_their_addresses() -> None:
    state = lean()
    assert set(state.options.values()) == {0}
    assert set(state.netfilter.values()) == {"0"}
    assert state.ports == {"vif1": QUIET, "vif2": QUIET, "uplink": OPEN}
    assert state.static == (("02:00:00:00:00:01", "vif1"), ("02:00:00:00:00:02", "vif2"))
    assert state.watch == ("lean", "vif1/02:00:00:00:00:01/0", "vif2/02:00:00:00:00:02/0")


def test_a_port_behind_which_something_else_was_seen_stays_flooded() -> None:
    state = lean(Others(learned={"vif1": ("02:00:00:00:00:99",), "vif2": ("02:00:00:00:00:02",)}))
    assert state.ports == {"vif1": OPEN, "vif2": QUIET, "uplink": OPEN}


def test_snooping_stays_for_a_multicast_router_and_netfilter_for_other_bridges() -> None:
    state = lean(Others(multicast=True, bridges=True))
    assert state.options == {"mcast_snooping": 1, "nf_call_iptables": 0}
    assert state.netfilter == STOCK.netfilter


def test_direct_redirects_only_from_a_port_s_own_address_to_another_s() -> None:
    behind = {plug.port: plug.mac for plug in PLUGS}
    redirects = direct().redirects
    assert len(redirects) == 6
    for redirect in redirects:
        assert redirect.source == behind[redirect.port]
        assert redirect.target == behind[redirect.to]
        assert redirect.port != redirect.to


def test_a_preference_leads_to_one_address_so_that_it_can_be_forgotten_alone() -> None:
    state = direct()
    leads = {redirect.preference: redirect.target for redirect in state.redirects}
    assert sorted(leads.values()) == sorted(plug.mac for plug in PLUGS)
    assert set(state.watch[1:]) == {
        f"{plug.port}/{plug.mac}/{preference}"
        for plug in PLUGS
        for preference, target in leads.items()
        if target == plug.mac
    }


def test_nothing_is_redirected_from_a_port_that_vlan_interfaces_share() -> None:
    redirects = direct(Others(tagged=("uplink",))).redirects
    assert {redirect.port for redirect in redirects} == {"vif1", "vif2"}
    assert "uplink" in {redirect.to for redirect in redirects}


def test_a_port_that_does_not_forward_takes_no_part() -> None:
    state = direct(Others(still=("vif2",)))
    assert {redirect.port for redirect in state.redirects} == {"vif1", "uplink"}
    assert lean(Others(still=("vif2",))).ports["vif2"] == OPEN


def test_an_address_that_two_ports_claim_or_that_is_a_group_s_is_not_relied_on() -> None:
    twice = Plug(port="vif2", mac="02:00:00:00:00:01")
    group = Plug(port="vif2", mac="01:00:5e:00:00:01")
    for odd in (twice, group):
        state = bridge.in_mode("direct", STOCK, (PLUGS[0], PLUGS[2], odd))
        assert odd.mac not in {redirect.target for redirect in state.redirects if odd != twice}
        assert odd.mac not in dict(state.static)


def test_a_mode_is_what_its_watcher_guards() -> None:
    for mode in ("stock", "lean", "direct"):
        state = bridge.in_mode(mode, STOCK, PLUGS)
        assert bridge.mode_of(STOCK, state, PLUGS) == mode
        unwatched = msgspec.structs.replace(state, watch=())
        assert bridge.mode_of(STOCK, unwatched, PLUGS) == "stock"
        assert bridge.mode_of(None, state, PLUGS) == "stock"


def test_what_the_watcher_took_back_for_one_guest_leaves_the_others_their_mode() -> None:
    less = [r for r in direct().redirects if "vif2" not in (r.port, r.to)]
    left = msgspec.structs.replace(direct(), redirects=tuple(less))
    assert bridge.mode_of(STOCK, left, PLUGS) == "direct"
    none = msgspec.structs.replace(direct(), redirects=())
    assert bridge.mode_of(STOCK, none, PLUGS) == "stock"
    flooded = msgspec.structs.replace(lean(), ports={**lean().ports, "vif2": OPEN})
    assert bridge.mode_of(STOCK, flooded, PLUGS) == "lean"


def test_netfilter_that_a_person_calls_again_ends_lean() -> None:
    called = msgspec.structs.replace(lean(), options={**lean().options, "nf_call_iptables": 1})
    assert bridge.mode_of(STOCK, called, PLUGS) == "stock"


def test_no_difference_needs_no_command() -> None:
    for mode in ("stock", "lean", "direct"):
        state = bridge.in_mode(mode, STOCK, PLUGS)
        assert bridge.commands("br0", state, state) == ()


def kinds(commands: tuple[tuple[str, ...], ...]) -> list[str]:
    """What each command does, in a word."""
    words = []
    for command in commands:
        text = " ".join(command)
        known = ("setsid", "kill", "fdb replace", "fdb del", "filter add", "filter del", "slave")
        words.append(next((word for word in known if word in text), "other"))
    return list(dict.fromkeys(words))


def test_nothing_is_relied_on_before_it_is_pinned_and_watched_nor_after() -> None:
    assert kinds(bridge.commands("br0", STOCK, lean())) == [
        "fdb replace",
        "setsid",
        "slave",
        "other",
    ]
    assert kinds(bridge.commands("br0", lean(), STOCK)) == ["slave", "other", "kill", "fdb del"]
    there = kinds(bridge.commands("br0", STOCK, direct()))
    assert there == ["fdb replace", "setsid", "other", "filter add"]
    back = kinds(bridge.commands("br0", direct(), STOCK))
    assert back == ["filter del", "other", "kill", "fdb del"]


def test_a_port_that_has_gone_since_is_passed_over() -> None:
    gone = {name: flags for name, flags in lean().ports.items() if name != "vif2"}
    static = tuple(entry for entry in lean().static if entry[1] != "vif2")
    now = msgspec.structs.replace(lean(), ports=gone, static=static)
    for target in (STOCK, direct()):
        assert not any("vif2" in command for command in bridge.commands("br0", now, target))


def test_an_ingress_hook_that_was_there_before_stays() -> None:
    hooked = msgspec.structs.replace(STOCK, ingress=("vif1",))
    back = bridge.commands("br0", bridge.in_mode("direct", hooked, PLUGS), hooked)
    unhooked = {command[-1] for command in back if "tc qdisc del" in command[2]}
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
