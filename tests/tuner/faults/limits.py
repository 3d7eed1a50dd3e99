"""What each kind of host is granted: seconds to confirm, to be back, to end, without traffic."""

from collections.abc import Mapping
from typing import NamedTuple


class Limits(NamedTuple):
    """``confirm_within`` is as short as a busy machine can keep up with.

    ``slack`` is what reading the host by other tools may take beyond that, ``took`` what all of it
    may, from the beginning of the play: a tuner that has not ended by then never does.
    """

    confirm_within: int
    slack: float
    took: float

    @property
    def back(self) -> float:
        """Within how many seconds a host must be as it must be."""
        return self.confirm_within + self.slack


LIMITS: Mapping[str, Limits] = {
    "lab:faults": Limits(20, 4.0, 90.0),
    "lab:kvm": Limits(40, 10.0, 180.0),
    "lab:xen": Limits(120, 30.0, 600.0),
}
STOOD_STILL = 1.0
"""Seconds for which guests may get nothing that the fault itself does not stop."""


def kind_of(host: str) -> str:
    """The kind of a host by its URI: labs are numbered."""
    return host.rstrip("0123456789")


def limits_of(host: str) -> Limits:
    """The limits of a host by its URI."""
    return LIMITS[kind_of(host)]
