"""Labs made, removed and looked at.

``up`` writes what it is about to make before making it and returns when traffic flows; ``down``
takes everything away, whatever state it is in; ``status`` tells what is there. A process is only
ever ended if its environment carries the lab's token, and through a descriptor of that very
process, so a pid used anew is safe.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from envs.errors import HostError, Unprivileged
from envs.host import Record
from envs.hosts import cgroup, linux
from envs.hosts.lab import record
from envs.hosts.lab.config import LabConfig, checked, plan
from envs.hosts.lab.record import Lab

_PATIENCE = 30.0
"""Seconds a lab may take to start, or to go: far more than it needs on a busy machine."""
_PROGRAMS = ("ip", "bridge", "tc", "nsenter", "setsid", "taskset", "lscpu")
_FLOWING = 100_000
"""Bytes that have crossed a vif when traffic flows: more than connecting takes."""


class LabStatus(Record, frozen=True):
    """A lab as it is: ``up`` when it was made and all of it still runs.

    ``missing`` names the processes that have ended; ``why_no_weights`` is empty where weights
    can be set. Where its record cannot be read ``config`` is None, and ``damaged`` says what to do.
    """

    name: str
    up: bool
    config: LabConfig | None
    state_dir: str
    missing: tuple[str, ...] = ()
    why_no_weights: str = ""
    damaged: str = ""


def up(config: LabConfig) -> LabStatus:
    """Make a lab and wait until its traffic flows.

    Raises InputError for a configuration that cannot be, Unprivileged where this user may not
    make one, HostError where one of that name exists or it does not start.
    """
    plan(checked(config))
    _check_machine()
    folder = record.directory(config.name)
    record.create(folder, _blank(config))
    try:
        _start(folder)
        _await(lambda: _flowing(folder), f"lab {config.name!r} carries no traffic")
    except BaseException:
        down(config.name)
        raise
    return _status(folder, record.read(folder))


def down(name: str) -> None:
    """Remove a lab, or what is left of one, also where its record cannot be read or is gone.

    Its namespaces and taps go with its processes. Raises HostError where there is nothing of it.
    """
    folder = record.directory(name)
    lab = _lab_of(folder)
    group = lab.group
    left = folder.exists() or (group is not None and group.exists()) or any(_carriers(lab.token))
    if not left:
        raise HostError(f"no lab {name!r} is up, and nothing of one is left: see: tuner lab status")
    record.forget(folder)
    # Twice: one that forks and ends between the list of processes and the look at it is not seen.
    complaint = f"processes of lab {name!r} do not end"
    _await(lambda: not _kill(lab.token) and not _kill(lab.token), complaint)
    if group is not None:
        _await(lambda: cgroup.remove(group), f"the cgroup {group} cannot be removed")
    _await(lambda: _removed(folder), f"{folder} stays: something writes into it")


def _removed(folder: Path) -> bool:
    """Remove a folder; False where somebody has put something into it meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def down_if_dead(name: str) -> None:
    """Remove what is left of a lab of which no process runs any more; leave any other alone.

    Raises HostError where it cannot be told.
    """
    folder = record.directory(name)
    recorded = (folder / "lab.json").exists()
    if folder.exists() and not (recorded and any(_carriers(record.read(folder).token))):
        down(name)


def status(name: str | None = None) -> tuple[LabStatus, ...]:
    """The labs of this user, or the one of that name.

    Raises HostError where that one is not there, or its record cannot be read.
    """
    if name is not None:
        folder = record.directory(name)
        return (_status(folder, record.read(folder)),)
    return tuple(_listed())


def _listed() -> Iterator[LabStatus]:
    """Every lab of this user; one that cannot be read does not keep the others from being told."""
    for path in sorted(record.root().glob("*/lab.json")):
        folder = path.parent
        try:
            found = _status(folder, record.parse(folder, path.read_bytes()))
        except FileNotFoundError:
            continue  # it has just been taken down
        except HostError as error:
            found = LabStatus(
                name=folder.name,
                up=False,
                config=None,
                state_dir=str(folder),
                damaged=str(error),
            )
        yield found


