"""``tuner calibrate``: a host's twin, from a short series of measurements on it."""

from pathlib import Path
from random import Random

import click

from envs.errors import TunerError
from envs.history import History
from envs.host import Sample, Settings
from envs.pooling import pool
from tuner.commands import options
from tuner.console import Output
from tuner.tables import plain_table
from tuner.transaction import Transaction, transaction
from tuner.tune import Budget, Step, settled
from tuner.twin.design import AS_FOUND, RECIPES, designed
from tuner.twin.files import check, write
from tuner.twin.fit import Fit, fit
from tuner.twin.model import scenario_of
from tuner.warm import warm
from tuner.watchdog import CONFIRM_WITHIN

ROUNDS = 3


@click.command("calibrate")
@options.host_option
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The scenario, as TOML.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=ROUNDS,
    show_default=True,
    help="How often each setting is measured.",
)
@options.seconds_option
@options.bypass_option
@options.json_option
def command(*, uri: str, out: Path, rounds: int, seconds: float | None, as_json: bool) -> None:
    """Fit the simulator to a host; write the scenario that is its twin.

    The host is measured under a few settings, each of which turns one knob, and is as it was found
    in the end. Train on the twin with: tuner train --scenario FILE --from agent --out DIR
    """
    output = Output(as_json=as_json)
    check(out)
    with options.held(uri, CONFIRM_WITHIN) as held, transaction(held, "calibrate") as trial:
        budget = options.budget_of(trial.spec.kind, seconds=seconds)
        with output.progress(1 + rounds * (len(RECIPES) + 1), "calibrate") as step:
            settings, samples = measure(trial, rounds, budget, step)
    warm()
    with output.progress(1, "fit") as step:
        step(out.stem)
        load = pool(samples[AS_FOUND])
        rough = scenario_of(trial.spec, trial.found, load, out.stem)
        scenario, found = fit(trial.spec, rough, settings, samples)
    show(output, found)
    output.emit(found)
    if found.poor:
        raise TunerError(
            f"{uri} is not as its twin has it, so nothing is written: calibrate while the host has"
            " no other work, with more --rounds or longer --seconds"
        )
    write(out, scenario, found)
    output.say(f"wrote {out}; try: tuner simulate {out} --sweep placement")


def measure(
    trial: Transaction, rounds: int, budget: Budget, step: Step
) -> tuple[dict[str, Settings], dict[str, list[Sample]]]:
    """Each designed setting, and its samples, a round of all in random order at a time."""
    step("the host as found")
    baseline = trial.measure(budget.seconds)
    settings = designed(History(spec=trial.spec, baseline=trial.found, baseline_sample=baseline))
    samples: dict[str, list[Sample]] = {name: [] for name in settings}
    order = Random(0)  # noqa: S311 - an order to measure in, not a secret
    for _ in range(rounds):
        for name in order.sample(list(settings), len(settings)):
            step(name)
            samples[name].append(settled(trial, settings[name], budget, "calibrate"))
    return settings, samples


def show(output: Output, found: Fit) -> None:
    """The factors with how sure they are, and what the twin makes of each setting."""
    output.heading("Constants")
    factors = plain_table("costs of", "are times the usual", "give or take a factor of", numbers=2)
    for one in found.factors:
        factors.add_row(one.name, f"{one.factor:.2f}", f"{one.error:.2f}")
    output.show(factors)
    output.heading("Measured and simulated")
    points = plain_table("setting", "Gb/s", "twin", "cores", "twin", "", numbers=4)
    for point in found.points:
        (gbps, cores), (own_gbps, own_cores) = point.measured, point.simulated
        points.add_row(
            point.setting,
            f"{gbps:.2f}",
            f"{own_gbps:.2f}",
            f"{cores:.2f}",
            f"{own_cores:.2f}",
            "" if point.fitted else "held out",
        )
    output.show(points)
    text = f"median error of the twin {found.error:.1%}, before the fit {found.before:.1%}"
    if found.held_out is not None:
        text += f"; of the settings held out {found.held_out:.1%}"
    output.show("", text)
