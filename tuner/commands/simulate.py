"""``tuner simulate``: one measurement of a simulated host."""

from pathlib import Path

import click

from envs import scenario
from envs.errors import InputError
from envs.host import HostSpec, Record, Sample, Settings
from envs.knobs import check
from envs.reward import Verdict, judge
from envs.sim.host import SimHost
from tuner.commands import options
from tuner.console import Output
from tuner.settings import differences, read
from tuner.tables import diff_table, host_table, sample_table, verdict_table


class Simulation(Record, frozen=True):
    """A sample under ``settings``, judged against the scenario's stock setting."""

    spec: HostSpec
    settings: Settings
    sample: Sample
    stock: Verdict
    verdict: Verdict


@click.command("simulate")
@click.argument("name", metavar="[SCENARIO]", required=False)
@click.option("--list", "list_them", is_flag=True, help="List the scenarios that come with it.")
@options.setting_option
@options.seconds_option
@options.seed_option
@options.json_option
def command(
    *,
    name: str | None,
    list_them: bool,
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
    host = SimHost(scenario.load(name), seed=seed)
    spec, stock = host.describe(), host.settings()
    settings = stock if setting is None else read(setting).over(stock)
    check(spec, settings, stock)
    length = options.budget_of(spec.kind, seconds=seconds).seconds
    with output.progress(2, name) as step:
        step("as it is")
        before = host.measure(length)
        step("under the setting")
        host.apply(settings)
        after = host.measure(length)
    result = Simulation(
        spec=spec,
        settings=settings,
        sample=after,
        stock=judge(spec, stock, before, stock, before),
        verdict=judge(spec, settings, after, stock, before),
    )
    output.heading(name)
    output.show(host_table(spec, settings))
    if settings != stock:
        output.heading("changed from stock")
        output.show(diff_table(differences(stock, settings)))
    output.heading(f"{length:g} s")
    output.show(sample_table(spec, settings, after), "")
    rows = [("stock", result.stock), ("changed", result.verdict)]
    output.show(verdict_table(rows[: 1 + (settings != stock)]))
    output.emit(result)
