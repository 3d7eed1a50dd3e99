"""``tuner rollback``: undo what the tuner did last."""

import click

from envs.host import Record, Settings
from tuner import state
from tuner.commands import options
from tuner.console import Output
from tuner.interrupts import interrupts
from tuner.settings import Difference, differences
from tuner.tables import diff_table
from tuner.transaction import recover, roll_back


class Rollback(Record, frozen=True):
    """What a rollback did."""

    host: str
    summary: str
    settings: Settings
    changes: tuple[Difference, ...]


@click.command("rollback")
@options.host_option
@click.option("--force", is_flag=True, help="Even if somebody else has changed the host since.")
@options.json_option
def command(*, uri: str, force: bool, as_json: bool) -> None:
    """Undo the last confirmed change of a host, or what a killed tuner left."""
    output = Output(as_json=as_json)
    with options.opened(uri) as host, state.held(host) as journal, interrupts():
        before = host.settings()
        if recover(host, journal):
            summary = "undid what a process that is gone had left"
        else:
            last = roll_back(host, journal, force=force)
            summary = f"undid the change of {last.after.time}"
        settings = host.settings()
    changes = differences(before, settings)
    output.show(f"{uri}: {summary}")
    if changes:
        output.show(diff_table(changes))
    output.emit(Rollback(host=uri, summary=summary, settings=settings, changes=changes))
