"""One fault of every kind at a step of a transaction: the host is back, and status says why."""

from collections.abc import Iterator

import pytest
from faults import KINDS, Fixture, throw

pytestmark = pytest.mark.lab

BACK = ("as found", "as confirmed", "as found; edit kept", "as confirmed; edit kept")
SEED = 3
"""Of a run of any length, so that what fails here can be looked at there."""


@pytest.fixture(scope="module")
def fixture() -> Iterator[Fixture]:
    made = Fixture(9)
    try:
        yield made
    finally:
        made.down()


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_whatever_goes_wrong_the_host_is_as_found_or_as_confirmed(
    fixture: Fixture, number: int
) -> None:
    row = throw(fixture, number, SEED)
    assert row["outcome"] in BACK, row
    assert row["left over"] == "", row
    confirmed = row["outcome"].startswith("as confirmed")
    assert (row["status"] in ("confirmed", "changed")) == confirmed or row["status"] == "unreadable"
