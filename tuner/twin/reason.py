"""What to expect of a knob, as a record that needs no simulator."""

from envs.host import Record

ALL = "all together"


class Reason(Record, frozen=True):
    """By how much bandwidth per core is expected to be higher for what ``knob`` is changed to.

    A ratio, 1 for no difference: the median over the twins, and the range in which eight of ten of
    them are, from ``low`` to ``high``. ``knob`` is ``ALL`` for the setting as a whole.
    """

    knob: str
    ratio: float
    low: float
    high: float
