"""A host changed on trial: whatever happens, it ends as it was found or as it was confirmed.

    with state.held(host) as held, transaction(held, "tried by hand") as trial:
        trial.apply(settings)
        sample = trial.measure(2.0)
        trial.confirm()             # without this line the end of the block undoes everything

The order is what makes it safe. The snapshot is in the journal and the watchdog on the host armed
before anything is touched; the host is read back before the journal says that it is changed or
restored. So a process that dies at any point leaves a host that undoes everything by itself in
time, and a journal that tells the next process what to undo at once (``tuner.undo``).

What somebody else has set meanwhile stays. The watchdog, which cannot look, has orders for those
parts alone that a setting was read back to have changed, and for all of them only while a setting
is applied for the first time. So what is lost when a tuner dies is an edit of a part that we had
changed before, or one made in that moment. Signals are obeyed while measuring and between steps
(see ``tuner.interrupts``).
"""

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from envs.errors import CommandFailed, HostBusy, HostError, InputError, Meddled, NotApplied
from envs.host import HostSpec, Sample, Settings, to_json
from envs.hosts.change import commands
from envs.knobs import check
from tuner.interrupts import Interrupts, interrupts, terminable
from tuner.journal import (
    Applied,
    Applying,
    Begun,
    Confirmed,
    Pending,
    Restored,
)
from tuner.journal import Held as HeldForAPerson
from tuner.merge import changed, same
from tuner.settings import differences
from tuner.state import FOR_A_PERSON, Held, LiveHost
from tuner.undo import (
    RESTORE_TRIES,
    insist_it_is_ours,
    put_back,
    recover,
    tell_of_watchdog,
    undoing,
)
from tuner.watchdog import Reverted

RENEWALS = 6
"""How often the lease of a host that is lent is renewed within the time it is good for."""


