"""What a tuner does while a fault is thrown at it, in a process of its own."""

from collections.abc import Callable

from faulty import Course, Faulty
from subject import Subject, Wire

from envs.host import Settings
from tuner import state
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


def go_back(held: Held, _target: Settings) -> None:
    """Return to before the change that is confirmed."""
    recover(held)
    roll_back(held)


PLAYS: dict[str, Play] = {"keep": keep, "give up": give_up, "go back": go_back}


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

    def opened() -> LiveHost:
        return subject.open(Faulty(reach(), course, together=wire is not None))

    host = opened()
    try:
        with state.held(host, confirm_within=confirm_within, reopen=opened) as held:
            PLAYS[play](held, subject.target)
    finally:
        host.close()
        host.transport.close()
    return course
