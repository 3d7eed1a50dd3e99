"""What a setting means on a Xen host, in which order it is made, and how it is taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from xen_world import BUSY, CORES, DOM0, G1, G2, SITE, present

from envs import knobs
from envs.errors import HostError, IllegalSetting
from envs.host import Settings, from_json, to_json
from envs.hosts.change import Change
from envs.hosts.transport import RecordedTransport
from envs.hosts.xen.dom0 import Queue
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.spec import spec_of
from envs.hosts.xen.state import XenState, remembered, settings, state_of, wanted
from envs.hosts.xen.steps import changes, restoring

HERE = present()
STATE = state_of(HERE)
STOCK = settings(SITE, HERE, STATE)
SPEC = spec_of(SITE, HERE)
TUNED = replace(
    STOCK,
    placement={
        **STOCK.placement,
        "Domain-0/0": (0,),
        "Domain-0/1": (0,),
        "g1/0": (1, 2, 3),
        "g2/0": (3,),
        "busy/0": (1,),
    },
    weight={**STOCK.weight, "Domain-0": 2048},
    tx_queue={"g1/vif0": 64, "g2/vif0": 1000},
    side_cores=(0,),
)


def _plan(target: Settings) -> tuple[Change, ...]:
    return changes(SITE, HERE, STATE, wanted(SITE, HERE, STATE, target))


def test_a_backend_is_a_vcpu_of_dom0_and_a_guest_without_a_vif_is_a_neighbour() -> None:
    assert [(b.name, b.vifs) for b in SPEC.backends] == [
        ("Domain-0/0", ("g1/vif0",)),
        ("Domain-0/1", ("g2/vif0",)),
    ]
    assert [(g.name, g.role, g.vcpus) for g in SPEC.guests] == [
        ("g1", "io", ("g1/0",)),
        ("g2", "io", ("g2/0",)),
        ("busy", "cpu", ("busy/0",)),
    ]
    assert SPEC.limits.side_cores == 2
    assert SPEC.limits.why_not == {}


def test_guests_leave_then_dom0_s_vcpus_come_and_then_their_feeds() -> None:
    placed = [change for change in _plan(TUNED) if change.knob == "placement"]
    kinds = [
        "feed" if c.do[0][0] == "sh" else "dom0" if c.do[0][2] == "0" else "guest" for c in placed
    ]
    assert kinds == sorted(kinds, key=["guest", "dom0", "feed"].index)
    assert set(kinds) == {"guest", "dom0", "feed"}


def test_a_vcpu_that_is_offline_keeps_off_side_cores_as_well() -> None:
    after = wanted(SITE, HERE, STATE, TUNED)
    assert after.now.affinity[f"{G1}/1"] == "1-3"
    assert after.now.affinity[f"{BUSY}/1"] == "1-3"


def test_feeds_follow_their_vcpu_only_when_dom0_is_placed_otherwise() -> None:
    elsewhere = replace(STOCK, placement={**STOCK.placement, "g1/0": (2,)})
    assert wanted(SITE, HERE, STATE, elsewhere).now.feeds == STATE.now.feeds
    feeds = wanted(SITE, HERE, STATE, TUNED).now.feeds
    assert {feeds[f"{G1}/vif0/q0-{kind}"] for kind in ("guest-rx", "dealloc", "tx", "rx")} == {"0"}
    assert {feeds[f"{G2}/vif0/q0-{kind}"] for kind in ("guest-rx", "dealloc", "tx", "rx")} == {"1"}


def test_a_domain_is_named_by_its_number_to_xl() -> None:
    odd = replace(HERE, domains=tuple(replace(d, name=f"-{d.domid} ;") for d in HERE.domains))
    state = state_of(odd)
    stock = settings(SITE, odd, state)
    target = replace(stock, weight=dict.fromkeys(stock.weight, 512))
    for change in changes(SITE, odd, state, wanted(SITE, odd, state, target)):
        assert change.do[0][:3] == ("xl", "sched-credit2", "-d")
        assert change.do[0][3].isdecimal()


def _sets() -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.sampled_from(CORES), min_size=1).map(sorted).map(tuple)


@st.composite
def targets(draw: st.DrawFn) -> Settings:
    """Any legal setting of the made-up host but for the bridge's."""
    side = draw(st.sampled_from([(), (0,), (3,), (1, 2)]))
    left = tuple(core for core in CORES if core not in side)
    guests = st.sets(st.sampled_from(left), min_size=1).map(sorted).map(tuple)
    own = [draw(_sets()) for _ in range(2)]
    if side:
        own[0] = tuple(sorted({*own[0], *side}))
    return Settings(
        placement={
            "Domain-0/0": own[0],
            "Domain-0/1": own[1],
            **{name: draw(guests) for name in ("g1/0", "g2/0", "busy/0")},
        },
        weight={name: draw(st.integers(1, 65535)) for name in STOCK.weight},
        tx_queue={name: draw(st.integers(1, 4096)) for name in STOCK.tx_queue},
        side_cores=side,
    )


@given(targets(), targets())
def test_what_a_setting_makes_is_read_as_that_setting_and_the_way_back_is_exact(
    first: Settings, second: Settings
) -> None:
    knobs.check(SPEC, first, STOCK)
    one = wanted(SITE, HERE, STATE, first)
    assert settings(SITE, HERE, one) == first
    two = wanted(SITE, HERE, one, second)
    assert settings(SITE, HERE, two) == second
    assert wanted(SITE, HERE, two, STOCK) == STATE
    assert from_json(to_json(two), XenState) == two
    assert not changes(SITE, HERE, two, remembered(two, two.now))