class Transaction:
    """A held host whose settings may be tried. Made by ``transaction``."""

    def __init__(self, held: Held, spec: HostSpec, begun: Begun, noted: Interrupts) -> None:
        self.host = held.host
        self.journal = held.journal
        self.spec = spec
        self.found: Settings = begun.found
        self.ended = False
        self.why_not = "nothing was confirmed"
        self._held = held
        self._begun = begun
        self._noted = noted
        self._now: Settings | None = begun.found
        self._expected = begun.snapshot.encode()
        self._seen = {to_json(begun.found): begun.snapshot.encode()}
        self._ours = [begun.snapshot]  # all that was ever read back: one reading may be wrong
        self._sure = True
        self._confirming: Confirmed | None = None

    @property
    def pending(self) -> Pending:
        """What there is to undo."""
        return Pending(begun=self._begun, ours=tuple(self._ours), sure=self._sure)

    def apply(self, settings: Settings, reason: str = "") -> None:
        """Set the host to ``settings`` and read that back; nothing happens if it is set already.

        Raises IllegalSetting before anything is touched, NotApplied where a value did not take,
        and HostError where somebody else has changed the host meanwhile.
        """
        self._noted.check()
        check(self.spec, settings, self.found)
        self._held.renew()
        if self._now is not None:
            self._refuse_meddling()
        if settings == self._now:
            return
        new, sure = to_json(settings) not in self._seen, self._sure
        if new:
            self._announce(settings, reason)
            self._held.arm(undoing(self.host, self.pending), instead=True)
        seen, self._now = self._expected if self._now else None, None  # until it is read back
        try:
            self._set(settings, seen)
            self._read_back(settings)
            self._held.note()
        except Meddled:
            self._sure = sure  # nothing was touched
            self._refuse_meddling()
            raise
        except NotApplied:
            self._held.renew()  # perhaps because the watchdog has put the host back meanwhile
            raise
        self._now = settings
        if new:
            self._probe(settings)

    def measure(self, seconds: float) -> Sample:
        """A sample of the host as it is now. A signal ends it at once, by Interrupted."""
        if seconds * 2 > self._held.confirm_within:
            raise InputError(
                f"a sample of {seconds:g} s needs a longer time to confirm: "
                f"--confirm-within {seconds * 2:.0f}"
            )
        self._held.renew()
        with self._noted.waiting():
            return self.host.measure(seconds)

    def confirm(self, reason: str = "") -> None:
        """Keep the settings as they are now: the end of the block will not undo them.

        Raises HostError where the host, asked afterwards, was not told so. A signal until now
        undoes everything; one from now on comes too late.
        """
        self._noted.check()
        settings, snapshot = self._settled()
        self._confirming = Confirmed(settings=settings, snapshot=snapshot, reason=reason)
        try:
            self.journal.close(self._confirming)
        except CommandFailed:  # the link broke: only the host knows whether it was told
            if not self._is_confirmed():
                raise
            self.journal.copy(self._confirming)
        else:
            with suppress(CommandFailed):
                if not self._is_confirmed():
                    raise HostError("the host says that it has confirmed, and has not")
        self.ended = True

    def hold(self, reason: str = "") -> None:
        """Leave the settings for a person to confirm in time: the host undoes them otherwise."""
        self._noted.check()
        settings, snapshot = self._settled()
        if self._held.watchdog is None:
            raise InputError("a simulated host cannot be left for a person to confirm")
        seconds = self._held.confirm_within
        self.journal.append(
            HeldForAPerson(settings=settings, snapshot=snapshot, seconds=seconds, reason=reason)
        )
        self._held.watchdog.leave_to(FOR_A_PERSON, seconds)
        self.ended = True

    def undo(self, reason: str = "") -> None:
        """Put the host back as it was found, except for what somebody else has set meanwhile."""
        if self._confirming is not None and self._is_confirmed():
            return  # it was told after all
        self._now = None
        insist_it_is_ours(self._held)
        try:
            kept = put_back(self._held, self.pending)
        except Exception:
            self._sure = False  # it may have been cut off in the middle
            raise
        if kept:
            reason += f"; left what others have changed meanwhile: {', '.join(kept)}"
        tell_of_watchdog(self._held)
        self.journal.close(Restored(reason=reason, kept=kept))

    def _is_confirmed(self) -> bool:
        """Whether the host's journal ends with the confirmation."""
        last = self.journal.standing().generations[-1:]
        return [one.after for one in last] == [self._confirming]

    def _settled(self) -> tuple[Settings, str]:
        if self._now is None:
            raise HostError("the host's settings are not known, so they cannot be confirmed")
        self._held.renew()
        self._refuse_meddling()
        return self._now, self._expected.decode()

    def _set(self, settings: Settings, seen: bytes | None) -> None:
        """Have the host set, if it is still as it was ``seen``."""
        back = self._begun.snapshot.encode() if settings == self.found else None
        if isinstance(self.host, LiveHost):
            self.host.restore(back, seen) if back else self.host.apply(settings, seen)
        else:
            self.host.restore(back) if back else self.host.apply(settings)

    def _announce(self, settings: Settings, reason: str) -> None:
        host = self.host
        self.journal.append(
            Applying(
                settings=settings,
                reason=reason,
                changes=differences(self.found, settings),
                commands=commands(host.changes(settings)) if isinstance(host, LiveHost) else (),
            )
        )
        self._sure = False

    def _read_back(self, settings: Settings) -> None:
        key, snapshot = to_json(settings), self.host.snapshot()
        unknown = self._seen.get(key) != snapshot
        if unknown:
            verify(self.host.settings(), settings)
            self.journal.append(Applied(snapshot=snapshot.decode()))
            self._ours.append(snapshot.decode())
        if unknown or not self._sure:
            self._sure = True
            self._held.arm(undoing(self.host, self.pending), instead=True)
        self._seen[key] = self._expected = snapshot

    def _probe(self, settings: Settings) -> None:
        """See that the host can still be reached anew, and says the same to a newcomer."""
        if self._held.reopen is None:
            return
        newcomer = self._held.reopen()
        try:
            verify(newcomer.settings(), settings)
        except NotApplied:
            self._refuse_meddling()
            raise
        finally:
            newcomer.close()

    def _refuse_meddling(self) -> None:
        now = self.host.snapshot()
        if not same(now, self._expected):
            self._held.renew()  # it may have been the watchdog
            parts = ", ".join(changed(self._expected, now))
            raise HostError(
                f"somebody else changed the host while it was tuned, so this gives up: {parts}"
            )