def _check_machine() -> None:
    """Raise HostError with the reason where this user of this machine can have no lab."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise HostError(f"a lab needs {', '.join(missing)}: install iproute2 and util-linux")
    if find_spec("pyroute2") is None:
        raise HostError(
            "a lab is built with pyroute2: run: pip install '.[lab]' where viotune's sources are"
        )
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except PermissionError:
        raise Unprivileged(
            "/dev/net/tun may not be opened by this user: run as root, or allow it"
        ) from None
    except OSError as error:
        raise HostError(
            f"/dev/net/tun cannot be opened ({error.strerror}): load the module tun"
        ) from None


def _blank(config: LabConfig) -> Lab:
    """The record of a lab of which nothing is made yet."""
    privileged = os.geteuid() == 0 and _may_unshare_network()
    controller = cgroup.detect() if privileged else None
    reason = "" if controller else "this machine has no cgroup with a CPU controller"
    if not privileged:
        reason = "weights need root"
    return Lab(
        config=config,
        token=record.new_token(),
        userns=not privileged,
        cgroup=controller,
        why_not=reason,
    )


def _lab_of(folder: Path) -> Lab:
    """The lab of a state directory, or as much of it as must be known to take it down.

    Where its record cannot be read its token is in the environment of its supervisor; without a
    supervisor there is no process at all.
    """
    try:
        return record.read(folder)
    except HostError:
        blank = _blank(LabConfig(name=folder.name))
    for pid in _pids():
        with contextlib.suppress(OSError):
            if str(folder) in _words(pid, "cmdline"):
                for word in _words(pid, "environ"):
                    key, _, token = word.partition("=")
                    if key == record.MARKER and token:
                        return msgspec.structs.replace(blank, token=token)
    return blank


def _may_unshare_network() -> bool:
    """Whether this root holds CAP_SYS_ADMIN and CAP_NET_ADMIN, as one in a container may not."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapEff:")
    )
    needed = 1 << 21 | 1 << 12
    return int(line.split()[1], 16) & needed == needed


def _start(folder: Path) -> None:
    """Start the supervisor and hear from it. Raises HostError with what it complains of."""
    lab = record.read(folder)
    ready, tell = os.pipe()
    environment = {
        **os.environ,
        record.MARKER: lab.token,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with (folder / "log").open("wb") as log, os.fdopen(ready, "rb") as pipe:
        try:
            subprocess.run(  # it detaches itself at once
                [sys.executable, "-m", "envs.hosts.lab.supervisor", str(folder), str(tell)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(tell,),
                env=environment,
                check=True,
            )
        finally:
            os.close(tell)
        if not select.select([pipe], [], [], _PATIENCE)[0]:
            raise HostError(f"the lab did not start within {_PATIENCE:g} s: see {folder}/log")
        complaint = pipe.read().decode().strip()
    if complaint or not record.read(folder).processes:
        if not complaint:
            lines = (folder / "log").read_text().strip().splitlines() or ["no message"]
            complaint = lines[-1]
        kind = Unprivileged if "Operation not permitted" in complaint else HostError
        raise kind(f"the lab could not be made: {complaint}")


def _flowing(folder: Path) -> bool:
    """Whether every vif has carried some traffic. Raises HostError if a process has ended."""
    lab = record.read(folder)
    missing = _missing(lab)
    if missing:
        lines = (folder / "log").read_text().strip().splitlines() or ["no message"]
        raise HostError(f"the lab could not be made: {missing[0]} ended: {lines[-1]}")
    if not lab.processes:
        return False
    ports = linux.interfaces(Path(f"/proc/{lab.supervisor.pid}/net/dev").read_text())
    carried = [ports[guest.vif] for guest in plan(lab.config).guests]
    return all(port.inward.bytes + port.outward.bytes > _FLOWING for port in carried)


def _status(folder: Path, lab: Lab) -> LabStatus:
    missing = _missing(lab)
    return LabStatus(
        name=lab.config.name,
        up=bool(lab.processes) and not missing,
        config=lab.config,
        state_dir=str(folder),
        missing=missing,
        why_no_weights=lab.why_not,
    )


def _missing(lab: Lab) -> tuple[str, ...]:
    expected = {**lab.processes, "supervisor": lab.supervisor}
    return tuple(sorted(key for key, process in expected.items() if not record.alive(process)))


def _kill(token: str) -> bool:
    """Send SIGKILL to every process that carries the token; whether there was one."""
    found = False
    for descriptor in _carriers(token):
        found = True
        with contextlib.suppress(OSError):  # it may have ended just now
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return found


def _carriers(token: str) -> Iterator[int]:
    """A descriptor of every process that carries the token, each open until the next."""
    for pid in _pids():
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                if f"{record.MARKER}={token}" in _words(pid, "environ"):
                    yield descriptor
            finally:
                os.close(descriptor)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _words(pid: int, name: str) -> list[str]:
    """The words of a process's ``cmdline`` or ``environ``."""
    return os.fsdecode(Path(f"/proc/{pid}/{name}").read_bytes()).split("\0")


def _await(done: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise HostError(f"{complaint} after {_PATIENCE:g} s")
        time.sleep(0.02)
