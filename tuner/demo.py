"""A trained agent tunes a network path of this machine, before your eyes: ``make demo``.

A lab is brought up (see ``envs.hosts.lab``), the agent that comes with the program tunes it, and
what it found is measured against the host as found and the papers' heuristics, in turn. The lab is
taken down again, also on Ctrl-C. Where this machine can have no lab, a simulated one takes its
place.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from agents import registry
from envs.errors import HostError, TunerError
from envs.host import Host
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig, Workload
from envs.hosts.locate import open_host
from tuner import plots, report, state
from tuner.commands.apply import show
from tuner.commands.options import budget_of, guards_of
from tuner.compare import STOCK, LiveBench, Results, Score, choose_live, score, score_live
from tuner.console import Output
from tuner.interrupts import Interrupted, Interrupts, interrupts
from tuner.report import Comparison, Row
from tuner.statistics import mean_ratio
from tuner.tables import host_table
from tuner.transaction import transaction
from tuner.tune import tune

LAB = "demo"
WORKLOAD: Workload = "intra"
"""Guest to guest: the outside, which shares our cores but is not counted, has no part in it."""
SIMULATED = "sim:lab"
FOLDER = Path("runs/demo")
AGENT = "agent"
HEURISTICS = ("liao-cache", "liao-credit", "liao-bridge", "liao-queue", "liao-all", "lee", "both")
TRIES = 3
"""How many settings the agent may try, and each heuristic."""
ROUNDS = 5
"""How often each setting is measured in the comparison."""


def main() -> None:
    """Run the demo and exit as ``tuner`` does."""
    try:
        with interrupts() as noted:
            run(Output(as_json=False), noted)
    except TunerError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(error.exit_code)
    except Interrupted as error:
        click.echo(f"demo: ended by {error}", err=True)
        sys.exit(error.exit_code)


def run(output: Output, noted: Interrupts) -> None:
    """The demo, from bringing up a lab to the picture."""
    agent = registry.get(AGENT)
    with demo_host(output, noted) as host, noted.waiting():
        spec = host.describe()
        rules = guards_of(spec.kind, ())
        output.heading(f"1  The host as found: {spec.uri}")
        output.show(host_table(spec, host.settings()))
        with state.held(host) as held, transaction(held, "demo") as trial:
            output.heading("2  The agent tunes it: each try in turn with the host as found")
            budget = budget_of(spec.kind, tries=TRIES, seconds=1.0)
            with output.progress(budget.measurements, "tuning") as step:
                tuning = tune(trial, agent, budget, rules, step)
            show(output, tuning)
            output.heading("3  Against the papers' heuristics: all in turn, in random order")
            rivals = [registry.get(name) for name in (STOCK, *HEURISTICS)]
            less = budget_of(spec.kind, tries=TRIES, pairs=2, seconds=1.0)
            each = 2 * less.pairs * less.tries
            most = 1 + each * len(HEURISTICS) + ROUNDS * (len(rivals) + 1)
            with output.progress(most, "comparing") as step:
                bench = LiveBench(trial, less, step)
                kept, tried = choose_live(bench, rivals, less.tries, rules)
                kept[AGENT] = tuning.best.settings if tuning.best else tuning.found
                scores = score_live(bench, kept, ROUNDS, rules)
    tried += tuple(score(spec.uri, AGENT, 0, trial.judgement.after) for trial in tuning.trials)
    results = Results(scores=scores, tried=tried)
    made = report.comparison(results, budget, rules)
    for table in report.tables(made):
        output.show(table, "")
    output.show(conclusion(made))
    save(made, output)


def conclusion(made: Comparison) -> str:
    """Before and after, and the agent against the best heuristic, whoever wins."""
    by_name = {row.policy: row for row in made.rows}
    stock, agent = by_name[STOCK], by_name[AGENT]
    allowed = [row for name, row in by_name.items() if name in HEURISTICS and not row.broken]
    lines = [
        f"as found  {_figures(stock)}",
        f"agent     {_figures(agent)}, {agent.ratio.mean:.2f} times",
    ]
    if agent.broken:
        lines.append(f"The agent's setting missed a guard: {', '.join(agent.broken)}.")
    if not allowed:
        return "\n".join([*lines, "Each heuristic's setting missed a guard."])
    best = max(allowed, key=lambda row: row.ratio.mean)
    lines.append(f"best heuristic ({best.policy})  {_figures(best)}, {best.ratio.mean:.2f} times")
    lines.append(_verdict(made.scores, AGENT, best.policy))
    return "\n".join(lines)


def save(made: Comparison, output: Output) -> None:
    """Leave the picture and the data behind."""
    report.save(made, FOLDER)
    host = made.rows[0].host
    plots.write(plots.bandwidth_against_cores(host, made.rows, made.tried), FOLDER / "demo.png")
    output.show(f"The picture is {FOLDER}/demo.png, the data {FOLDER}/comparison.json.")


@contextmanager
def demo_host(output: Output, noted: Interrupts) -> Iterator[Host]:
    """A lab that is taken down at the end, or a simulated one where none can be made.

    Raises HostError where a lab of that name is left that still runs.
    """
    why_not = no_lab(noted)
    if why_not is not None:
        output.show(f"no lab can be made here ({why_not}): a simulated one takes its place")
        yield open_host(SIMULATED)
        return
    try:
        yield open_host(f"lab:{LAB}")
    finally:
        manage.down(LAB)


def no_lab(noted: Interrupts) -> HostError | None:
    """Bring up the lab, instead of a dead one of that name; the reason where none can be made."""
    manage.down_if_dead(LAB)
    try:
        with noted.waiting():
            manage.up(LabConfig(name=LAB, workload=WORKLOAD))
    except HostError as error:
        if record.directory(LAB).exists():  # one that runs is in the way
            raise
        return error
    return None


def _figures(row: Row) -> str:
    return f"{row.bandwidth:.1f} Gb/s with {row.cores:.2f} cores: {row.per_core:.1f} Gb/s per core"


def _verdict(scores: Sequence[Score], agent: str, rival: str) -> str:
    """Who is better, if the rounds tell: the two were measured in the same ones."""
    per_core = {(score.policy, score.run): score.per_core for score in scores}
    runs = sorted({score.run for score in scores})
    ratio = mean_ratio([[per_core[agent, run] / per_core[rival, run] for run in runs]])
    if ratio.low is None or ratio.high is None or ratio.low <= 1.0 <= ratio.high:
        return f"The agent and {rival} are within noise of each other ({ratio.mean:.2f})."
    word = "beats" if ratio.mean > 1.0 else "loses to"
    return (
        f"The agent {word} {rival}, the best heuristic: {ratio.mean:.2f} times its Gb/s per core."
    )


if __name__ == "__main__":
    main()
