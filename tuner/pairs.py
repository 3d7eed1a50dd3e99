"""Pairs of samples taken next to each other."""

from envs.host import Record, Sample


class Pair(Record, frozen=True):
    """A sample of the host as found and one under a setting, taken one after the other.

    A live host drifts: what is measured minutes apart cannot be compared, what is measured next
    to each other can.
    """

    before: Sample
    after: Sample
