from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.host import from_json, to_json
from envs.scenario import (
    TEST_SEEDS,
    TRAIN_SEEDS,
    VALIDATION_SEEDS,
    Scenario,
    generate,
    load,
    names,
)
from envs.scenario.files import parse

SMALLEST = """
name = "small"
about = "one guest receives"
guests = [{ name = "g1" }]
flows = [{ source = "outside", sink = "g1" }]
"""


def test_shipped_scenarios_load_and_are_named_like_their_files() -> None:
    assert {"xen-2008-receive", "lee-2013-intra", "modern-kvm", "lab"} <= set(names())
    for name in names():
        assert load(name).name == name


def test_a_scenario_of_one_s_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALLEST)
    assert load(str(file)).name == "small"


def test_a_scenario_goes_to_json_and_back() -> None:
    scenario = load("lab")
    assert from_json(to_json(scenario), Scenario) == scenario


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('colour = "red"', "unknown field `colour`"),
        ("offload = 3", r"Expected `bool`, got `int` - at `\$.offload`"),
        ("topology = { cores = 0 }", r"topology.cores: 0 is outside 1..62"),
        ("topology = { cores = 8, ghz = -1.0 }", "topology.ghz: must be above 0"),
        ("uplink = { llc = 9 }", "uplink.llc: there is no LLC domain 9"),
        ("uplink = { gbps = nan }", "uplink.gbps: must not be negative"),
        ("stock = { tx_queue = 0 }", "stock.tx_queue: 0 is outside 1..1000"),
        ("settable = { side_cores = 8 }", "settable.side_cores: 8 is outside 0..7"),
        ("costs = { copy_own = -0.1 }", "costs.copy_own: must not be negative"),
        ('scheduler = { kind = "lottery" }', "Invalid enum value 'lottery'"),
    ],
)
def test_what_cannot_be_is_refused_with_file_key_and_reason(line: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        parse(line + "\n" + SMALLEST, "mine.toml")
    assert str(refused.value).startswith("mine.toml: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('sink = "g1"', 'sink = "g2"', "no guest has a vif 'g2'; there are outside, g1"),
        ('sink = "g1"', 'sink = "outside"', "sink is the same"),
        ('{ name = "g1" }', '{ name = "g1" }, { name = "g1" }', "the name 'g1' is taken"),
        ('{ name = "g1" }', '{ name = "outside" }', "the name 'outside' is taken"),
        ('{ name = "g1" }', '{ name = "g1", role = "cpu" }', "must be 0 for a CPU-bound guest"),
    ],
)
def test_guests_and_flows_must_fit_together(old: str, new: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse(SMALLEST.replace(old, new), "mine.toml")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no scenario 'xen'; there are lab, .*xen-2008-receive"):
        load("xen")


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot read /no/such\.toml"):
        load("/no/such.toml")


def test_broken_toml_is_refused() -> None:
    with pytest.raises(InputError, match=r"mine\.toml: "):
        parse("name = ", "mine.toml")


def test_seed_ranges_have_nothing_in_common() -> None:
    ranges = sorted((TRAIN_SEEDS, VALIDATION_SEEDS, TEST_SEEDS), key=lambda r: r.start)
    assert all(one.stop <= next_.start for one, next_ in pairwise(ranges))


@given(st.integers(0, 2_001_000))
@settings(max_examples=100)
def test_generated_scenarios_stay_within_what_training_promises(seed: int) -> None:
    scenario = generate(seed)
    assert scenario == generate(seed)
    assert 2 <= scenario.topology.cores <= 16
    assert 1 <= scenario.topology.per_llc <= 8
    assert 1 <= sum(guest.role == "io" for guest in scenario.guests) <= 6
    assert sum(guest.role == "cpu" for guest in scenario.guests) <= 3
    assert msgspec.json.decode(to_json(scenario), type=Scenario) == scenario


def test_generated_hosts_differ() -> None:
    found = [generate(seed) for seed in range(60)]
    assert {s.platform for s in found} == {"xen", "kvm", "lab"}
    assert {s.driver_domain.kind for s in found} == {"netback-2007", "threads", "relays"}
    assert {s.scheduler.kind for s in found} == {"credit-2008", "credit", "fair"}
    assert {flow.kind for s in found for flow in s.flows} == {"tcp", "udp"}
