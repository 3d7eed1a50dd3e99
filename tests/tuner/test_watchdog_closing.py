"""Who decides that a host is confirmed, or back: one closing, which the journal is told of."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from expiry import expire
from watching import HERE, put_back, wait, watchdog

from envs.errors import HostBusy, HostError
from envs.hosts.transport import LocalTransport, Result
from tuner.journal import NO_LOCK, Confirmed, Journal, Restored
from tuner.watchdog import Reverted, Watchdog, look, on_host, take

from stumbling_host import FOUND  # isort: skip


def test_a_confirmation_disarms_and_is_in_the_journal(folder: Path, knob: Path) -> None:
    journal = Journal(HERE, folder)
    with watchdog(folder, 100) as dog:
        dog.arm(put_back(knob))
        journal.close(Confirmed(settings=FOUND, snapshot="{}"))
        assert not look(HERE, folder).armed
        assert len(journal.events()) == 1


def test_a_confirmation_that_comes_too_late_is_refused(folder: Path, knob: Path) -> None:
    journal = Journal(HERE, folder)
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        expire(folder)
        wait(lambda: look(HERE, folder).reverted is not None)
        with pytest.raises(Reverted):
            journal.close(Confirmed(settings=FOUND, snapshot="{}"))
    assert journal.events() == ()


@pytest.mark.parametrize("event", [Confirmed(settings=FOUND, snapshot="{}"), Restored()])
def test_a_tuner_that_hung_ends_nothing_of_who_has_the_host_since(
    folder: Path, knob: Path, event: Confirmed | Restored
) -> None:
    with watchdog(folder, 1000) as hung:
        journal = Journal(HERE, folder, token=hung.token)
        hung.arm(put_back(knob))
        take(HERE, folder, hung.token)
        with watchdog(folder, 1000) as another:
            another.arm(put_back(knob))
            with pytest.raises(HostBusy, match=f"held by process {os.getpid()}"):
                journal.close(event)
            with pytest.raises(HostBusy):
                journal.append(event)
            assert look(HERE, folder).armed
    assert journal.events() == ()


@pytest.mark.parametrize("told", [True, False])
def test_a_confirmation_killed_halfway_counts_if_the_journal_was_told(
    folder: Path, knob: Path, *, told: bool
) -> None:
    event = Confirmed(settings=FOUND, snapshot="{}")
    journal = Journal(HERE, folder)
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        journal.append(event)
        line = (folder / "journal.jsonl").read_text() if told else "another\n"
        (folder / "closing").write_text(line)
        (folder / "undo").rename(folder / "closed")
        assert look(HERE, folder).armed
        expire(folder)
        wait(lambda: not look(HERE, folder).token)
    assert knob.read_text() == ("changed\n" if told else "found\n")
    assert not (folder / "closed").exists()


def test_a_confirmation_killed_halfway_can_be_made_again(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        (folder / "undo").rename(folder / "closed")
        Journal(HERE, folder).close(Confirmed(settings=FOUND, snapshot="{}"))
        assert not look(HERE, folder).armed


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A file that another process is at work on."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_waited_for(path: Path) -> bool:
    """Whether a process waits to lock a file."""
    inode = path.stat().st_ino
    locks = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{inode} " in line for line in locks)


def test_a_confirmation_that_is_only_slow_is_waited_for(folder: Path, knob: Path) -> None:
    closing, closed = folder / "closing", folder / "closed"
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        with locked(closing):
            (folder / "undo").rename(closed)
            expire(folder)
            wait(lambda: is_waited_for(closing) or not closed.exists())
            closed.unlink()
        wait(lambda: not look(HERE, folder).token)
    assert knob.read_text() == "changed\n"


class Cut(LocalTransport):
    """What is told on stdin is cut off: whoever told it has died, or the link was cut."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        return super().run(argv, stdin=stdin[: len(stdin) // 2], timeout=timeout)


def test_a_confirmation_that_is_cut_off_leaves_the_watchdog_armed(folder: Path, knob: Path) -> None:
    with watchdog(folder, 1000) as dog:
        dog.arm(put_back(knob))
        with pytest.raises(HostError):
            Journal(Cut(), folder).close(Confirmed(settings=FOUND, snapshot="{}"))
        assert look(HERE, folder).armed
        assert Journal(HERE, folder).events() == ()


def test_an_event_that_is_cut_off_never_happened(folder: Path) -> None:
    event = Confirmed(settings=FOUND, snapshot="{}")
    journal = Journal(HERE, folder)
    journal.append(event)
    with pytest.raises(HostError):
        Journal(Cut(), folder).append(event)
    assert journal.events() == (event,)
    assert on_host(Cut(), folder, "tidy", NO_LOCK, stdin=b"{}\n").rc != 0
    assert journal.events() == (event,)


def test_an_order_that_is_cut_off_is_not_taken(folder: Path, knob: Path) -> None:
    dog = Watchdog(Cut(), folder, 1000)
    with pytest.raises(HostError):
        dog.start()
    assert not look(HERE, folder).token
    with watchdog(folder, 1000) as living:
        words = (living.token, "1000", "may")
        assert on_host(Cut(), folder, "arm", *words, stdin=b"carry_out true\n").rc != 0
        assert not look(HERE, folder).armed
