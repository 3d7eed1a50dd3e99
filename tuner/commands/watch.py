"""``tuner watch``: keep a host tuned while its load changes."""

import math
import time
from pathlib import Path
from typing import Literal

import click
import msgspec

from agents.policy import Policy
from envs.errors import HostBusy, HostError, InputError, Unprivileged, about
from envs.host import Record
from envs.reward import Guards
from tuner import watch
from tuner.commands import options
from tuner.commands.status import examine
from tuner.console import Output
from tuner.interrupts import Interrupts, interrupts
from tuner.state import LiveHost
from tuner.tune import Budget, Tuning, tune_and_keep
from tuner.watch import Load

TIRING = 2.0
"""How much longer it waits before it tunes again, each time that this brought nothing or failed."""
MOST_TIRED = 16.0


class Told(Record, frozen=True):
    """One thing that happened, a line of JSON with ``--json``."""

    host: str
    event: Literal["looked", "changed", "kept", "left as found", "waits", "failed"]
    reason: str


class Watch:
    """What is remembered from look to look: the load last tuned for, and when that was."""

    def __init__(self, least: float) -> None:
        self.load: Load | None = None
        self.least = least
        self._suspected: Load | None = None
        self._tuned = -float("inf")
        self._tiring = 1.0

    def why(self, now: Load) -> str:
        """Why the host should be tuned; empty while it should not.

        A change has to be there twice in a row, and to have stopped going on.
        """
        if self.load is None:
            never = math.isinf(self._tuned)
            return "not tuned yet" if never else "not tuned yet for a load that holds still"
        changed = watch.change(self.load, now)
        suspected, self._suspected = self._suspected, now if changed else None
        if not changed or suspected is None or watch.change(suspected, now):
            return ""
        return f"the load has changed: {changed}"

    def seconds_left(self) -> float:
        """Until the host may be tuned again."""
        return self._tuned + self.least * self._tiring - time.monotonic()

    def tries(self) -> None:
        """Note that the host is about to be tuned: that counts, should it fail."""
        self._tuned = time.monotonic()
        self._tiring = min(MOST_TIRED, self._tiring * TIRING)

    def tuned(self, load: Load | None, *, kept: bool) -> None:
        """Note that the host has been tuned for a load, and whether that brought anything.

        Without a load, because it did not hold still, the host is not tuned yet.
        """
        self.load, self._suspected, self._tuned = load, None, time.monotonic()
        if kept:
            self._tiring = 1.0


@click.command("watch")
@options.host_option
@options.policy_option
@options.setting_option
@options.tries_option
@options.pairs_option
@options.seconds_option
@options.guard_option
@options.bypass_option
@options.confirm_option
@click.option(
    "--every",
    type=options.Seconds(0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look at the load.",
)
@click.option(
    "--at-most-every",
    type=options.Seconds(0.0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to tune at most; where that brings nothing, ever more seldom.",
)
@click.option("--looks", type=click.IntRange(1), help="End after so many looks. [default: never]")
@options.json_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    uri: str,
    policy: str,
    setting: Path | None,
    tries: int,
    pairs: int | None,
    seconds: float | None,
    guards: tuple[str, ...],
    confirm_within: int,
    every: float,
    at_most_every: float,
    looks: int | None,
    as_json: bool,
) -> None:
    """Keep a host tuned: tune it when its load has changed, each time as "tuner apply" does.

    A host that somebody else has changed since is left alone until a person applies or rolls back.
    What was confirmed stays when this ends.
    """
    output = Output(as_json=as_json)
    rules = options.guards_of(options.kind_of(uri), guards)
    memory, number = Watch(at_most_every), 0
    with interrupts() as noted:
        while True:
            chosen = options.policy_of(policy, setting)
            try:
                with options.opened(uri) as host:
                    if not isinstance(host, LiveHost):
                        raise InputError(about(uri, "a simulated host's load does not change"))
                    kind = host.describe().kind
                budget = options.budget_of(kind, tries=tries, pairs=pairs, seconds=seconds)
                told = _look(uri, memory, chosen, budget, rules, confirm_within, noted)
            except Unprivileged:
                raise
            except HostBusy as error:
                told = Told(host=uri, event="waits", reason=str(error))
            except HostError as error:
                told = Told(host=uri, event="failed", reason=str(error))
            _tell(output, told)
            number += 1
            if looks is not None and number >= looks:
                return
            with noted.waiting():
                time.sleep(every)


def _look(
    uri: str,
    memory: Watch,
    policy: Policy,
    budget: Budget,
    rules: Guards,
    confirm_within: int,
    noted: Interrupts,
) -> Told:
    """Look at the host once, and tune it if its load has changed."""
    now = _load(uri, budget, noted)
    if watch.idle(now):
        return Told(host=uri, event="looked", reason="the host carries no load")
    why = memory.why(now)
    if not why:
        return Told(host=uri, event="looked", reason="the load is as it was, or not steady yet")
    if (left := memory.seconds_left()) > 0.0:
        return Told(host=uri, event="waits", reason=f"{why}; tunes again in {left:.0f} s")
    with options.opened(uri) as host:
        status = examine(uri, host)
    if status.edited and status.state in ("changed", "untouched"):
        parts = ", ".join(status.edited)
        return Told(host=uri, event="waits", reason=f"somebody else has set {parts}: left alone")
    with options.held(uri, confirm_within) as held:
        memory.tries()
        tuning = tune_and_keep(held, policy, budget, rules, lambda _what: None, why=why)
    load = _load(uri, budget, noted) if tuning.for_this_load else None
    memory.tuned(load, kept=tuning.best is not None)
    return Told(host=uri, event=_event(tuning), reason=f"{why}: {tuning.reason}")


def _load(uri: str, budget: Budget, noted: Interrupts) -> Load:
    with options.opened(uri) as host:
        spec = host.describe()
        with noted.waiting():
            return watch.load(spec, host.measure(budget.seconds))


def _event(tuning: Tuning) -> Literal["kept", "left as found"]:
    return "left as found" if tuning.best is None else "kept"


def _tell(output: Output, told: Told) -> None:
    if output.as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        output.show(about(told.host, f"{told.event}: {told.reason}"))
