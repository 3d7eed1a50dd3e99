"""``tuner plan``: what a policy would change on a host, without changing it."""

from pathlib import Path

import click
from rich.table import Table

from envs.errors import InputError
from envs.history import History
from envs.host import Host, HostSpec, Record, Settings
from envs.knobs import check
from envs.reward import Verdict, judge
from tuner.commands import options
from tuner.console import Output
from tuner.interrupts import interrupts
from tuner.script import script
from tuner.settings import Difference, differences
from tuner.state import LiveHost
from tuner.tables import diff_table, host_table, plain_table, verdict_table
from tuner.twin.reason import Reason
from tuner.undo import recover
from tuner.watchdog import CONFIRM_WITHIN


class Plan(Record, frozen=True):
    """What was found, and the setting that would be tried first; None leaves it as found.

    ``reasons`` says what each knob is expected to bring; where that cannot be said, ``unreasoned``
    says why.
    """

    spec: HostSpec
    policy: str
    found: Settings
    baseline: Verdict
    settings: Settings | None
    changes: tuple[Difference, ...]
    reasons: tuple[Reason, ...]
    unreasoned: str


@click.command("plan")
@options.host_option
@options.policy_option
@options.setting_option
@options.seconds_option
@options.guard_option
@options.bypass_option
@click.option(
    "--twin",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help='What to expect by: the host\'s twin, from "tuner calibrate". [default: a rough one]',
)
@click.option(
    "--script",
    "as_script",
    is_flag=True,
    help="Print a shell script that applies the plan, or undoes it.",
)
@options.json_option
def command(
    *,
    uri: str,
    policy: str,
    setting: Path | None,
    seconds: float | None,
    guards: tuple[str, ...],
    twin: Path | None,
    as_script: bool,
    as_json: bool,
) -> None:
    """Show what would be changed on a host; change nothing.

    The host is measured as found, and the first setting of the policy is shown part by part. If
    an earlier "tuner apply" was killed, what it left is undone first.
    """
    if as_json and as_script:
        raise InputError("choose one of --json and --script")
    output = Output(as_json=as_json)
    chosen = options.policy_of(policy, setting)
    rules = options.guards_of(options.kind_of(uri), guards)
    with options.held(uri, CONFIRM_WITHIN) as held:
        host = held.host
        with interrupts() as noted:
            if undone := recover(held):
                output.say(undone)
            noted.check()
        spec, found = host.describe(), host.settings()
        budget = options.budget_of(spec.kind, seconds=seconds)
        with output.progress(1, f"{uri}, {chosen.name}") as step:
            step("the host as found")
            sample = host.measure(budget.seconds)
        history = History(spec=spec, baseline=found, baseline_sample=sample, guards=rules)
        settings = chosen.propose(history)
        if settings is not None:
            check(spec, settings, found)
        if as_script:
            if not isinstance(host, LiveHost):
                raise InputError("a simulated host has no commands: use --script with a live host")
            changes = () if settings is None else host.changes(settings)
            click.echo(script(uri, chosen.name, changes), nl=False)
            return
    reasoned, unreasoned = _reasons(host, history, settings, twin)
    plan = Plan(
        spec=spec,
        policy=chosen.name,
        found=found,
        baseline=judge(spec, found, sample, found, sample, rules),
        settings=settings,
        changes=() if settings is None else differences(found, settings),
        reasons=reasoned,
        unreasoned=unreasoned,
    )
    show(output, plan)
    output.emit(plan)


def _reasons(
    host: Host, history: History, settings: Settings | None, twin: Path | None
) -> tuple[tuple[Reason, ...], str]:
    """What each knob is expected to bring, and why that cannot be said where it cannot."""
    if settings is None:
        return (), ""
    # The simulator takes a second to load, which nothing else of this verb needs.
    from envs.scenario import load  # noqa: PLC0415
    from envs.sim.host import SimHost  # noqa: PLC0415
    from tuner.twin.files import spread_of  # noqa: PLC0415
    from tuner.twin.fit import FACTORS, PRIOR  # noqa: PLC0415
    from tuner.twin.model import scenario_of  # noqa: PLC0415
    from tuner.twin.reasons import reasons  # noqa: PLC0415
    from tuner.warm import warm  # noqa: PLC0415

    warm()
    spec, found = history.spec, history.baseline
    if twin is not None:
        return reasons(spec, found, settings, load(str(twin)), spread_of(twin)), ""
    if isinstance(host, SimHost):
        return reasons(spec, found, settings, host.scenario, [0.0] * len(FACTORS)), ""
    try:
        rough = scenario_of(spec, found, history.baseline_sample, "twin")
    except InputError as error:
        return (), str(error)
    return reasons(spec, found, settings, rough, [PRIOR] * len(FACTORS)), ""


def show(output: Output, plan: Plan) -> None:
    """The host as found and the diff, for people."""
    output.heading(f"{plan.spec.uri} as found")
    output.show(host_table(plan.spec, plan.found), "")
    output.show(verdict_table([("as found", plan.baseline)]), "")
    for knob, reason in plan.spec.limits.why_not.items():
        output.show(f"{knob} cannot be set here: {reason}")
    if plan.changes:
        output.heading(f"{plan.policy} would change")
        output.show(diff_table(plan.changes))
        if plan.unreasoned:
            output.show("", f"What to expect cannot be said: {plan.unreasoned}")
        else:
            output.heading("Expected in simulation, each knob by undoing it alone")
            output.show(_expected(plan.reasons))
    else:
        output.show(f"{plan.policy} would change nothing")


def _expected(found: tuple[Reason, ...]) -> Table:
    table = plain_table("knob", "Gb/s per core", "80 % range", numbers=2)
    for one in found:
        within = f"{one.low - 1:+.0%} to {one.high - 1:+.0%}"
        table.add_row(one.knob, f"{one.ratio - 1:+.0%}", within)
    return table
