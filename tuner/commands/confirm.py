"""``tuner confirm``: keep what ``tuner apply --hold`` has left for a person to decide."""

import click

from envs.errors import InputError, TunerError, about
from envs.host import Record, Settings
from tuner import watchdog
from tuner.commands import options
from tuner.console import Output
from tuner.journal import Confirmed
from tuner.merge import changed
from tuner.settings import Difference, differences
from tuner.state import FOR_A_PERSON, LiveHost, journal_of
from tuner.tables import diff_table


class Confirmation(Record, frozen=True):
    """What was confirmed, and what somebody else had set meanwhile, which stays as well."""

    host: str
    summary: str
    settings: Settings
    changes: tuple[Difference, ...]
    edited: tuple[str, ...]


@click.command("confirm")
@options.host_option
@options.json_option
def command(*, uri: str, as_json: bool) -> None:
    """Keep what "tuner apply --hold" has left; without this the host goes back by itself."""
    output = Output(as_json=as_json)
    with options.opened(uri) as host:
        if not isinstance(host, LiveHost):
            raise InputError(
                about(uri, "a simulated host keeps nothing, so there is none to confirm")
            )
        done = confirm_held(uri, host)
    output.show(about(uri, done.summary))
    if done.edited:
        edited = ", ".join(done.edited)
        output.show(f"somebody else has set meanwhile, and this stays, too: {edited}")
    output.show(diff_table(done.changes))
    output.emit(done)


def confirm_held(uri: str, host: LiveHost) -> Confirmation:
    """Confirm what a host was left with. Raises TunerError where nothing waits for that."""
    journal = journal_of(host)
    pending = journal.standing().pending
    if pending is None or pending.held is None:
        raise TunerError(about(uri, "nothing waits for a confirmation; see: tuner status"))
    snapshot, settings = host.snapshot(), host.settings()
    journal.close(
        Confirmed(settings=settings, snapshot=snapshot.decode(), reason=pending.held.reason)
    )
    found = watchdog.look(host.transport, host.state_dir)
    if found.holder == FOR_A_PERSON:
        watchdog.take(host.transport, host.state_dir, found.token)
    return Confirmation(
        host=uri,
        summary=f"confirmed what was held since {pending.held.time}",
        settings=settings,
        changes=differences(pending.begun.found, settings),
        edited=changed(pending.held.snapshot.encode(), snapshot),
    )
