"""One tuner at a time on a host.

The lock is the kernel's (``flock``): it ends with the process that holds it, however that ends,
so there is no stale lock to take over. The file says who holds it, for the one who has to wait.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from envs.errors import HostBusy, HostError, Unprivileged


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of the host whose state lives in ``directory`` until the end of the block.

    Raises HostBusy naming the holder, Unprivileged where the directory may not be written.
    """
    path = directory / "lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise Unprivileged(f"may not write {path}: run as the owner of the host") from error
    except OSError as error:
        raise HostError(f"cannot lock {path}: {error.strerror}") from error
    try:
        if not _taken(descriptor):
            raise HostBusy(f"the host is held by {_holder(descriptor)}; wait until it ends")
        now = datetime.now(UTC).isoformat("T", "seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {now}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(directory: Path) -> str | None:
    """Who holds the lock now ("process 123 since …"), or None if nobody does."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"cannot read {directory / 'lock'}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock; try again for a moment, as ``holder`` holds it while it looks."""
    for pause in (0.0, 0.05, 0.1):
        time.sleep(pause)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another tuner"
