"""Where a host's tuning state lives: its lock and its journal.

A live host says where (``state_dir``). A simulated host lives and dies with the process, and so
does its state: a folder that is removed again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from envs.host import Host
from tuner.journal import Journal
from tuner.lock import locked

JOURNAL = "journal.jsonl"


def directory(host: Host) -> Path | None:
    """The folder of a live host's state, None for a simulated host."""
    where = getattr(host, "state_dir", None)
    return None if where is None else Path(where)


@contextmanager
def held(host: Host) -> Iterator[Journal]:
    """The host's journal, with its lock held until the end of the block.

    Raises HostBusy where another process holds the lock.
    """
    where = directory(host)
    if where is None:
        with TemporaryDirectory(prefix="viotune-") as folder:
            yield Journal(Path(folder) / JOURNAL)
        return
    with locked(where):
        yield Journal(where / JOURNAL)
