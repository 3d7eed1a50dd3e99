"""``tuner apply``: try settings on a host and keep the best that is better beyond noise."""

from pathlib import Path

import click

from envs.errors import about
from tuner import fleet
from tuner.commands import options
from tuner.console import Output
from tuner.interrupts import interrupts
from tuner.settings import differences
from tuner.tables import diff_table, plain_table, trial_table, verdict_table
from tuner.tune import Tuning, tune_and_keep
from tuner.watchdog import lease


@click.command("apply")
@click.option(
    "--host",
    "given",
    required=True,
    multiple=True,
    metavar="URI",
    help="A host, or @FILE with one a line; may be repeated.",
)
@options.policy_option
@options.setting_option
@options.tries_option
@options.pairs_option
@options.seconds_option
@options.guard_option
@options.bypass_option
@click.option("--hold", is_flag=True, help='Keep the best only if a person says "tuner confirm".')
@options.confirm_option
@click.option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Of several hosts, how many are tuned at once after the first.",
)
@options.json_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    given: tuple[str, ...],
    policy: str,
    setting: Path | None,
    tries: int,
    pairs: int | None,
    seconds: float | None,
    guards: tuple[str, ...],
    hold: bool,
    confirm_within: int,
    at_once: int,
    as_json: bool,
) -> int:
    """Tune hosts: try settings, keep the best, or leave them as found.

    Each setting is measured in turn with the host as found. The best that is better beyond noise
    and breaks no guard is kept until "tuner rollback" or a reboot; otherwise, or if anything goes
    wrong, the host is put back as it was. Of several hosts the first is tuned alone, then the
    others, and none is begun after one has failed.
    """
    output = Output(as_json=as_json)
    chosen = options.policy_of(policy, setting)
    for kind in {options.kind_of(uri) for uri in given}:
        options.guards_of(kind, guards)  # refused before any host is reached
    if len(given) > 1 or given[0].startswith("@"):
        words = _words(policy, setting, tries, pairs, seconds, guards, hold, confirm_within)
        return _fleet(output, fleet.expand(given), words, at_once)
    uri = given[0]
    rules = options.guards_of(options.kind_of(uri), guards)
    with options.held(uri, confirm_within) as held:
        kind = held.host.describe().kind
        budget = options.budget_of(kind, tries=tries, pairs=pairs, seconds=seconds)
        with output.progress(budget.measurements, f"{uri}, {chosen.name}") as step:
            tuning = tune_and_keep(held, chosen, budget, rules, step, hold=hold)
    show(output, tuning)
    if hold and tuning.best is not None:
        left = lease(confirm_within)
        output.show("", f"It goes back in {left} s, unless: tuner confirm --host {uri}")
    output.emit(tuning)
    return 0


def _fleet(output: Output, hosts: tuple[str, ...], words: list[str], at_once: int) -> int:
    def told(line: fleet.Line) -> None:
        output.say(about(line.host, line.outcome))

    with interrupts() as noted:
        done = fleet.tune_all(hosts, words, at_once=at_once, noted=noted, told=told)
    table = plain_table("host", "outcome", "to as found", "exit code", "reason")
    for line in done.hosts:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        code = "" if line.exit_code is None else str(line.exit_code)
        table.add_row(line.host, line.outcome, ratio, code, line.reason)
    output.show(table)
    output.emit(done)
    return done.exit_code


def _words(
    policy: str,
    setting: Path | None,
    tries: int,
    pairs: int | None,
    seconds: float | None,
    guards: tuple[str, ...],
    hold: bool,
    confirm_within: int,
) -> list[str]:
    """The options as they are given to the command of each host."""
    words = ["--policy", policy] if setting is None else ["--setting", str(setting)]
    words += ["--tries", str(tries), "--confirm-within", str(confirm_within)]
    words += [] if pairs is None else ["--pairs", str(pairs)]
    words += [] if seconds is None else ["--seconds", repr(seconds)]
    words += [word for guard in guards for word in ("--guard", guard)]
    words += ["--bypass-filters"] if options.bypassed() else []
    return [*words, *(["--hold"] if hold else [])]


def show(output: Output, tuning: Tuning) -> None:
    """What was found, tried and decided, for people."""
    for number, tried in enumerate(tuning.trials, 1):
        output.heading(f"Try {number} would change")
        output.show(diff_table(differences(tuning.found, tried.settings)))
    if tuning.trials:
        output.heading("Measured")
        output.show(trial_table(tuning.trials))
    best = tuning.best
    if best is None:
        rows = [("as found", tuning.baseline)]
    else:
        rows = [("as found", best.judgement.before), ("as kept", best.judgement.after)]
    output.heading("Host")
    output.show(verdict_table(rows), "", tuning.reason)
    for number, tried in enumerate(tuning.trials if best is None else (), 1):
        output.show(f"  try {number}: {tried.judgement.reason}")
