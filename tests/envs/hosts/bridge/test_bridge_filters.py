"""Packet filters that bridged frames meet, as nft and the tables' tools print them."""

import json
from contextlib import suppress

import pytest
from bridges import answered
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import HostError
from envs.hosts.bridge import filters
from envs.hosts.transport import Result


def ruleset(family: str, hook: str, *, rule: bool = False, **chain: str) -> str:
    """A ruleset of one base chain, as ``nft -j list ruleset`` prints it."""
    key = {"family": family, "table": "t"}
    items: list[object] = [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": family, "name": "t", "handle": 1}},
        {"chain": {**key, "name": "c", "type": "filter", "hook": hook, "prio": 0, **chain}},
        {"chain": {**key, "name": "helper", "handle": 2}},
    ]
    if rule:
        items.append({"rule": {**key, "chain": "c", "handle": 3, "expr": [{"drop": None}]}})
    return json.dumps({"nftables": items}) + "\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        (ruleset("bridge", "forward", policy="accept"), False),
        (ruleset("bridge", "forward", policy="drop"), True),
        (ruleset("bridge", "prerouting", policy="accept", rule=True), True),
        (ruleset("bridge", "output", policy="accept", rule=True), False),  # our own frames only
        (ruleset("inet", "postrouting", policy="accept", rule=True), True),
        (ruleset("inet", "input", policy="drop", rule=True), False),
        (ruleset("netdev", "ingress", dev="vif1", policy="accept", rule=True), True),
        (ruleset("netdev", "egress", dev="vif1", policy="accept", rule=True), True),
        (ruleset("netdev", "ingress", dev="wlan0", policy="accept", rule=True), False),
    ],
)
def test_a_base_chain_counts_where_bridged_frames_meet_it_and_it_does_something(
    text: str, found: bool
) -> None:
    reasons = answered(nft=text).obstacles
    assert len(reasons) == found
    assert all("chain c of table" in reason for reason in reasons)


SAVED = """\
# of ebtables-save
*filter
:INPUT ACCEPT
:FORWARD {policy}
:OUTPUT ACCEPT
{rule}
# of iptables-save
*nat
:POSTROUTING ACCEPT [3:180]
-A OUTPUT -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("policy", "rule", "found"),
    [
        ("ACCEPT", "", False),
        ("DROP", "", True),
        ("ACCEPT", "-A FORWARD -s 2:0:0:0:0:1 -j DROP", True),
        ("ACCEPT", "-A INPUT -j DROP", False),
        ("ACCEPT", "-A mine -j DROP", False),  # nothing leads there
    ],
)
def test_ebtables_and_its_kin(policy: str, rule: str, found: bool) -> None:
    reasons = answered(saved=SAVED.format(policy=policy, rule=rule)).obstacles
    assert reasons == (("ebtables filter its frames: chain FORWARD of table filter",) * found)


def test_where_it_cannot_be_told_that_is_the_reason() -> None:
    refused = Result(argv=("nft",), rc=1, err="Operation not permitted (you must be root)\n")
    (reason,) = filters.reasons(refused, Result(argv=("sh",), rc=0), ())
    assert "nftables" in reason
    assert "you must be root" in reason


@given(st.text() | st.sampled_from(["0", "{}", '{"nftables":[{"chain":{}}]}', '{"nftables":[1]}']))
def test_whatever_nft_prints_is_an_answer_or_a_clear_error(text: str) -> None:
    with suppress(HostError):
        assert answered(nft=text).obstacles == ()
