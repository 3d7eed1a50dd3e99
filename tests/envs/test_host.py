"""Records are frozen, go to JSON and back, and refuse what they do not know."""

import msgspec
import pytest
from fake_host import BASELINE, SPEC, sample
from hosts_strategy import hosts, samples
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.host import HostSpec, Sample, Settings, from_json, to_json


@given(st.data(), hosts())
def test_records_go_to_json_and_back(data: st.DataObject, found: tuple[HostSpec, Settings]) -> None:
    spec, baseline = found
    seen = data.draw(samples(spec))
    assert from_json(to_json(spec), HostSpec) == spec
    assert from_json(to_json(baseline), Settings) == baseline
    assert from_json(to_json(seen), Sample) == seen


def test_equal_settings_give_equal_bytes_whatever_the_order_they_were_made_in() -> None:
    backwards = dict(reversed(BASELINE.placement.items()))
    same = msgspec.structs.replace(BASELINE, placement=backwards)
    assert to_json(same) == to_json(BASELINE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not a valid Settings"),
        (b'{"placement": {}, "weight": {}}', "tx_queue"),
        (b'{"placement": {}, "weight": {}, "tx_queue": {}, "colour": 1}', "colour"),
        (b'{"placement": {}, "weight": {"a": "x"}, "tx_queue": {}}', "weight"),
        (b'{"placement": {}, "weight": {}, "tx_queue": {}, "bridge": "fast"}', "fast"),
    ],
)
def test_what_is_missing_unknown_or_mistyped_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        from_json(data, Settings)


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        BASELINE.polling = True  # type: ignore[misc]


def test_a_spec_knows_its_vcpus_vifs_domains_and_who_owns_what() -> None:
    assert SPEC.core_ids == (0, 1, 2, 3)
    assert SPEC.vifs == ("v0", "v1")
    assert SPEC.vcpus == ("web/0", "db/0", "burn/0")
    assert SPEC.domains == ("dom0", "web", "db", "burn")
    assert SPEC.guest_of("v1").name == SPEC.guest_of("db/0").name == "db"
    with pytest.raises(KeyError):
        SPEC.guest_of("netback")
    assert sample().seconds == 1.0
