"""What a knob brings: the difference that undoing it makes."""

from msgspec.structs import replace

from envs.scenario import load
from envs.sim.host import SimHost
from tuner.twin.fit import FACTORS
from tuner.twin.reason import ALL
from tuner.twin.reasons import reasons

SCENARIO = load("lab")
SURE, UNSURE = [0.0] * len(FACTORS), [0.7] * len(FACTORS)
HOST = SimHost(SCENARIO)
SPEC, FOUND = HOST.describe(), HOST.settings()
APART = replace(FOUND, placement=FOUND.placement | {"relay-g1": (0,), "relay-g2": (0,)})


def test_a_setting_with_one_knob_owes_all_to_it() -> None:
    whole, knob = reasons(SPEC, FOUND, APART, SCENARIO, SURE)
    assert (whole.knob, knob.knob) == (ALL, "placement")
    assert (whole.ratio, whole.low, whole.high) == (knob.ratio, knob.low, knob.high)
    assert whole.low <= whole.ratio <= whole.high


def test_only_knobs_that_were_changed_are_named() -> None:
    both = replace(APART, bridge="direct")
    assert [one.knob for one in reasons(SPEC, FOUND, both, SCENARIO, SURE)] == [
        ALL,
        "placement",
        "bridge",
    ]


def test_who_is_unsure_of_the_constants_is_less_sure_of_the_outcome() -> None:
    sure, unsure = (reasons(SPEC, FOUND, APART, SCENARIO, spread)[0] for spread in (SURE, UNSURE))
    assert unsure.high / unsure.low > sure.high / sure.low
