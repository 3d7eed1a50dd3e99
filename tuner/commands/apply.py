"""``tuner apply``: try settings on a host and keep the best that is better beyond noise."""

from pathlib import Path

import click

from tuner.commands import options
from tuner.console import Output
from tuner.settings import differences
from tuner.tables import diff_table, trial_table, verdict_table
from tuner.transaction import transaction
from tuner.tune import Tuning, tune


@click.command("apply")
@options.host_option
@options.policy_option
@options.setting_option
@options.tries_option
@options.pairs_option
@options.seconds_option
@options.guard_option
@click.option("--hold", is_flag=True, help='Keep the best only if a person says "tuner confirm".')
@options.confirm_option
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
    hold: bool,
    confirm_within: int,
    as_json: bool,
) -> None:
    """Tune a host: try settings, keep the best, or leave it as found.

    Each setting is measured in turn with the host as found. The best that is better beyond noise
    and breaks no guard is kept until "tuner rollback" or a reboot; otherwise, or if anything goes
    wrong, the host is put back as it was.
    """
    output = Output(as_json=as_json)
    chosen = options.policy_of(policy, setting)
    rules = options.guards_of(options.kind_of(uri), guards)
    with (
        options.held(uri, confirm_within) as held,
        transaction(held, f"apply {chosen.name}") as trial,
    ):
        budget = options.budget_of(trial.spec.kind, tries=tries, pairs=pairs, seconds=seconds)
        with output.progress(budget.measurements, f"{uri}, {chosen.name}") as step:
            tuning = tune(trial, chosen, budget, rules, step)
        if tuning.best is not None:
            trial.apply(tuning.best.settings)
            if hold:
                trial.hold(tuning.reason)
            else:
                trial.confirm(tuning.reason)
    show(output, tuning)
    if hold and tuning.best is not None:
        output.show("", f"It goes back in {confirm_within} s, unless: tuner confirm --host {uri}")
    output.emit(tuning)


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
    for tried in tuning.trials if best is None else ():
        output.show(f"  {tried.judgement.outcome}: {tried.judgement.reason}")
