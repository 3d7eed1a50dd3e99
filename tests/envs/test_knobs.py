"""The rules of the five knobs, each broken once."""

from collections.abc import Mapping

import pytest
from fake_host import BASELINE, SPEC
from hosts_strategy import hosts
from hypothesis import given
from msgspec.structs import replace

from envs.errors import IllegalSetting
from envs.host import HostSpec, Settings
from envs.knobs import check, violations

ON_SIDE = {"netback": (0,), "web/0": (1,), "db/0": (1, 2), "burn/0": (3,)}


def settings(**changes: object) -> Settings:
    return replace(BASELINE, **changes)


def placed(**changes: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
    return {**BASELINE.placement, **{k.replace("_", "/"): v for k, v in changes.items()}}


def test_a_setting_that_uses_every_knob_is_legal() -> None:
    check(
        SPEC,
        settings(
            placement=ON_SIDE,
            weight={**BASELINE.weight, "dom0": 2048},
            tx_queue={"v0": 8, "v1": 4000},
            bridge="direct",
            side_cores=(0,),
            polling=True,
        ),
        BASELINE,
    )


@given(hosts())
def test_a_host_as_found_is_legal(found: tuple[HostSpec, Settings]) -> None:
    spec, baseline = found
    check(spec, baseline, baseline)


@pytest.mark.parametrize(
    ("broken", "culprit"),
    [
        (settings(placement=placed(web_0=())), "'web/0' leaves it without a core"),
        (settings(placement=placed(web_0=(0, 9))), "'web/0' names core 9"),
        (settings(placement={**BASELINE.placement, "ghost": (0,)}), "names 'ghost'"),
        (settings(placement={"netback": (0,)}), "no value for 'db/0'"),
        (settings(weight={**BASELINE.weight, "burn": 512}), "'burn' cannot be set"),
        (settings(weight={**BASELINE.weight, "web": 0}), "weight 0 of 'web' is outside"),
        (settings(weight={"dom0": 256}), "no value for 'web'"),
        (settings(tx_queue={"v0": 32, "v1": 4001}), "4001 of 'v1' is outside 8..4000"),
        (settings(tx_queue={"v0": 32}), "no value for 'v1'"),
        (settings(placement=ON_SIDE, side_cores=(7,)), "side-core 7 does not exist"),
        (settings(placement=ON_SIDE, side_cores=(0, 0)), "names a core twice"),
        (settings(placement=ON_SIDE, side_cores=(0, 1, 2)), "at most 2"),
        (settings(side_cores=(0,)), "'web/0' uses side-core 0"),
        (settings(placement=ON_SIDE, side_cores=(0, 2)), "side-core 2 is reserved, but no"),
        (settings(polling=True), "polling needs a side-core"),
    ],
)
def test_a_broken_rule_names_its_culprit(broken: Settings, culprit: str) -> None:
    with pytest.raises(IllegalSetting) as caught:
        check(SPEC, broken, BASELINE)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "changed", "culprit"),
    [
        ({"backends": False}, settings(placement=placed(netback=(0,))), "'netback' cannot"),
        ({"guests": False}, settings(placement=placed(db_0=(0,))), "'db/0' cannot"),
        ({"reach": {"web/0": (1, 2)}}, settings(placement=placed(web_0=(2, 3))), "cores 1, 2"),
        ({"tx_queue": None}, settings(tx_queue={"v0": 64, "v1": 32}), "'v0' cannot"),
        ({"bridge": ("stock",)}, settings(bridge="lean"), "'lean' cannot"),
        ({"polling": False}, settings(placement=ON_SIDE, side_cores=(0,), polling=True), "polling"),
        ({"side_cores": 0}, settings(placement=ON_SIDE, side_cores=(0,)), "side_cores cannot"),
    ],
)
def test_a_knob_that_the_host_cannot_set_must_stay_as_found(
    limits: dict[str, object], changed: Settings, culprit: str
) -> None:
    spec = replace(SPEC, limits=replace(SPEC.limits, **limits))
    assert any(culprit in clause for clause in violations(spec, changed, BASELINE))
    check(spec, BASELINE, BASELINE)


def test_why_a_knob_cannot_be_set_is_told() -> None:
    limits = replace(SPEC.limits, weights=(), why_not={"weight": "guests are pinned"})
    heavier = settings(weight={**BASELINE.weight, "dom0": 2048})
    with pytest.raises(IllegalSetting, match=r"'dom0' cannot be set .* host: guests are pinned"):
        check(replace(SPEC, limits=limits), heavier, BASELINE)


def test_all_broken_rules_are_told_at_once() -> None:
    broken = settings(polling=True, tx_queue={"v0": 1, "v1": 1})
    assert len(list(violations(SPEC, broken, BASELINE))) == 3


def test_what_was_found_out_of_range_may_stay() -> None:
    found = settings(tx_queue={"v0": 1, "v1": 32})
    check(SPEC, found, found)


def test_what_was_found_out_of_range_may_come_back() -> None:
    found, now, other = (settings(tx_queue={"v0": n, "v1": 32}) for n in (1, 64, 2))
    check(SPEC, found, found, now)
    with pytest.raises(IllegalSetting, match="tx_queue 2 of 'v0' is outside"):
        check(SPEC, other, found, now)
