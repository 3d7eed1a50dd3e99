"""A host changed on trial: whatever happens, it ends as it was found or as it was confirmed.

    with state.held(host) as journal, transaction(host, journal, "tried by hand") as trial:
        trial.apply(settings)
        sample = trial.measure(2.0)
        trial.confirm()             # without this line the end of the block undoes everything

The order is what makes it safe. The snapshot is in the journal, on disk, before anything is
touched; the host is read back before the journal says that it is changed or restored. So a
process that dies at any point leaves a journal that tells the next one what to undo (``recover``).
Signals are obeyed only while measuring (see ``tuner.interrupts``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from envs.errors import HostError, InputError, NotApplied
from envs.host import Host, HostSpec, Sample, Settings
from envs.knobs import check, violations
from tuner.interrupts import Interrupts, interrupts
from tuner.journal import Applying, Begun, Confirmed, Generation, Journal, Restored, RollingBack
from tuner.settings import Difference, differences, with_edit

RESTORE_TRIES = 3
"""A host that stumbles once while it is put back is no reason to leave it changed."""


class Transaction:
    """A held host whose settings may be tried. Made by ``transaction``."""

    def __init__(self, host: Host, journal: Journal, begun: Begun, noted: Interrupts) -> None:
        self.host = host
        self.journal = journal
        self.spec: HostSpec = host.describe()
        self.found: Settings = begun.found
        self.confirmed = False
        self._begun = begun
        self._noted = noted
        self._now: Settings | None = begun.found
        self._edited: Settings | None = None

    def apply(self, settings: Settings) -> None:
        """Set the host to ``settings`` and read that back; nothing happens if it is set already.

        Raises IllegalSetting before anything is touched, NotApplied where a value did not take,
        and HostError where somebody else has changed the host meanwhile.
        """
        self._noted.check()
        check(self.spec, settings, self.found)
        if self._now is not None:
            self._refuse_meddling(self._now)
        if settings == self._now:
            return
        self._now = None  # not known until it is read back
        self.host.apply(settings)
        verify(self.host, settings)
        self._now = settings

    def measure(self, seconds: float) -> Sample:
        """A sample of the host as it is now. A signal ends it at once, by Interrupted."""
        with self._noted.waiting():
            return self.host.measure(seconds)

    def announce(self, settings: Settings, reason: str) -> None:
        """Note in the journal that ``settings`` are about to be tried."""
        check(self.spec, settings, self.found)
        self.journal.append(Applying(settings=settings, reason=reason))

    def confirm(self, reason: str = "") -> None:
        """Keep the settings as they are now: the end of the block will not undo them."""
        if self._now is None:
            raise HostError("the host's settings are not known, so they cannot be confirmed")
        verify(self.host, self._now)
        self.journal.append(Confirmed(settings=self._now, reason=reason))
        self.confirmed = True

    def undo(self, reason: str = "") -> None:
        """Put the host back as it was found, except for what somebody else has set meanwhile."""
        if self._now is not None:
            self._edited, self._now = self._edit(self._now), None
        put_back(self.host, self._begun)
        if self._edited is not None:
            self.host.apply(self._edited)
            verify(self.host, self._edited)
            kept = differences(self.found, self._edited)
            reason += "; kept what somebody else set meanwhile: " + _names(kept)
        self.journal.append(Restored(reason=reason))

    def _refuse_meddling(self, expected: Settings) -> None:
        actual = self.host.settings()
        if actual != expected:
            changed = _names(differences(expected, actual))
            raise HostError(f"somebody else changed the host while it was tuned: {changed}")

    def _edit(self, expected: Settings) -> Settings | None:
        """The host as found but with a person's edit, None if there is no (legal) edit."""
        wanted = with_edit(self.found, expected, self.host.settings())
        if wanted == self.found or any(violations(self.spec, wanted, self.found)):
            return None
        return wanted


@contextmanager
def transaction(host: Host, journal: Journal, reason: str) -> Iterator[Transaction]:
    """A transaction on a host whose lock is held: undone at the end unless it was confirmed.

    What an earlier process left undone is undone first.
    """
    with interrupts() as noted:
        recover(host, journal)
        begun = Begun(snapshot=host.snapshot().decode(), found=host.settings(), reason=reason)
        trial = Transaction(host, journal, begun, noted)
        journal.append(begun)
        why = "nothing was confirmed"
        try:
            yield trial
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            if not trial.confirmed:
                _insist(trial, why)
                noted.check()


@contextmanager
def lent(host: Host, journal: Journal, reason: str) -> Iterator[None]:
    """A host whose lock is held, for others to set at will: put back at the end.

    What an earlier process left undone is undone first.
    """
    with interrupts():
        recover(host, journal)
        begun = Begun(snapshot=host.snapshot().decode(), found=host.settings(), reason=reason)
        journal.append(begun)
    try:
        yield
    finally:
        with interrupts():
            put_back(host, begun)
            journal.append(Restored())


def recover(host: Host, journal: Journal) -> bool:
    """Undo what a process that is gone has left; whether there was anything."""
    pending = journal.standing().pending
    if pending is None:
        return False
    put_back(host, pending)
    journal.append(Restored(reason="undid what a process that is gone had left"))
    return True


def roll_back(host: Host, journal: Journal, *, force: bool = False) -> Generation:
    """Return to the state before the last confirmed change.

    Raises InputError where nothing is confirmed, or where somebody else has changed the host
    since and ``force`` is not given.
    """
    generations = journal.standing().generations
    if not generations:
        raise InputError("nothing to roll back: no change of this host is confirmed")
    last = generations[-1]
    changed = differences(last.after.settings, host.settings())
    if changed and not force:
        raise InputError(
            f"somebody else has changed the host since: {_names(changed)}; "
            "give --force to roll back all the same"
        )
    with interrupts():
        journal.append(RollingBack(reason=f"back to before {last.after.time}"))
        put_back(host, last.before)
        journal.append(Restored())
    return last


def put_back(host: Host, begun: Begun) -> None:
    """Restore a snapshot and see that the host is as it was found then."""
    host.restore(begun.snapshot.encode())
    verify(host, begun.found)


def verify(host: Host, expected: Settings) -> None:
    """Raise NotApplied naming each part of the host that is not as ``expected``."""
    wrong = differences(expected, host.settings())
    if wrong:
        parts = "; ".join(f"{d.knob} of {d.subject} is {d.after}, not {d.before}" for d in wrong)
        raise NotApplied(f"the host did not take the setting: {parts}")


def _insist(trial: Transaction, reason: str) -> None:
    """Undo, and try again when the host stumbles; the journal stays open if it never works."""
    for tries_left in reversed(range(RESTORE_TRIES)):
        try:
            trial.undo(reason)
        except HostError as error:
            if not tries_left:
                raise HostError(
                    f"the host could not be put back ({error}); run: tuner rollback"
                ) from error
        else:
            return


def _names(changed: tuple[Difference, ...]) -> str:
    return ", ".join(f"{part.knob} of {part.subject}" for part in changed)