def test_a_migrated_guest_gets_back_what_it_had_by_its_new_interface() -> None:
    tuned = wanted(SITE, HERE, STATE, TUNED)
    moved = present(g1=5)
    now = state_of(moved)
    back = changes(SITE, moved, now, remembered(tuned, now.now))
    assert ("xl", "vcpu-pin", "5", "0", "1-3", "-") in [c.do[0] for c in back]
    assert ("ip", "link", "set", "dev", "vif5.0", "txqueuelen", "64") in [c.do[0] for c in back]


def test_a_guest_that_is_gone_is_nothing_to_put_back() -> None:
    tuned = wanted(SITE, HERE, STATE, TUNED)
    left = present(g2=None)
    now = XenState(now=state_of(left).now, kept=tuned.kept)
    steps = changes(SITE, left, now, remembered(STATE, now.now))
    assert all("2" not in change.do[0][2:4] for change in steps if change.do[0][0] == "xl")
    assert settings(SITE, left, now).weight.keys() == {"Domain-0", "g1", "busy"}


def test_putting_back_blindly_asks_xl_for_the_number_of_a_uuid() -> None:
    commands = restoring(SITE, HERE, wanted(SITE, HERE, STATE, TUNED))
    ours = [command[4:] for command in commands if "awk" in command[2]]
    assert ours[0] == (DOM0, "sched-credit2", "2048", "0", "0", "1", "0")
    assert ours[2] == (G2, "sched-credit2", "256", "0", "3", "1", "1-3")


def test_only_what_differs_is_put_back_where_that_is_told() -> None:
    tuned = wanted(SITE, HERE, STATE, TUNED)
    weight = {**tuned.now.weight, G2: 512}
    edited = replace(tuned, now=replace(tuned.now, weight=weight))
    assert restoring(SITE, HERE, tuned, [tuned]) == ()
    (command,) = restoring(SITE, HERE, tuned, [tuned, edited])
    assert command[4:7] == (G2, "sched-credit2", "256")


def test_a_side_core_that_a_guest_may_use_is_not_reserved_any_more() -> None:
    tuned = wanted(SITE, HERE, STATE, TUNED)
    affinity = {**tuned.now.affinity, f"{BUSY}/0": "all"}
    edited = replace(tuned, now=replace(tuned.now, affinity=affinity))
    assert settings(SITE, HERE, edited).side_cores == ()


@pytest.mark.parametrize("scheduler", ["credit", "credit2"])
def test_weights_mean_nothing_to_pinned_guests_under_credit(scheduler: str) -> None:
    site = replace(SITE, pool=replace(SITE.pool, scheduler=scheduler))
    vcpus = (replace(v, hard="2") if v.domid == 1 else v for v in HERE.vcpus)
    pinned = replace(HERE, vcpus=tuple(vcpus))
    assert spec_of(site, HERE).limits.weights == ("Domain-0", "g1", "g2", "busy")
    limits = spec_of(site, pinned).limits
    if scheduler == "credit2":
        assert limits.weights
    else:
        assert limits.weights == ()
        assert limits.why_not["weight"].startswith("g1 is pinned")
    one = replace(site, pool=replace(site.pool, cores=(2,)), cores=site.cores[2:3])
    assert spec_of(one, pinned).limits.weights


@pytest.mark.parametrize(
    ("hard", "soft", "reach"),
    [
        ("all", "all", {}),
        ("all", "none", {}),
        ("all", "2-3", {"g1/0": (2, 3)}),
        ("1-2", "2-3", {"g1/0": (2, 3)}),
        ("0-1", "2-3", {}),
    ],
)
def test_a_guest_with_a_soft_affinity_is_placed_within_it(
    hard: str, soft: str, reach: dict[str, tuple[int, ...]]
) -> None:
    vcpus = (replace(v, hard=hard, soft=soft) if v.domid == 1 else v for v in HERE.vcpus)
    assert spec_of(SITE, replace(HERE, vcpus=tuple(vcpus))).limits.reach == reach


def test_a_vcpu_that_was_found_out_of_reach_may_go_back_while_all_else_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = (replace(v, soft="2-3") if v.domid == 1 else v for v in HERE.vcpus)
    here = replace(HERE, vcpus=tuple(near))
    moved = replace(STOCK, placement={**STOCK.placement, "g1/0": (2,)})
    host = XenHost(SITE, RecordedTransport([]))
    monkeypatch.setattr(host, "_described", (spec_of(SITE, here), here))
    monkeypatch.setattr(host, "_read", lambda: (here, wanted(SITE, here, STATE, moved)))
    back = replace(STOCK, tx_queue=dict.fromkeys(STOCK.tx_queue, 64))
    assert "placement" in {change.knob for change in host.changes(back)}
    with pytest.raises(IllegalSetting, match="'g1/0' leaves"):
        host.changes(replace(back, placement={**STOCK.placement, "g1/0": (1,)}))


def test_a_queue_that_does_not_obey_masks_the_knob() -> None:
    queues = {**HERE.queues, "vif2.0": Queue(kinds=frozenset({"fq_codel"}))}
    limits = spec_of(SITE, replace(HERE, queues=queues)).limits
    assert limits.tx_queue is None
    assert limits.why_not["tx_queue"] == (
        "vif2.0 has fq_codel, which does not obey txqueuelen; pfifo_fast does"
    )


def test_without_a_guest_with_a_vif_there_is_nothing_to_tune() -> None:
    with pytest.raises(HostError, match="nothing to tune"):
        spec_of(SITE, replace(HERE, vifs={}))


def test_two_guests_of_one_name_are_told_apart() -> None:
    same = replace(HERE, domains=tuple(replace(d, name="x") for d in HERE.domains))
    assert len(set(same.names.values())) == 4


def test_what_was_kept_and_cannot_be_read_is_an_error() -> None:
    with pytest.raises(HostError, match="cannot be read"):
        state_of(replace(HERE, kept="{"))
