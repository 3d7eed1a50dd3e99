"""A decision offers only what is legal, in a fixed order, and the first value keeps."""

import msgspec
import pytest
from hosts_strategy import hosts
from hypothesis import given
from hypothesis import strategies as st

from envs.decision import Decision
from envs.host import Backend, Core, Guest, HostSpec, Limits, Settings, Uplink
from envs.knobs import check
from envs.menu import KINDS, MAX_VALUES, Kind, Menu, Value

CORES = tuple(Core(id=i, llc=i // 2, node=i // 4, sibling=i) for i in range(8))
ALL = tuple(range(8))
Found = tuple[HostSpec, Settings]


def host(**limits: object) -> HostSpec:
    given_limits = {
        "weights": ("dom0", "web", "db"),
        "tx_queue": (8, 2000),
        "bridge": ("stock", "lean", "direct"),
        "side_cores": 2,
        "polling": True,
    } | limits
    return HostSpec(
        uri="sim:test",
        kind="sim",
        cores=CORES,
        driver_domain="dom0",
        backends=(Backend(name="nb0", vifs=("v0",)), Backend(name="nb1", vifs=("v1",))),
        guests=(
            Guest(name="burn", role="cpu", vcpus=("burn/0",)),
            Guest(name="web", role="io", vcpus=("web/0",), vifs=("v0",)),
            Guest(name="db", role="io", vcpus=("db/0",), vifs=("v1",)),
        ),
        uplink=Uplink(name="eth0", llc=1),
        limits=Limits(**given_limits),
    )


def found() -> Settings:
    return Settings(
        placement=dict.fromkeys(["nb0", "nb1", "burn/0", "web/0", "db/0"], ALL),
        weight={"dom0": 256, "web": 256, "db": 100, "burn": 256},
        tx_queue={"v0": 32, "v1": 32},
    )


def walk(decision: Decision, *steps: tuple[str, int]) -> Decision:
    """Take the given index at each named kind, and keep everything else."""
    todo = dict(steps)
    while decision.choice and todo:
        decision = decision.take(todo.pop(decision.choice.kind, 0))
    return decision


def at(decision: Decision, kind: str) -> Decision:
    while decision.choice and decision.choice.kind != kind:
        decision = decision.take(0)
    return decision


@given(hosts(), st.data())
def test_every_setting_on_the_way_is_legal(found: Found, data: st.DataObject) -> None:
    spec, baseline = found
    start = baseline
    for _ in range(2):
        decision = Decision.start(spec, baseline, start)
        while decision.choice:
            assert 2 <= len(decision.choice.values) <= MAX_VALUES
            decision = decision.take(data.draw(st.integers(0, len(decision.choice.values) - 1)))
            check(spec, decision.settings, baseline)
        start = decision.settings


@given(hosts(), st.data())
def test_each_value_is_offered_once_and_leads_elsewhere(found: Found, data: st.DataObject) -> None:
    spec, baseline = found
    decision = Decision.start(spec, baseline, baseline)
    while decision.choice:
        before = decision.settings
        count = len(decision.choice.values)
        after = [decision.take(index).settings for index in range(count)]
        assert after[0] == before
        assert all(after[i] != after[j] for i in range(count) for j in range(i))
        decision = decision.take(data.draw(st.integers(0, count - 1)))


@given(hosts())
def test_keeping_everything_changes_nothing(found: Found) -> None:
    spec, baseline = found
    decision = Decision.start(spec, baseline, baseline)
    while decision.choice:
        decision = decision.take(0)
    assert decision.settings == baseline
    assert decision.left == 0.0


@given(hosts(), st.data())
def test_the_baseline_can_be_reached_from_any_setting_by_its_flags(
    found: Found, data: st.DataObject
) -> None:
    spec, baseline = found
    decision = Decision.start(spec, baseline, baseline)
    while decision.choice:
        decision = decision.take(data.draw(st.integers(0, len(decision.choice.values) - 1)))
    decision = Decision.start(spec, baseline, decision.settings)
    while decision.choice:
        flags = [value.baseline for value in decision.choice.values]
        decision = decision.take(flags.index(True) if True in flags else 0)
    assert decision.settings.weight == baseline.weight
    assert decision.settings.tx_queue == baseline.tx_queue
    assert decision.settings.bridge == baseline.bridge


def test_the_order_is_side_cores_backends_io_guests_cpu_guests_weights_queue_bridge() -> None:
    decision = Decision.start(host(), found(), found())
    asked = []
    while decision.choice:
        asked.append((decision.choice.kind, decision.choice.subject))
        decision = decision.take(0)
    assert asked == [
        ("side_cores", ""),
        ("backend", "nb0"),
        ("backend", "nb1"),
        ("io_vcpu", "web/0"),
        ("io_vcpu", "db/0"),
        ("cpu_vcpu", "burn/0"),
        ("driver_weight", "dom0"),
        ("guest_weight", ""),
        ("tx_queue", ""),
        ("bridge", ""),
    ]
    assert [kind for kind in KINDS if kind in dict(asked)] == list(dict(asked))


def test_a_knob_that_cannot_be_set_is_no_choice() -> None:
    spec = host(guests=False, weights=(), tx_queue=None, bridge=("stock",), side_cores=0)
    decision = Decision.start(spec, found(), found())
    asked = set()
    while decision.choice:
        asked.add(decision.choice.kind)
        decision = decision.take(1)
    assert asked == {"backend"}


def test_side_cores_are_packed_near_the_uplink_spread_or_away_polling_or_not() -> None:
    decision = Decision.start(host(), found(), found())
    assert [(v.cores, v.polling) for v in decision.choice.values] == [
        ((), False),
        ((2,), True),
        ((2,), False),
        ((6,), True),
        ((6,), False),
        ((2, 3), True),
        ((2, 3), False),
        ((0, 2), True),
        ((0, 2), False),
        ((6, 7), True),
        ((6, 7), False),
    ]


def test_reserving_moves_guests_off_and_backends_on_and_dropping_returns_them() -> None:
    reserved = Decision.start(host(), found(), found()).take(1).settings
    assert reserved.side_cores == (2,)
    assert reserved.polling
    assert reserved.placement["nb0"] == reserved.placement["nb1"] == (2,)
    assert reserved.placement["web/0"] == (0, 1, 3, 4, 5, 6, 7)
    again = Decision.start(host(), found(), reserved)
    none = [(v.cores, v.baseline) for v in again.choice.values].index(((), True))
    assert again.take(none).settings.placement == found().placement


def test_a_backend_keeps_to_the_side_cores_and_leaves_none_unused() -> None:
    decision = Decision.start(host(), found(), found())
    decision = decision.take([v.cores for v in decision.choice.values].index((2, 3)))
    assert [v.cores for v in decision.choice.values] == [(2, 3), (2,), (3,)]
    decision = decision.take(1)
    assert decision.choice.subject == "nb1"
    assert [v.cores for v in decision.choice.values] == [(2, 3), (3,)]


def test_a_vcpu_is_offered_all_other_cores_each_llc_domain_and_each_core() -> None:
    decision = at(Decision.start(host(), found(), found()), "io_vcpu")
    offered = [v.cores for v in decision.choice.values]
    assert offered[:5] == [ALL, (2, 3), (0, 1), (4, 5), (6, 7)]
    assert sorted(offered[5:]) == [(core,) for core in ALL]


def test_a_vcpu_is_also_offered_the_sets_without_cores_that_backends_have_alone() -> None:
    decision = Decision.start(host(), found(), found()).take(0)
    assert decision.choice
    alone = [v.cores for v in decision.choice.values].index((2,))
    decision = at(decision.take(alone), "cpu_vcpu")
    assert decision.choice
    offered = [v.cores for v in decision.choice.values]
    assert (0, 1, 3, 4, 5, 6, 7) in offered
    assert [cores for cores in offered if len(cores) == 2] == [(2, 3), (0, 1), (4, 5), (6, 7)]
    assert (3,) in offered


BOUND = {"web/0": (4, 5, 6), "nb1": (2, 4, 5)}


def offered(menu: Menu, kind: Kind, subject: str, now: Settings) -> list[tuple[int, ...]]:
    return [value.cores for value in menu.values(kind, subject, now)]


def test_what_is_bound_to_some_cores_is_offered_sets_of_these() -> None:
    menu = Menu(host(reach=BOUND), found())
    assert offered(menu, "io_vcpu", "web/0", found()) == [ALL, (4, 5, 6), (4, 5), (6,), (4,), (5,)]
    assert offered(menu, "backend", "nb1", found()) == [ALL, (2, 4, 5), (2,), (4, 5), (4,), (5,)]


def test_what_is_bound_to_some_cores_gets_those_of_them_that_are_reserved_or_are_not() -> None:
    menu = Menu(host(reach=BOUND), found())
    now = menu.settle("side_cores", "", Value(cores=(2, 6)), found())
    assert now.placement == {
        "nb0": (2, 6),
        "nb1": (2,),
        "web/0": (4, 5),
        **dict.fromkeys(("burn/0", "db/0"), (0, 1, 3, 4, 5, 7)),
    }
    assert offered(menu, "io_vcpu", "web/0", now) == [(4, 5), (4,), (5,)]
    assert offered(menu, "backend", "nb1", now) == [(2,)]


def test_a_vcpu_that_was_found_out_of_reach_stays_there_while_its_cores_are_not_reserved() -> None:
    away = msgspec.structs.replace(found(), placement={**found().placement, "web/0": (0, 1)})
    menu = Menu(host(reach=BOUND), away)
    for side, place in (((2,), (0, 1)), ((0,), (4, 5, 6))):
        assert menu.settle("side_cores", "", Value(cores=side), away).placement["web/0"] == place


def test_a_weight_is_a_level_of_the_baseline_clipped_to_the_range() -> None:
    spec = host(weight=(1, 1000))
    decision = at(Decision.start(spec, found(), found()), "driver_weight")
    assert [v.number for v in decision.choice.values] == [1, 2, 4]
    assert decision.take(2).settings.weight["dom0"] == 1000
    decision = at(decision, "guest_weight")
    boosted = decision.take(len(decision.choice.values) - 1).settings.weight
    assert boosted == {"dom0": 256, "web": 1000, "db": 800, "burn": 256}


def test_the_queue_lengths_are_within_range_and_hold_the_baseline() -> None:
    decision = at(Decision.start(host(), found(), found()), "tx_queue")
    assert [v.number for v in decision.choice.values] == [32, 8, 64, 128, 256, 512, 1000, 2000]
    longer = decision.take(7).settings
    assert longer.tx_queue == {"v0": 2000, "v1": 2000}
    decision = at(Decision.start(host(), found(), longer), "tx_queue")
    offered = {v.number: v.baseline for v in decision.choice.values}
    assert offered[2000] is False
    assert offered[32] is True


@pytest.mark.parametrize("index", [-1, 99])
def test_what_is_not_offered_keeps_the_part(index: int) -> None:
    decision = Decision.start(host(), found(), found())
    assert decision.take(index).settings == found()


def test_nothing_is_left_to_take_at_the_end() -> None:
    decision = at(Decision.start(host(), found(), found()), "bridge").take(0)
    assert decision.choice is None
    with pytest.raises(ValueError, match="complete"):
        decision.take(0)


def test_a_host_of_many_cores_is_offered_a_spread_of_them() -> None:
    cores = tuple(Core(id=i, llc=i // 8, node=0, sibling=i) for i in range(64))
    base = found()
    spec = HostSpec(
        **{name: getattr(host(), name) for name in host().__struct_fields__} | {"cores": cores}
    )
    decision = at(Decision.start(spec, base, base), "cpu_vcpu")
    singles = [v.cores[0] for v in decision.choice.values if len(v.cores) == 1]
    assert len(decision.choice.values) == MAX_VALUES
    assert len({core // 8 for core in singles}) == 8


@given(st.data(), hosts())
def test_a_setting_that_a_decision_made_is_made_again_by_going_toward_it(
    data: st.DataObject, some: tuple[HostSpec, Settings]
) -> None:
    spec, baseline = some
    made = again = Decision.start(spec, baseline, baseline)
    while made.choice:
        made = made.take(data.draw(st.integers(0, len(made.choice.values) - 1)))
    while again.choice:
        again = again.take(again.toward(made.settings))
    assert again.settings == made.settings


def test_going_toward_what_is_not_offered_keeps_the_part() -> None:
    odd = msgspec.structs.replace(found(), tx_queue={"v0": 777, "v1": 777})
    decision = at(Decision.start(host(), found(), found()), "tx_queue")
    assert decision.toward(odd) == 0
