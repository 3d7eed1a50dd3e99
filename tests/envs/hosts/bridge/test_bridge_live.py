"""A real bridge, real frames: in every mode they get where they should, and nothing is swallowed.

Guests 1 and 2 are known, at the ports v1 and v2; 3 is outside, behind v3.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from wire import Wire, mac, until, wire

from envs.errors import CommandFailed
from envs.host import BridgeMode
from envs.hosts.bridge import watch
from envs.hosts.bridge.state import NETFILTER
from envs.hosts.transport import write_file

pytestmark = pytest.mark.lab

BROADCAST = "ff:ff:ff:ff:ff:ff"
KINDS = {
    "IPv4": b"\x08\x00",
    "IPv6": b"\x86\xdd",
    "ARP": b"\x08\x06",
    "802.1Q": b"\x81\x00\x00\x07\x08\x00",
    "802.1ad": b"\x88\xa8\x00\x07\x81\x00\x00\x08\x86\xdd",
}
both = pytest.mark.parametrize("mode", ["lean", "direct"])


@pytest.fixture
def net() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.mark.parametrize("mode", ["stock", "lean", "direct"])
def test_frames_of_all_kinds_arrive_once(net: Wire, mode: BridgeMode) -> None:
    if mode != "stock":
        net.enter(mode)
    for number in (1, 2, 3):  # so that the stock bridge knows them all
        net.send(number, net.frame(number, BROADCAST))
    for head in KINDS.values():
        for here, there in ((1, 2), (2, 1), (1, 3), (3, 1), (3, 2)):
            frame, last = net.frame(here, there, head), net.frame(here, there, head)
            net.send(here, frame)
            net.send(here, last)
            assert net.count_until(there, frame, last) == 1
    for group in (BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:fb"):
        for head in KINDS.values():
            frame = net.frame(1, group, head)
            net.send(1, frame)
            assert net.heard(2, frame)
            assert net.heard(3, frame)


def test_direct_takes_frames_past_the_bridge(net: Wire) -> None:
    net.enter("direct")
    for head in KINDS.values():
        frame = net.frame(1, 2, head)
        net.send(1, frame)
        assert net.heard(2, frame)
    assert net.redirected("v1") == len(KINDS)


@both
def test_a_guest_that_appears_later_sends_and_receives(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    net.add(4)
    for here, there in ((4, 1), (1, 4), (4, 3), (3, 4)):
        net.reaches(here, there, here, there)


@both
def test_a_guest_with_a_new_address_is_heard_and_reached(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    net.reaches(2, 1, 22, 1)
    net.reaches(1, 2, 1, 22)
    if mode == "lean":
        until(lambda: net.found().state.ports["v2"].flood)
    net.run("bridge", "fdb", "del", mac(22), "dev", "v2", "master")  # as it will be in time
    net.reaches(1, 2, 1, 22)


@both
def test_an_address_that_moves_is_followed(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    for here in (3, 1, 2):  # migrated away, and to another guest's port, and back
        net.reaches(here, 1 if here == 3 else 3, 2, BROADCAST)
        if here != 1:
            net.reaches(1, here, 1, 2)
        net.reaches(3 if here != 3 else 1, here, 3 if here != 3 else 1, 2)


@both
def test_a_guest_that_is_gone_is_looked_for_elsewhere(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    net.run("ip", "link", "del", "dev", "v2")
    net.reaches(1, 3, 1, 2)
    assert net.redirects(1) in {0, 1}, "to the outside only"
    net.reaches(1, 3, 1, 3)
    net.leave()


@both
def test_a_guest_that_comes_back_is_found_again(net: Wire, mode: BridgeMode) -> None:
    """Xen gives a guest that reboots, or comes back from a migration, a new vif."""
    net.enter(mode)
    net.run("ip", "link", "del", "dev", "v2")
    net.add(2)
    net.reaches(1, 2, 1, 2)
    net.enter(mode)
    net.reaches(1, 2, 1, 2)
    net.leave()


@both
def test_a_port_that_leaves_the_bridge_is_left_alone(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    net.run("ip", "link", "set", "dev", "v2", "nomaster")
    net.reaches(1, 3, 1, 2)
    until(lambda: "mirred" not in net.run("tc", "filter", "show", "dev", "v2", "ingress"))


def test_a_port_that_is_down_swallows_nothing_meant_for_others(net: Wire) -> None:
    net.enter("direct")
    net.run("ip", "link", "set", "dev", "v2", "down")
    until(lambda: net.redirects(1) == 1)
    net.reaches(1, 3, 1, 3)


def test_a_port_with_a_new_name_keeps_no_redirect_of_its_own(net: Wire) -> None:
    net.enter("direct")
    net.run("ip", "link", "set", "dev", "v2", "down")
    net.run("ip", "link", "set", "dev", "v2", "name", "renamed")
    net.run("ip", "link", "set", "dev", "renamed", "up")
    net.run("ip", "link", "del", "dev", "v1")
    net.reaches(2, 3, 2, 1)


def test_an_entry_that_a_person_deletes_is_not_relied_on(net: Wire) -> None:
    net.enter("direct")
    net.run("bridge", "fdb", "del", mac(2), "dev", "v2", "master")
    until(lambda: all(r.target != mac(2) for r in net.found().state.redirects))


def test_a_rule_that_is_made_later_ends_the_redirects(net: Wire) -> None:
    net.enter("direct")
    net.run("ip", "link", "set", "dev", "v3", "type", "bridge_slave", "isolated", "on")
    until(lambda: net.found().state.redirects == ())
    assert net.found().obstacles == ("port v3 is isolated or locked",)
    assert net.found(bypass_filters=True).obstacles == ()


def test_a_rule_that_the_operator_knew_of_does_not(net: Wire) -> None:
    net.run("ip", "link", "set", "dev", "v3", "type", "bridge_slave", "isolated", "on")
    net.enter("direct")
    net.run("ip", "link", "del", "dev", "v2")
    until(lambda: all(r.to != "v2" for r in net.found().state.redirects))
    assert net.redirects(1) == 1
    net.reaches(1, 3, 1, 3)


@both
def test_what_is_left_is_as_it_was_found_and_nothing_runs(net: Wire, mode: BridgeMode) -> None:
    before = net.found().state
    net.enter(mode)
    assert net.processes() != ()
    net.leave()
    assert net.found().state == before
    until(lambda: net.processes() == ())


@both
def test_the_watcher_ends_with_what_it_watches(net: Wire, mode: BridgeMode) -> None:
    net.enter(mode)
    net.run("ip", "link", "del", "dev", "br0")
    until(lambda: net.processes() == ())


@pytest.mark.parametrize("which", range(4))
def test_whichever_of_its_processes_is_killed_nothing_is_swallowed(net: Wire, which: int) -> None:
    net.enter("direct")

    def killed() -> bool:
        running = sorted(net.processes())  # two shells, the reader of events, bridge; helpers
        with suppress(ProcessLookupError):  # a helper that has just ended
            if len(running) >= 4:
                os.kill(running[which], signal.SIGKILL)
                return True
        return False

    until(killed)
    net.run("ip", "link", "del", "dev", "v2")
    net.reaches(1, 3, 1, 2)


def test_the_mode_is_known_at_any_moment_while_the_watcher_looks(net: Wire) -> None:
    """It looks with helpers that live for a moment and have the same command line."""
    net.enter("lean")
    port = ("ip", "link", "set", "dev", "v3", "type", "bridge_slave", "hairpin")
    toggle = 'while "$@" on && "$@" off; do :; done'
    words = net.found().state.watch
    with subprocess.Popen(net.prefixed(("sh", "-c", toggle, "sh", *port))) as events:
        try:
            seen = {watch.watched("br0", net.run(*watch.question("br0"))) for _ in range(200)}
        finally:
            events.kill()
    assert seen == {words}


def test_a_watcher_that_lost_its_first_process_is_ended_as_well(net: Wire) -> None:
    net.enter("direct")
    until(lambda: len(net.processes()) >= 4)
    os.kill(net.watcher(), signal.SIGKILL)
    net.run(*watch.stop("br0"))
    until(lambda: net.processes() == ())


def test_a_watcher_that_does_not_end_is_told(net: Wire) -> None:
    deaf = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done", "viotune-watch:br0")
    with subprocess.Popen(
        net.prefixed(deaf), stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"deaf\n"
            with pytest.raises(
                CommandFailed, match=f"br0 does not end: process group {process.pid}"
            ):
                net.run(*watch.stop("br0"))
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@both
def test_one_mode_after_the_other(net: Wire, mode: BridgeMode) -> None:
    before = net.found().state
    net.enter("direct" if mode == "lean" else "lean")
    net.enter(mode)
    net.reaches(1, 2, 1, 2)
    net.run("ip", "link", "del", "dev", "v2")
    net.reaches(1, 3, 1, 2)
    net.leave()
    assert net.found().state.redirects == before.redirects
    until(lambda: net.processes() == ())


def test_the_way_we_came_is_found(net: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    assert net.found().ours == frozenset()
    net.run("ip", "addr", "add", "192.0.2.1/24", "dev", "br0")
    net.run("ip", "neigh", "add", "192.0.2.9", "lladdr", mac(3), "dev", "br0")
    net.reaches(3, 1, 3, BROADCAST)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50022 192.0.2.1 22")
    found = net.found(bypass_filters=True)
    assert found.ours == {"br0", "v3"}
    assert "carries our own connection" in found.obstacles[0]


def test_filters_of_others_are_seen_and_left(net: Wire) -> None:
    net.run("tc", "qdisc", "add", "dev", "v1", "ingress")
    everything = ("u32", "match", "u32", "0", "0", "flowid", ":1")
    where = ("dev", "v1", "ingress", "pref", "9999", "protocol", "all")
    net.run("tc", "filter", "add", *where, *everything)
    assert net.found().obstacles == ("port v1 has tc filters of others",)
    net.enter("direct")
    net.leave()
    assert "pref 9999" in net.run("tc", "filter", "show", "dev", "v1", "ingress")


NFT = {
    "bridge": "add chain bridge t c { type filter hook forward priority 0; policy drop; }",
    "netdev": 'add chain netdev t c { type filter hook ingress device "v1" priority 0; }',
}


@pytest.mark.parametrize("family", NFT)
def test_nftables_rules_are_seen(net: Wire, family: str) -> None:
    net.run("nft", "add", "table", family, "t")
    net.run("nft", NFT[family])
    net.run("nft", "add", "rule", family, "t", "c", "drop")
    (obstacle,) = net.found().obstacles
    assert obstacle == f"nftables filter its frames: chain c of table {family} t"


def test_ip_rules_are_seen_only_where_bridge_netfilter_calls_them(net: Wire) -> None:
    net.run("nft", "add", "table", "ip", "t")
    net.run("nft", "add chain ip t c { type filter hook forward priority 0; policy drop; }")
    for value, seen in (("0", False), ("1", True)):
        for switch in NETFILTER:
            net.run(*write_file(switch, value))
        assert len(net.found().obstacles) == seen
