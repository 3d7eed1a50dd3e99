"""A lab's names and flows are a function of its configuration, its orders of its settings."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.host import Settings
from envs.hosts.lab.config import OUTSIDE, LabConfig, Plan, Workload, check_name, checked, plan
from envs.hosts.lab.duties import Duty, duties, stock_duties


@pytest.mark.parametrize("name", ["a", "default", "lab-2", "0123456789ab"])
def test_a_good_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-x", "A", "a/b", "..", "a b", "a\n", "0123456789abc", "é"])
def test_a_name_that_could_harm_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="lab name"):
        check_name(name)


@pytest.mark.parametrize(
    "wrong",
    [{"guests": 0}, {"guests": 17}, {"vcpus": 0}, {"neighbours": -1}, {"tx_queue": 0}],
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        checked(LabConfig(**wrong))


def _flows(made: Plan) -> set[tuple[str, str]]:
    """(from, to) of each flow, by guest."""
    owner = {peer.listen: peer.guest for peer in made.peers}
    return {(peer.guest, owner[target]) for peer in made.peers for target in peer.connect}


@pytest.mark.parametrize(
    ("workload", "flows"),
    [
        ("receive", {(OUTSIDE, "g1"), (OUTSIDE, "g2"), (OUTSIDE, "g3")}),
        ("transmit", {("g1", OUTSIDE), ("g2", OUTSIDE), ("g3", OUTSIDE)}),
        ("intra", {("g1", "g2"), ("g2", "g3"), ("g3", "g1")}),
        ("mixed", {(OUTSIDE, "g1"), ("g2", OUTSIDE), (OUTSIDE, "g3"), ("g1", "g2")}),
    ],
)
def test_a_workload_says_what_flows(workload: Workload, flows: set[tuple[str, str]]) -> None:
    assert _flows(plan(LabConfig(guests=3, workload=workload))) == flows


def test_one_guest_has_nobody_to_send_to() -> None:
    with pytest.raises(InputError, match="2 guests"):
        plan(LabConfig(guests=1, workload="intra"))


def test_names_and_addresses_are_all_different() -> None:
    made = plan(LabConfig(guests=16, vcpus=8, neighbours=2, workload="mixed"))
    vcpus = [vcpu for guest in made.guests for vcpu in guest.vcpus]
    assert len(set(vcpus)) == 16 * 8
    assert len({plug.mac for plug in made.plugs}) == 17
    assert len({peer.listen for peer in made.peers}) == len(made.peers)
    assert made.domains[0] == "driver"


def _placed(
    cores: Sequence[tuple[int, ...]], side_cores: tuple[int, ...] = (), polling: bool = False
) -> dict[str, Duty]:
    """The orders for backends placed on these cores, by the backend's number."""
    made = plan(LabConfig(guests=len(cores)))
    placement = {guest.backend: c for guest, c in zip(made.guests, cores, strict=True)}
    settings = Settings(
        placement=placement, weight={}, tx_queue={}, side_cores=side_cores, polling=polling
    )
    return dict(duties(made, settings).relays)


def test_stock_is_a_sleeping_relay_for_each_vif() -> None:
    made = plan(LabConfig(guests=2))
    assert _placed([(0, 1), (0, 1)]) == stock_duties(made).relays
    assert _placed([(0,), (1,)]) == stock_duties(made).relays


def test_backends_on_one_core_are_one_process() -> None:
    assert _placed([(0,), (0,), (1,)]) == {
        "relay1": Duty(vifs=("vif1", "vif2")),
        "relay2": Duty(vifs=()),
        "relay3": Duty(vifs=("vif3",)),
    }


def test_a_side_core_has_one_poller() -> None:
    assert _placed([(0,), (0,)], side_cores=(0,), polling=True) == {
        "relay1": Duty(vifs=("vif1", "vif2"), poll=True),
        "relay2": Duty(vifs=()),
    }


def test_without_polling_a_side_core_s_relay_sleeps() -> None:
    assert not _placed([(0,), (0,)], side_cores=(0,))["relay1"].poll


def test_only_a_backend_confined_to_side_cores_polls() -> None:
    made = _placed([(0,), (0, 1)], side_cores=(0,), polling=True)
    assert (made["relay1"].poll, made["relay2"].poll) == (True, False)


core_sets = st.sets(st.integers(0, 3), min_size=1).map(lambda cores: tuple(sorted(cores)))


@given(cores=st.lists(core_sets, min_size=1, max_size=8), reserved=core_sets, polling=st.booleans())
def test_every_vif_is_served_once_and_pollers_fit_their_cores(
    cores: list[tuple[int, ...]], reserved: tuple[int, ...], polling: bool
) -> None:
    made = plan(LabConfig(guests=len(cores)))
    orders = _placed(cores, side_cores=reserved, polling=polling)
    served = [vif for duty in orders.values() for vif in duty.vifs]
    assert sorted(served) == sorted(guest.vif for guest in made.guests)
    where = {guest.backend: c for guest, c in zip(made.guests, cores, strict=True)}
    for place in set(cores):
        pollers = [name for name, duty in orders.items() if duty.poll and where[name] == place]
        assert len(pollers) <= len(place)


def test_orders_are_json_that_a_relay_can_read() -> None:
    made = stock_duties(plan(LabConfig(guests=1)))
    text = msgspec.json.encode(made)
    assert msgspec.json.decode(text)["relays"]["relay1"] == {"vifs": ["vif1"], "poll": False}
