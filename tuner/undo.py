"""The way back: a held host put back as it was, with or without the tuner that changed it."""

from contextlib import suppress

from envs.errors import CommandFailed, HostError, InputError, NotApplied
from envs.host import Host
from envs.hosts.change import Command
from tuner.interrupts import interrupts
from tuner.journal import Generation, Pending, Restored, RollingBack
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
    if kept:
        did += f", but kept what somebody else set since: {', '.join(kept)}"
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
        held.journal.close(Restored(reason=f"rolled back to before {target.after.time}", kept=kept))
    return kept


def put_back(held: Held, pending: Pending) -> tuple[str, ...]:
    """Restore a snapshot and read it back; the parts that somebody else has set, which stay.

    Where it is not known what is ours, everything is put back: a host left half changed is worse
    than an edit undone. Where the host cannot be read, whatever still can be is put back, as its
    watchdog would, and HostError says why the rest cannot.
    """
    try:
        for _ in range(RESTORE_TRIES - 1):
            with suppress(NotApplied):
                return _merged_back(held.host, pending)
        return _merged_back(held.host, pending)
    finally:
        with suppress(HostError):  # to be back comes first, and to say so
            held.note()


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


def _merged_back(host: Host, pending: Pending) -> tuple[str, ...]:
    """Put back what is ours by now. Raises NotApplied naming what did not take.

    That may be what a person has just set: the next look knows it for theirs.
    """
    found = pending.begun.snapshot.encode()
    try:
        now = host.snapshot()
    except HostError:
        if isinstance(host, LiveHost):
            for command in host.restoring(found):
                with suppress(CommandFailed):
                    host.transport.run(command)
        raise
    ours = [snapshot.encode() for snapshot in pending.ours]
    wanted = merge(found, ours if pending.sure else [*ours, now], now)
    if not same(wanted.snapshot, now):
        host.restore(wanted.snapshot)
        left = missed(wanted.snapshot, host.snapshot())
        if left:
            raise NotApplied(f"the host could not be put back: {', '.join(left)}")
    return wanted.kept
