"""A decision: a setting made by a sequence of choices, each offering only what is still legal.

The order is side-cores, each backend, the VCPUs of I/O guests, those of CPU-bound guests, the
weight of the driver domain, the weight of the I/O guests together, the TX queue length, the
bridge mode. A knob that the host cannot set, or that has but one value, is no choice at all.

    decision = Decision.start(spec, baseline, start)
    while decision.choice:
        decision = decision.take(index)      # 0 keeps the part as it is, and so does nonsense
    decision.settings                        # legal at every moment, not only at the end

`docs/design.md` says why a decision is made this way.
"""

from dataclasses import dataclass

from envs.host import HostSpec, Knob, Record, Settings
from envs.menu import Kind, Menu, Value

_KNOB: dict[Kind, Knob] = {
    "side_cores": "side_cores",
    "backend": "placement",
    "io_vcpu": "placement",
    "cpu_vcpu": "placement",
    "driver_weight": "weight",
    "guest_weight": "weight",
    "tx_queue": "tx_queue",
    "bridge": "bridge",
}


class Choice(Record, frozen=True):
    """A question: which of ``values`` the part ``kind`` of ``subject`` shall have.

    ``subject`` is a VCPU, a backend or the driver domain, and empty where the choice is for all
    I/O guests, all vifs or the whole host. ``values[0]`` keeps the part as it is.
    """

    kind: Kind
    subject: str
    values: tuple[Value, ...]

    @property
    def knob(self) -> Knob:
        """The knob that this choice turns."""
        return _KNOB[self.kind]


@dataclass(frozen=True, slots=True)
class Decision:
    """A setting in the making: ``settings`` so far, and the ``choice`` that is next, if any."""

    menu: Menu
    settings: Settings
    choice: Choice | None
    position: int

    @staticmethod
    def start(spec: HostSpec, baseline: Settings, start: Settings) -> "Decision":
        """The first choice of a decision that starts from the setting ``start``."""
        return Decision.over(Menu(spec, baseline), start)

    @staticmethod
    def over(menu: Menu, start: Settings) -> "Decision":
        """As ``start``, over a menu that serves many decisions on one host."""
        return _ask(menu, start, 0)

    @property
    def left(self) -> float:
        """The share of the parts that are still to be chosen, 1 at the start, 0 at the end."""
        return 1.0 - self.position / max(1, len(self.menu.parts))

    def toward(self, target: Settings) -> int:
        """The index of the value that ``target`` has in the part in question.

        It is 0, which keeps the part as it is, where that value is not offered. Raises ValueError
        when there is no choice left.
        """
        if self.choice is None:
            raise ValueError("the decision is complete: there is no choice left to take")
        kind, subject = self.choice.kind, self.choice.subject
        values = enumerate(self.choice.values)
        return next((i for i, v in values if self.menu.has(kind, subject, v, target)), 0)

    def take(self, index: int) -> "Decision":
        """Give the part in question the value at ``index``; one that is not offered keeps it.

        Raises ValueError when there is no choice left.
        """
        if self.choice is None:
            raise ValueError("the decision is complete: there is no choice left to take")
        asked = self.choice
        settings = self.settings
        if 0 < index < len(asked.values):
            settings = self.menu.settle(asked.kind, asked.subject, asked.values[index], settings)
        return _ask(self.menu, settings, self.position + 1)


def _ask(menu: Menu, settings: Settings, position: int) -> Decision:
    """The decision at the next part, from ``position`` on, that has more than one value."""
    for at in range(position, len(menu.parts)):
        kind, subject = menu.parts[at]
        values = menu.values(kind, subject, settings)
        if len(values) > 1:
            choice = Choice(kind=kind, subject=subject, values=values)
            return Decision(menu=menu, settings=settings, choice=choice, position=at)
    return Decision(menu=menu, settings=settings, choice=None, position=len(menu.parts))
