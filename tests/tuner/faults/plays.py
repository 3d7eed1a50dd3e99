"""What a tuner does while a fault is thrown at it, in a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from faulty import Course, Faulty
from subject import Subject, Wire

from envs.host import Settings
from tuner import state
from tuner.commands.confirm import confirm_held
from tuner.state import Held, LiveHost
from tuner.transaction import transaction
from tuner.undo import recover, roll_back

Play = Callable[[Held, Settings], None]


def keep(held: Held, target: Settings) -> None:
    """Try a setting in turn with the host as found, and confirm it."""
    with transaction(held, "faults") as trial:
        for settings in (target, trial.found, target):
            trial.apply(settings, "faults")
            trial.measure(0.02)
        trial.confirm("faults")


def give_up(held: Held, target: Settings) -> None:
    """Try a setting, and leave the host as found."""
    with transaction(held, "faults") as trial:
        trial.apply(target, "faults")
        trial.measure(0.02)


def leave_to_a_person(held: Held, target: Settings) -> None:
    """Try a setting, and leave it for a person to confirm."""
    with transaction(held, "faults") as trial:
        trial.apply(target, "faults")
        trial.measure(0.02)
        trial.hold("faults")


def go_back(held: Held, _target: Settings) -> None:
    """Return to before the change that is confirmed."""
    recover(held)
    roll_back(held)


PLAYS: dict[str, Play] = {
    "keep": keep,
    "give up": give_up,
    "go back": go_back,
    "hold": leave_to_a_person,
}
KEEPING = ("keep", "hold")
"""Plays at whose end a change is confirmed; after ``hold`` by a person, who comes anew."""


def playing(
    subject: Subject,
    play: str,
    course: Course | None = None,
    wire: Wire | None = None,
    *,
    confirm_within: int,
) -> Course:
    """Play to the end, by local commands or over a wire; its calls are those of a course."""
    course = course or Course()
    reach = subject.transport if wire is None else wire.connect

    def reopen() -> LiveHost:
        return subject.open(Faulty(reach(), course, together=wire is not None))

    with (
        opened(reopen) as host,
        state.held(host, confirm_within=confirm_within, reopen=reopen) as held,
    ):
        PLAYS[play](held, subject.target)
    if play == "hold":
        with opened(reopen) as host:
            confirm_held(subject.uri, host)
    return course


@contextmanager
def opened(anew: Callable[[], LiveHost]) -> Iterator[LiveHost]:
    """A host for as long as the block lasts."""
    host = anew()
    try:
        yield host
    finally:
        host.close()
        host.transport.close()
