"""The way back: a held host put back as it was, with or without the tuner that changed it."""

from contextlib import suppress

from envs.errors import CommandFailed, HostBusy, HostError, InputError, NotApplied
from envs.host import Host
from envs.hosts.change import Command
from tuner import watchdog
from tuner.interrupts import interrupts
from tuner.journal import Generation, Pending, PutBack, Restored, RollingBack
from tuner.merge import merge, missed, same
from tuner.state import Held, LiveHost

RESTORE_TRIES = 3
"""A host that stumbles once while it is put back is no reason to leave it changed."""


def recover(held: Held) -> str:
    """Undo what a process that is gone has left; what was done, empty if there was nothing."""
    pending = held.journal.standing().pending
    if pending is None:
        return ""
    kept = put_back(held, pending)
    did = "undid what a tuner that is gone had left"
    if when := tell_of_watchdog(held):
        did = f"the host had put itself back {when}"
    elif pending.held is not None:
        did = "undid what waited for a confirmation"
    if kept:
        did += f", but left what others have changed since: {', '.join(kept)}"
    held.journal.close(Restored(reason=did, kept=kept))
    return did


def roll_back(held: Held, *, to: int | None = None, force: bool = False) -> tuple[str, ...]:
    """Return to the state before a confirmed change, by default the last; ``to`` counts from 1.

    What somebody else has changed since is kept and named, or with ``force`` undone, too. Raises
    InputError where nothing is confirmed, or not as many changes.
    """
    generations = held.journal.standing().generations
    number = len(generations) if to is None else to
    target = _generation(generations, number)
    with interrupts():
        ours = tuple(one.after.snapshot for one in generations[number - 1 :])
        pending = Pending(begun=target.before, ours=ours, sure=not force)
        undo = undoing(held.host, pending)
        held.journal.append(RollingBack(to=number, reason=f"back to before {target.after.time}"))
        held.arm(undo)
        kept = put_back(held, pending)
        tell_of_watchdog(held)
        held.journal.close(Restored(reason=f"rolled back to before {target.after.time}", kept=kept))
    return kept


def tell_of_watchdog(held: Held) -> str:
    """Have the journal tell whether the host has put itself back; when it did, empty if not.

    What the watchdog noted is gone once another is armed. That this cannot be told must not keep
    anybody from telling that the host is back.
    """
    host = held.host
    if not isinstance(host, LiveHost):
        return ""
    when = ""
    with suppress(HostError):
        when = watchdog.look(host.transport, host.state_dir).put_back
        if when:
            said = watchdog.said(host.transport, host.state_dir)
            held.journal.append(
                PutBack(when=when, said=said, reason=f"the host put itself back {when}")
            )
    return when


def put_back(held: Held, pending: Pending) -> tuple[str, ...]:
    """Restore a snapshot and read it back; the parts that somebody else has set, which stay.

    Where it is not known what is ours, everything is put back: a host left half changed is worse
    than an edit undone. Where the host cannot be read, whatever still can be is put back, as its
    watchdog would, and HostError says why the rest cannot. What does not take is tried again:
    perhaps a person has set it in that very moment, which the next look tells.
    """
    host, found = held.host, pending.begun.snapshot.encode()
    ours, sure = [snapshot.encode() for snapshot in pending.ours], pending.sure
    tries_left = RESTORE_TRIES
    try:
        while True:
            tries_left -= 1
            now = _look(host, found)
            # What does not take though no command fails cannot be, as where a port has gone.
            halves = tries_left > 0 or not sure
            wanted = merge(found, ours if sure else [*ours, now], now, halves=halves)
            try:
                _restore(host, wanted.snapshot, now, insist=not tries_left)
            except NotApplied:
                if not tries_left:
                    raise
                sure = sure and not _has_failed(host)  # if so, what is there is half done
                insist_it_is_ours(held)
            else:
                return wanted.kept
    finally:
        with suppress(HostError):  # to be back comes first, and to say so
            held.note()


def insist_it_is_ours(held: Held) -> None:
    """Raise HostBusy where another tuner has taken the host: it has put it back, too."""
    try:
        held.renew()
    except HostBusy:
        raise
    except HostError:
        pass  # a watchdog that fails is one more reason to undo


def undoing(host: Host, pending: Pending) -> tuple[Command, ...]:
    """The commands that put a host back without us; a simulated one has none.

    They touch no part that we have not changed, where it is known which these are: what a person
    has set there meanwhile stays.
    """
    if not isinstance(host, LiveHost):
        return ()
    ours = [snapshot.encode() for snapshot in pending.ours]
    return host.restoring(pending.begun.snapshot.encode(), ours if pending.sure else None)


def _generation(generations: tuple[Generation, ...], number: int) -> Generation:
    if not generations:
        raise InputError("nothing to roll back: no change of this host is confirmed")
    if not 1 <= number <= len(generations):
        raise InputError(f"no confirmed change {number}: there are {len(generations)}")
    return generations[number - 1]


def _look(host: Host, found: bytes) -> bytes:
    """The host as it is. Where it cannot be read, what can be is put back, and HostError raised."""
    try:
        return host.snapshot()
    except HostError:
        if isinstance(host, LiveHost):
            for command in host.restoring(found):
                with suppress(CommandFailed):
                    host.did.append(host.transport.run(command))
        raise


def _restore(host: Host, wanted: bytes, now: bytes, *, insist: bool) -> None:
    """Put a host that is as in ``now`` back, and read that back.

    Raises NotApplied naming what did not take, and unless we ``insist`` also where the host is
    another by now: then a person has just set it.
    """
    if same(wanted, now):
        return
    try:
        if isinstance(host, LiveHost):
            host.restore(wanted, None if insist else now)
        else:
            host.restore(wanted)
    except InputError as error:  # what somebody else has set is of a form that we never set
        raise HostError(f"what the host is to be put back to cannot be set: {error}") from error
    left = missed(wanted, host.snapshot())
    if left:
        raise NotApplied(f"the host could not be put back: {', '.join(left)}")


def _has_failed(host: Host) -> bool:
    """Whether one of the commands that have set the host lately did not work."""
    return isinstance(host, LiveHost) and any(result.rc for result in host.did)