@contextmanager
def transaction(held: Held, reason: str) -> Iterator[Transaction]:
    """A transaction on a host that is held: undone at the end unless it was confirmed.

    What an earlier process left undone is undone first.
    """
    with interrupts() as noted:
        recover(held)
        held.journal.tidy()
        spec = held.host.describe()
        trial = Transaction(held, spec, _begin(held, reason), noted)
        try:
            yield trial
        except BaseException as error:
            trial.why_not = f"{type(error).__name__}: {error}"
            raise
        finally:
            if not trial.ended:
                _insist(trial, trial.why_not)
                noted.check()


@contextmanager
def lent(held: Held, reason: str) -> Iterator[None]:
    """A host that is held, for others to set at will: put back at the end.

    What an earlier process left undone is undone first. The lease is renewed by a thread, for the
    others know nothing of it; where the host has put itself back or another tuner has taken it,
    they are interrupted by KeyboardInterrupt, and that is raised instead.
    """
    with interrupts():
        recover(held)
        held.journal.tidy()
        begun = _begin(held, reason, lent=True)
    renewals = _Renewals(held)
    renewals.start()
    try:
        with terminable():
            yield
    except BaseException as error:
        if renewals.lost is None:
            raise
        told = "; ".join(filter(None, (str(renewals.lost), str(error))))
        raise type(renewals.lost)(told) from error
    finally:
        with interrupts():
            renewals.end()
            insist_it_is_ours(held)
            put_back(held, Pending(begun=begun, sure=False))
            tell_of_watchdog(held)
            held.journal.close(Restored())


def verify(actual: Settings, expected: Settings) -> None:
    """Raise NotApplied naming each part of a host that is not as ``expected``."""
    wrong = differences(expected, actual)
    if wrong:
        parts = "; ".join(f"{d.knob} of {d.subject} is {d.after}, not {d.before}" for d in wrong)
        raise NotApplied(f"the host did not take the setting: {parts}")


def _begin(held: Held, reason: str, *, lent: bool = False) -> Begun:
    """Note the host as it is, and arm its watchdog."""
    host = held.host
    snapshot, found = host.snapshot().decode(), host.settings()
    begun = Begun(snapshot=snapshot, found=found, reason=reason, lent=lent)
    undo = undoing(host, Pending(begun=begun, ours=(snapshot,), sure=not lent))
    held.journal.append(begun)
    try:
        held.arm(undo)
    except HostError:
        held.journal.close(Restored(reason="never begun: its watchdog could not be armed"))
        raise
    return begun


def _insist(trial: Transaction, reason: str) -> None:
    """Undo, and try again when the host stumbles; the watchdog stays armed if it never works."""
    for tries_left in reversed(range(RESTORE_TRIES)):
        try:
            trial.undo(reason)
        except HostBusy:
            raise
        except Exception as error:
            # Whatever it is: the host is to come back, and if it does not, that is to be told.
            if not tries_left or isinstance(error, NotApplied):  # which was tried as often
                raise HostError(
                    f"the host could not be put back ({error}); its watchdog will try again, "
                    "see: tuner status"
                ) from error
        else:
            return


class _Renewals(threading.Thread):
    """Renews the lease until its end. ``lost`` is why nobody may touch the host any more."""

    def __init__(self, held: Held) -> None:
        super().__init__(daemon=True)
        self.lost: HostError | None = None
        self._held, self._over = held, threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._held.confirm_within / RENEWALS):
            try:
                self._held.renew()
            except (Reverted, HostBusy) as error:
                self.lost = error
                _thread.interrupt_main(signal.SIGTERM)
                return
            except HostError:
                continue  # the watchdog waits for a while

    def end(self) -> None:
        self._over.set()
        self.join()
