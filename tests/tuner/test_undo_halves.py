"""A host put back where something goes wrong in the middle of a table of entries."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from envs.errors import NotApplied
from envs.host import Settings
from envs.hosts.transport import LocalTransport, Result
from tuner.journal import Begun, Journal, Pending
from tuner.state import Held
from tuner.undo import RESTORE_TRIES, put_back

Table = tuple[str, ...]
STOCK: Table = ()
DIRECT: Table = ("pin 1", "pin 2", "pin 3")


class Tables:
    """A live host that is one table. ``does`` tells what restores make of it, else as told."""

    def __init__(self, now: Table) -> None:
        self.now = now
        self.does: list[Callable[[Table], tuple[Table, int]]] = []
        self.did: deque[Result] = deque()
        self.transport = LocalTransport()
        self.uri = "lab:table"
        self.state_dir = Path("/nowhere")

    def snapshot(self) -> bytes:
        return encoded(self.now)

    def restore(self, snapshot: bytes, seen: bytes | None = None) -> None:
        assert seen in (None, self.snapshot())
        wanted = tuple(msgspec.json.decode(snapshot)["table"])
        self.now, rc = self.does.pop(0)(wanted) if self.does else (wanted, 0)
        self.did.append(Result(argv=("bridge",), rc=rc))

    def settings(self) -> None:
        """Not asked for here, as all that follows."""

    describe = apply = measure = changes = restoring = close = settings


def encoded(table: Table) -> bytes:
    return msgspec.json.encode({"table": table})


def undo(host: Tables, found: Table, *ours: Table, folder: Path) -> tuple[str, ...]:
    begun = Begun(
        snapshot=encoded(found).decode(),
        found=Settings(placement={}, weight={}, tx_queue={}),
        reason="test",
    )
    held = Held(
        host=host,
        journal=Journal(LocalTransport(), folder, watched=False),
        watchdog=None,
        confirm_within=1,
    )
    pending = Pending(begun=begun, ours=tuple(encoded(table).decode() for table in ours))
    return put_back(held, pending)


def test_a_command_refused_in_the_middle_is_run_again(tmp_path: Path) -> None:
    host = Tables(DIRECT)
    host.does.append(lambda _wanted: (DIRECT[1:], 1))
    assert undo(host, STOCK, STOCK, DIRECT, folder=tmp_path) == ()
    assert host.now == STOCK


def test_a_command_that_says_it_worked_and_did_nothing_is_run_again(tmp_path: Path) -> None:
    host = Tables(DIRECT)
    host.does.append(lambda _wanted: (DIRECT[1:], 0))
    assert undo(host, STOCK, STOCK, DIRECT, folder=tmp_path) == ()
    assert host.now == STOCK


def test_a_value_that_only_a_half_run_group_of_commands_leaves_is_no_edit(tmp_path: Path) -> None:
    host = Tables(DIRECT)
    host.does.append(lambda _wanted: (("all cores",), 1))
    assert undo(host, STOCK, STOCK, DIRECT, folder=tmp_path) == ()
    assert host.now == STOCK


def test_an_undo_that_was_killed_in_the_middle_is_finished(tmp_path: Path) -> None:
    host = Tables(DIRECT[2:])
    assert undo(host, STOCK, STOCK, DIRECT, folder=tmp_path) == ()
    assert host.now == STOCK


def test_what_cannot_come_back_though_no_command_fails_is_left(tmp_path: Path) -> None:
    """As entries for a port of a guest that is gone."""
    host = Tables(STOCK)
    host.does += [lambda wanted: (wanted[:2], 0)] * RESTORE_TRIES
    assert undo(host, DIRECT, STOCK, folder=tmp_path) == ("table",)
    assert host.now == DIRECT[:2]


def test_what_is_refused_again_and_again_is_an_error(tmp_path: Path) -> None:
    host = Tables(DIRECT)
    host.does += [lambda _wanted: (DIRECT[1:], 1)] * RESTORE_TRIES
    with pytest.raises(NotApplied, match="table"):
        undo(host, STOCK, STOCK, DIRECT, folder=tmp_path)
