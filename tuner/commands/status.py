"""``tuner status``: whether a host is as found, as confirmed, or neither."""

import click

from envs.host import Host, Record, Settings
from tuner import state
from tuner.commands import options
from tuner.console import Output
from tuner.journal import Journal, Standing
from tuner.lock import holder
from tuner.settings import Difference, differences
from tuner.tables import diff_table


class Status(Record, frozen=True):
    """Where a host stands.

    ``state`` is ``simulated`` (nothing lasts), ``untouched`` (the tuner has changed nothing),
    ``confirmed`` (as the last confirmed change left it), ``changed`` (somebody else has changed
    it since: ``changes``), ``busy`` (being tuned now) or ``interrupted`` (left in the middle of a
    transaction by a process that is gone). ``generations`` is the number of confirmed changes.
    """

    host: str
    state: str
    summary: str
    settings: Settings
    changes: tuple[Difference, ...] = ()
    generations: int = 0


@click.command("status")
@options.host_option
@options.json_option
def command(*, uri: str, as_json: bool) -> None:
    """Say whether a host is as found, as confirmed, or neither; change nothing."""
    output = Output(as_json=as_json)
    with options.opened(uri) as host:
        status = examine(uri, host)
    output.show(f"{uri}: {status.summary}")
    if status.changes:
        output.show(diff_table(status.changes))
    output.emit(status)


def examine(uri: str, host: Host) -> Status:
    """Compare what the journal says of a host with the host itself."""
    settings = host.settings()
    where = state.directory(host)
    if where is None:
        summary = "a simulated host lives only within one command, nothing is kept"
        return Status(host=uri, state="simulated", summary=summary, settings=settings)
    standing = Journal(where / state.JOURNAL).standing()
    word, summary, changes = _standing(standing, holder(where), settings)
    return Status(
        host=uri,
        state=word,
        summary=summary,
        settings=settings,
        changes=changes,
        generations=len(standing.generations),
    )


def _standing(
    standing: Standing, held_by: str | None, settings: Settings
) -> tuple[str, str, tuple[Difference, ...]]:
    if held_by is not None:
        return "busy", f"being tuned by {held_by}", ()
    if standing.pending is not None:
        left = differences(standing.pending.found, settings)
        since = f"left in the middle of a transaction begun {standing.pending.time}"
        return "interrupted", f"{since} by a process that is gone; run: tuner rollback", left
    if not standing.generations:
        return "untouched", "as found: no change of the tuner is in place", ()
    last = standing.generations[-1].after
    changes = differences(last.settings, settings)
    if changes:
        return "changed", f"changed by somebody else since the tuning of {last.time}", changes
    return "confirmed", f"as confirmed {last.time}: {last.reason}", ()
