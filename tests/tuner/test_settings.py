"""Settings compared, and given in part."""

from msgspec.structs import replace
from stumbling_host import FOUND

from tuner.settings import PartialSettings, core_list, differences


def test_equal_settings_do_not_differ() -> None:
    assert differences(FOUND, FOUND) == ()


def test_each_part_that_differs_is_named_once() -> None:
    changed = replace(
        FOUND,
        placement={**FOUND.placement, "one/0": (1,)},
        weight={**FOUND.weight, "driver": 2048},
        bridge="lean",
    )
    rows = [(d.knob, d.subject, d.before, d.after) for d in differences(FOUND, changed)]
    assert rows == [
        ("placement", "one/0", "cores 0-1", "cores 1"),
        ("weight", "driver", "1024", "2048"),
        ("bridge", "bridge", "stock", "lean"),
    ]


def test_a_partial_setting_leaves_the_rest_as_found() -> None:
    partial = PartialSettings(placement={"one/0": (1, 0, 1)}, tx_queue={"vif1": 64})
    assert partial.over(FOUND) == replace(FOUND, tx_queue={"vif1": 64, "vif2": 32})


def test_cores_are_written_as_linux_writes_them() -> None:
    assert core_list((0, 1, 2, 3, 6)) == "0-3,6"
    assert core_list((5,)) == "5"
    assert core_list(()) == ""
