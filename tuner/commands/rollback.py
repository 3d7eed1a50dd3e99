"""``tuner rollback``: undo what the tuner did last, or back to before an earlier change."""

import click

from envs.errors import about
from envs.host import Record, Settings
from tuner.commands import options
from tuner.console import Output
from tuner.interrupts import interrupts
from tuner.settings import Difference, differences
from tuner.tables import diff_table
from tuner.undo import recover, roll_back


class Rollback(Record, frozen=True):
    """What a rollback did; ``kept`` names what somebody else has set since, which stays."""

    host: str
    summary: str
    settings: Settings
    changes: tuple[Difference, ...]
    kept: tuple[str, ...] = ()


@click.command("rollback")
@options.host_option
@click.option(
    "--to",
    type=click.IntRange(1),
    metavar="N",
    help='To before the confirmed change N, as "tuner status" counts them. [default: the last]',
)
@click.option("--force", is_flag=True, help="Undo what somebody else has changed since as well.")
@options.confirm_option
@options.json_option
def command(*, uri: str, to: int | None, force: bool, confirm_within: int, as_json: bool) -> None:
    """Undo confirmed changes of a host, or what waits for a confirmation or a killed tuner left.

    What somebody else has changed since stays, and is named. Where there is nothing to undo, this
    says so and succeeds: the host is where a script wants it.
    """
    output = Output(as_json=as_json)
    kept: tuple[str, ...] = ()
    with options.held(uri, confirm_within, over_a_hold=True) as held, interrupts():
        before = held.host.settings()
        summary = recover(held)
        if not summary and to is None and not held.journal.standing().generations:
            summary = "nothing to undo: no change of this host is confirmed"
        elif to is not None or not summary:
            kept = roll_back(held, to=to, force=force)
            summary = "undid the last change" if to is None else f"back to before change {to}"
            if kept:
                summary += f", but left what others have changed since: {', '.join(kept)}"
        settings = held.host.settings()
    changes = differences(before, settings)
    output.show(about(uri, summary))
    if changes:
        output.show(diff_table(changes, "before", "now"))
    output.emit(Rollback(host=uri, summary=summary, settings=settings, changes=changes, kept=kept))
