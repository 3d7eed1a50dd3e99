"""``tuner compare``: policies on the same hosts with the same number of measurements."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click

from agents import registry
from envs import scenario
from envs.errors import InputError
from envs.hosts.lab.config import Workload
from envs.reward import Guards
from tuner import report
from tuner.commands import options
from tuner.compare import (
    STOCK,
    LiveBench,
    Results,
    choose_live,
    compare_simulated,
    score_live,
)
from tuner.console import Output
from tuner.fresh_labs import ROUNDS, compare_fresh_labs
from tuner.transaction import transaction
from tuner.tune import Budget, Step
from tuner.watchdog import CONFIRM_WITHIN

PAIRS = 2
"""How often a live host is measured, as found and changed in turn, for each setting tried."""


@click.command("compare")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    help="A simulated host; may be repeated. [default: all that come with it]",
)
@click.option("--host", "uri", metavar="URI", help="A live host instead: lab:")
@click.option(
    "--lab",
    "workloads",
    type=click.Choice(get_args(Workload)),
    multiple=True,
    help="Fresh labs of this workload instead, one for each run; may be repeated.",
)
@click.option(
    "--suite",
    "hosts",
    type=click.IntRange(1),
    metavar="HOSTS",
    help="That many generated test hosts instead, with up to a hundred measurements on each.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="A policy, or the folder of an agent; may be repeated. [default: all]",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Loads of each simulated host, rounds of measuring on a live one, or fresh labs.",
)
@options.tries_option
@options.seconds_option
@options.guard_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write JSON, CSV and pictures here.",
)
@options.json_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    scenarios: tuple[str, ...],
    uri: str | None,
    workloads: tuple[Workload, ...],
    hosts: int | None,
    policies: tuple[str, ...],
    runs: int,
    tries: int,
    seconds: float | None,
    guards: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare policies on the same hosts with the same measurements.

    Each policy may try the same number of settings and keeps the best it measured. What each kept
    is measured again, next to the host as found. A live host is as found again in the end.
    """
    given = (len(scenarios) > 0, uri is not None, len(workloads) > 0, hosts is not None)
    if sum(given) > 1:
        raise InputError("choose one of --scenario, --host, --lab and --suite")
    output = Output(as_json=as_json)
    if hosts is not None:
        _suite(output, hosts, policies, out, fixed=bool(guards or seconds))
        return
    kind = options.kind_of(uri) if uri else "lab" if workloads else "sim"
    rules = options.guards_of(kind, guards)
    if out is not None:
        _can_draw(out)
    names = tuple(dict.fromkeys([STOCK, *(policies or registry.names())]))
    budget = options.budget_of(kind, tries=tries, pairs=PAIRS, seconds=seconds)
    scenarios = scenarios or (scenario.names() if kind == "sim" else ())
    most = _most_measurements(len(names), len(scenarios), runs, tries)
    if uri or workloads:
        labs = len(workloads) * runs
        most = _most_live_measurements(len(names), labs or 1, ROUNDS if labs else runs, tries)
    with output.progress(most, "compare") as step:
        if uri:
            results = _on_live_host(uri, names, runs, budget, rules, step)
        elif workloads:
            results = compare_fresh_labs(workloads, runs, names, budget, rules, step)
        else:
            results = compare_simulated(scenarios, range(runs), names, budget, rules, step)
    made = report.comparison(results, budget, rules)
    for table in report.tables(made):
        output.show(table, "")
    if out is not None:
        from tuner import plots  # noqa: PLC0415 - only pictures need matplotlib

        for path in (*report.save(made, out), *plots.save(made, out)):
            output.say(f"wrote {path}")
    output.emit(made)


def _suite(
    output: Output, hosts: int, policies: Sequence[str], out: Path | None, *, fixed: bool
) -> None:
    """Play the suite; what is played stays in ``out``. ``fixed``: what is fixed here was given."""
    if fixed:
        raise InputError("--suite has measurements and guards of its own: leave these out")
    if out is None:
        raise InputError("--suite keeps what it has played: give it a folder with --out")
    _can_draw(out)
    # The simulator takes a second to load, which comparing live hosts does not need.
    from tuner import suite, suite_report  # noqa: PLC0415
    from tuner.warm import warm  # noqa: PLC0415

    warm()
    names = tuple(dict.fromkeys([STOCK, *(policies or registry.names())]))
    with output.progress(hosts * (len(names) + 1), "suite") as step:
        outcome = suite.run(out, hosts, names, len(os.sched_getaffinity(0)), step)
    output.show(suite_report.table(outcome), suite_report.worst(outcome))
    from tuner import suite_plots  # noqa: PLC0415 - only pictures need matplotlib

    for path in suite_plots.save(outcome, out):
        output.say(f"wrote {path}")
    output.emit(outcome)


def _can_draw(out: Path) -> None:
    """Make the folder of the pictures: what may fail does so before measuring begins."""
    report.make(out)
    if find_spec("matplotlib") is None:
        raise InputError(
            "--out needs matplotlib: pip install '.[plot]' where viotune's sources are"
        )


def _on_live_host(
    uri: str, names: Sequence[str], runs: int, budget: Budget, rules: Guards, step: Step
) -> Results:
    policies = [registry.get(name) for name in names]
    with options.held(uri, CONFIRM_WITHIN) as held, transaction(held, "compare") as trial:
        bench = LiveBench(trial, budget, step)
        kept, tried = choose_live(bench, policies, budget.tries, rules)
        return Results(scores=score_live(bench, kept, runs, rules), tried=tried)


def _most_measurements(policies: int, hosts: int, runs: int, tries: int) -> int:
    """The most measurements there can be: a policy may stop early, or keep what another kept."""
    return hosts * runs * (1 + policies * tries + policies)


def _most_live_measurements(policies: int, hosts: int, rounds: int, tries: int) -> int:
    """The same for live hosts, where every setting tried is measured in pairs."""
    return hosts * (1 + 2 * PAIRS * policies * tries + rounds * policies)
