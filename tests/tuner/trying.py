"""What tests try on a host: settings that are kept or not, and tuners that are killed."""

import os
import signal
from collections.abc import Callable

from expiry import expire
from msgspec.structs import replace
from stumbling_host import FOUND, StumblingHost

from envs.host import Settings
from tuner import state
from tuner.commands.status import Status, examine
from tuner.transaction import transaction

LONGER = replace(FOUND, tx_queue={"vif1": 1000, "vif2": 1000})
LEAN = replace(FOUND, bridge="lean")
SHORTER = replace(FOUND, tx_queue={"vif1": 8, "vif2": 8})


def attempt(host: StumblingHost, *targets: Settings) -> None:
    """Try settings without confirming any."""
    with state.held(host) as held, transaction(held, "test") as trial:
        for target in targets:
            trial.apply(target)
            trial.measure(1.0)


def keep(host: StumblingHost, target: Settings) -> None:
    """Try a setting and confirm it."""
    with state.held(host) as held, transaction(held, "test") as trial:
        trial.apply(target)
        trial.confirm()


def abandon(host: StumblingHost, *targets: Settings, halfway: bool = False) -> None:
    """Do what a process does that is killed in the middle of a transaction."""

    def kill(moment: str) -> bool:
        if moment == "apply halfway":
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    def work() -> None:
        if halfway:
            host.stumble = kill
        with state.held(host) as held, transaction(held, "test") as trial:
            for target in targets:
                trial.apply(target)
            os.kill(os.getpid(), signal.SIGKILL)

    killed_in(work)


def killed_in(work: Callable[[], None]) -> None:
    """Do what kills its process, in one of its own."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)  # else there would be two of this test suite
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def put_back_by_itself(host: StumblingHost) -> Status:
    """Have the lease run out, and what the status says when the watchdog has put the host back."""
    expire(host.state_dir)
    while (status := examine("fake:", host)).state in ("reverting", "busy"):
        pass
    return status
