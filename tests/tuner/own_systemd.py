"""A real systemd for a test: the first process of namespaces of its own, with no units but ours.

It sees no cgroups but those below one of its own, and no settings of the kernel that it could
change, so it does not meddle with the machine; what it started ends with it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TypeVar

from envs.hosts import cgroup
from envs.hosts.transport import LocalTransport, Result

V = TypeVar("V")

PROGRAM = "/lib/systemd/systemd"
UNIT = Path(str(resources.files("tuner"))) / "viotune-watch@.service"
TARGETS = ("basic.target", "sysinit.target", "shutdown.target")
CGROUPS = Path("/sys/fs/cgroup")
HIERARCHIES = (
    *(CGROUPS / name for name in ("systemd", "unified", "cpu", "cpuacct", "blkio", "memory")),
    *(CGROUPS / name for name in ("devices", "pids")),
    CGROUPS,
)
"""Where systemd makes groups, of whatever version they are: none of them may be the machine's."""
SPACES = ("--mount", "--pid", "--fork", "--kill-child", "--uts", "--net", "--ipc", "--cgroup")
_INIT = """
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -t tmpfs -o mode=755 tmpfs /run
if [ -d /sys/fs/cgroup/unified ]; then
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
exec env -i PATH="$PATH" container=other SYSTEMD_UNIT_PATH="$1" SYSTEMD_LOG_TARGET=console \
    "$2" --system --unit=basic.target --show-status=0
"""
_JOIN = 'for group; do [ "$group" = -- ] && break; echo $$ >"$group/cgroup.procs"; shift; done'
_START = f'{_JOIN}; shift; exec "$@"'


class Inside(LocalTransport):
    """Runs commands among the processes of that systemd."""

    def __init__(self, pid: int) -> None:
        self._enter = ("nsenter", "-t", str(pid), "-m", "-p", "-u", "-n", "-i", "-C", "--")

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        return super().run((*self._enter, *argv), stdin=stdin, timeout=timeout)


@contextmanager
def running(folder: Path) -> Iterator[Inside]:
    """Start it; it ends, with all that it runs, with the block."""
    shutil.copy(UNIT, folder)
    for target in TARGETS:
        text = f"[Unit]\nDescription={target}\nDefaultDependencies=no\n"
        (folder / target).write_text(text)
    roots = [root for root in HIERARCHIES if (root / "cgroup.procs").exists()]
    groups = [root / f"viotune-{os.getpid()}" for root in roots]
    for group in groups:
        group.mkdir()
    command = ("unshare", *SPACES, "--", "sh", "-ec", _INIT, "sh", str(folder), PROGRAM)
    with (folder / "log").open("wb") as log:
        outer = subprocess.Popen(
            ("sh", "-ec", _START, "sh", *map(str, groups), "--", *command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield _up(outer, folder / "log")
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait()
        _until(lambda: all(cgroup.remove(group) for group in groups), "its cgroups to be empty")


def _up(outer: "subprocess.Popen[bytes]", log: Path) -> Inside:
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")

    def found() -> Inside | None:
        assert outer.poll() is None, log.read_text()
        pids = children.read_text().split()
        inside = Inside(int(pids[0])) if pids else None
        asked = inside and inside.run(("systemctl", "is-system-running"))
        return inside if asked and asked.out == "running\n" else None

    return _until(found, "systemd to come up")


def _until(found: Callable[[], V | None], what: str) -> V:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return value
