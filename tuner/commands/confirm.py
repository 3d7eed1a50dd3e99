"""``tuner confirm``: keep what ``tuner apply --hold`` has left for a person to decide."""

import click

from envs.errors import HostBusy, InputError, TunerError, about
from envs.host import Record, Settings
from tuner import watchdog
from tuner.commands import options
from tuner.console import Output
from tuner.journal import NO_LOCK, Confirmed
from tuner.merge import changed
from tuner.settings import Difference, differences
from tuner.state import FOR_A_PERSON, LiveHost, journal_of
from tuner.tables import diff_table
from tuner.watchdog import Reverted


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
    found = watchdog.look(host.transport, host.state_dir)
    journal = journal_of(host, found.token or NO_LOCK)
    pending = journal.standing().pending
    if pending is None or pending.held is None:
        raise TunerError(about(uri, "nothing waits for a confirmation; see: tuner status"))
    if found.reverted is not None:
        raise Reverted(
            about(uri, f"too late, the host put itself back {found.put_back}: run tuner apply anew")
        )
    if found.holder not in ("", FOR_A_PERSON):
        raise HostBusy(about(uri, f"the host is held by {found.holder}; see: tuner status"))
    left, now = pending.held, host.snapshot()
    # What was left is ours; what somebody else has set since is not, and a rollback leaves it.
    journal.close(Confirmed(settings=left.settings, snapshot=left.snapshot, reason=left.reason))
    if found.token:
        watchdog.take(host.transport, host.state_dir, found.token)
    return Confirmation(
        host=uri,
        summary=f"confirmed what was held since {left.time}",
        settings=left.settings,
        changes=differences(pending.begun.found, left.settings),
        edited=changed(left.snapshot.encode(), now),
    )
