"""``tuner simulate``: one measurement of a simulated host, or one for each value of a knob."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import click
from rich.table import Table

from envs import scenario
from envs.errors import InputError
from envs.host import HostSpec, Knob, Record, Sample, Settings
from envs.knobs import check
from envs.reward import Verdict, judge
from envs.scenario import Scenario
from envs.sim.host import SimHost
from envs.sim.latency import Answers
from envs.sim.sample import StageUse
from envs.sim.trace import trace
from tuner.commands import options
from tuner.console import Output
from tuner.settings import differences, read
from tuner.simulated import Measured, answer_table, stage_table
from tuner.sweep import RUNS, Point, sweep
from tuner.tables import diff_table, host_table, plain_table, sample_table, verdict_table
from tuner.warm import warm

GLANCE = 0.06
"""Seconds of a timeline: two slices of Xen's scheduler."""
MOMENTS = 6000
"""Looks at the host in a timeline."""
BAR = 24
"""Characters of the longest bar of a what-if table."""


class Simulation(Record, frozen=True):
    """A measurement under ``settings``, judged against the scenario's stock setting."""

    spec: HostSpec
    settings: Settings
    sample: Sample
    stages: Mapping[str, StageUse]
    answers: Answers | None
    stock: Verdict
    verdict: Verdict


@click.command("simulate")
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("--list", "list_them", is_flag=True, help="List the scenarios that come with it.")
@click.option(
    "--sweep", "knob", type=click.Choice(get_args(Knob)), help="What if: try the values of a knob."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="With --sweep, draw the curve.",
)
@click.option(
    "--timeline",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help=f"Draw who ran on which core, queues and drops, for --seconds [default: {GLANCE:g}].",
)
@options.setting_option
@options.seconds_option
@options.seed_option
@options.json_option
def command(  # noqa: PLR0913 - an option each
    *,
    name: str | None,
    list_them: bool,
    knob: Knob | None,
    plot: Path | None,
    timeline: Path | None,
    setting: Path | None,
    seconds: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a simulated host, as it is or under a setting.

    SCENARIO is a name (see --list) or the path of a TOML file.
    """
    output = Output(as_json=as_json)
    if list_them:
        for known in scenario.names():
            output.show(known)
        output.emit(scenario.names())
        return
    if name is None:
        raise InputError("name a scenario, see: tuner simulate --list")
    if plot is not None and knob is None:
        raise InputError("--plot draws the curve of a knob: say which with --sweep")
    found = scenario.load(name)
    warm()
    stock = SimHost(found).settings()
    settings = stock if setting is None else read(setting).over(stock)
    if timeline is not None:
        _draw_timeline(output, found, settings, timeline, seconds or GLANCE, seed)
    length = options.budget_of("sim", seconds=seconds).seconds
    if knob is not None:
        _what_if(output, found, settings, knob, plot, length, seed)
        return
    _measure(output, found, settings, length, seed)


def _measure(output: Output, found: Scenario, settings: Settings, length: float, seed: int) -> None:
    """One measurement as the host is, one under the setting."""
    host = SimHost(found, seed=seed)
    spec, stock = host.describe(), host.settings()
    check(spec, settings, stock)
    with output.progress(2, found.name) as step:
        step("as it is")
        before = Measured.of(host, length)
        step("under the setting")
        host.apply(settings)
        after = Measured.of(host, length)
    result = Simulation(
        spec=spec,
        settings=settings,
        sample=after.sample,
        stages=after.stages,
        answers=after.answers,
        stock=judge(spec, stock, before.sample, stock, before.sample),
        verdict=judge(spec, settings, after.sample, stock, before.sample),
    )
    output.heading(found.name)
    output.show(host_table(spec, settings))
    if settings != stock:
        output.heading("changed from stock")
        output.show(diff_table(differences(stock, settings)))
    output.heading(f"{length:g} s")
    output.show(sample_table(spec, settings, after.sample), "")
    changed = settings != stock
    rows = {"stock": before, "changed": after} if changed else {"stock": after}
    output.show(stage_table(rows), "")
    if (answers := answer_table(rows)) is not None:
        output.show(answers, "")
    verdicts = [("stock", result.stock), ("changed", result.verdict)]
    output.show(verdict_table(verdicts[: 1 + changed]))
    output.emit(result)


def _what_if(
    output: Output,
    found: Scenario,
    settings: Settings,
    knob: Knob,
    plot: Path | None,
    length: float,
    seed: int,
) -> None:
    """A measurement for each value of the knob, and the curve."""
    draw = None if plot is None else _picture()
    points = sweep(found, settings, knob, length, seed)
    output.heading(f"{found.name}: what if {knob} were …")
    output.show(
        _curve_table(knob, points), f"* as it is; medians of {RUNS} loads, {length:g} s each"
    )
    if plot is not None and draw is not None:
        draw(found.name, knob, points, plot)
        output.say(f"wrote {plot}")
    output.emit(points)


def _draw_timeline(
    output: Output, found: Scenario, settings: Settings, path: Path, seconds: float, seed: int
) -> None:
    try:
        from tuner import plots, timeline_plot  # noqa: PLC0415 - only pictures need matplotlib
    except ImportError as error:
        raise InputError(
            "--timeline needs matplotlib: pip install '.[plot]' where viotune's sources are"
        ) from error
    seen = trace(found, settings, seconds, seed=seed, moments=MOMENTS)
    spec = SimHost(found).describe()
    plots.write(timeline_plot.picture(f"{found.name}, {1e3 * seconds:g} ms", spec, seen), path)
    output.say(f"wrote {path}")


def _picture() -> Callable[[str, str, Sequence[Point], Path], None]:
    """What draws the picture; what may fail does so before anything is measured."""
    try:
        from tuner import plots, sweep_plot  # noqa: PLC0415 - only pictures need matplotlib
    except ImportError as error:
        raise InputError(
            "--plot needs matplotlib: pip install '.[plot]' where viotune's sources are"
        ) from error

    def draw(name: str, knob: str, points: Sequence[Point], path: Path) -> None:
        plots.write(sweep_plot.curve(f"{name}: what if {knob} were …", knob, points), path)

    return draw


def _curve_table(knob: Knob, points: Sequence[Point]) -> Table:
    """The what-if curve as numbers and bars; the value as it is stands out."""
    columns = ("Gb/s", "cores", "Gb/s per core", "lowest", "highest", "drops", "latency")
    table = plain_table(knob, *columns, "", numbers=len(columns))
    best = max(point.per_core.median for point in points)
    for point in points:
        ratio = point.per_core
        table.add_row(
            f"{point.value} *" if point.found else point.value,
            f"{point.bandwidth.median:.2f}",
            f"{point.cores.median:.2f}",
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f}",
            f"{ratio.high:.2f}",
            f"{point.drops:.2%}",
            f"{1e6 * point.latency:.0f} us" if point.latency is not None else "",
            "█" * round(BAR * ratio.median / best if best > 0 else 0),
            style="bold" if point.found else None,
        )
    return table
