"""What is known of a lab that exists: the file ``lab.json`` in its state directory.

The directory is made first, then the file, then the rest of the lab. The file goes first, so that a
supervisor that is only starting finds none and makes nothing; then the rest; the directory last.
Whatever happens in between, the name tells what there may be to take away: the supervisor's command
line has the directory and its environment the token that all processes carry, the cgroup has the
lab's name, and namespaces and taps end with the processes that hold them.
"""

import os
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from envs.errors import HostError, InputError
from envs.host import Record, from_json
from envs.hosts import linux
from envs.hosts.cgroup import Controller
from envs.hosts.lab.config import LabConfig, check_name
from envs.hosts.linux import Task

MARKER = "VIOTUNE_LAB"
"""The environment variable that marks a process as a lab's; its value is the lab's token."""


class Process(Record, frozen=True):
    """A process and its start time, which together never mean another process."""

    pid: int
    start: int


NOBODY = Process(pid=0, start=0)
"""A process that never was."""


class Lab(Record, frozen=True):
    """A lab. ``processes`` is empty, and ``supervisor`` nobody, until everything runs.

    ``token`` marks its processes. ``userns`` tells that it lives in a user namespace. ``cgroup``
    is the controller of its weights, or None for the reason in ``why_not``. ``direct`` is the
    reason why the bridge mode direct cannot be had, empty where it can.
    """

    config: LabConfig
    token: str
    userns: bool
    cgroup: Controller | None = None
    why_not: str = ""
    direct: str = ""
    supervisor: Process = NOBODY
    processes: Mapping[str, Process] = {}

    @property
    def group(self) -> Path | None:
        """The cgroup that holds one group for each domain."""
        return Path(self.cgroup.root) / f"viotune-{self.config.name}" if self.cgroup else None


def new_token() -> str:
    """A token no other lab has."""
    return uuid.uuid4().hex


def root() -> Path:
    """Where this user's labs are: for root under /run, else where only the user may look.

    Raises HostError where the folder belongs to someone else, as one under /tmp might.
    """
    if os.geteuid() == 0:
        return Path("/run/viotune/lab")
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _private(Path(runtime), uid):
        return Path(runtime) / "viotune" / "lab"
    base = Path(f"/tmp/viotune-{uid}")  # noqa: S108 - made with mode 0700 and checked
    base.mkdir(mode=0o700, exist_ok=True)
    if not _private(base, uid):
        raise HostError(f"{base} is not a private folder of user {uid}: set XDG_RUNTIME_DIR")
    return base / "lab"


def directory(name: str) -> Path:
    """The state directory of a lab, whether it exists or not."""
    return root() / check_name(name)


def read(folder: Path) -> Lab:
    """The lab in a state directory. Raises HostError where there is none that can be read."""
    try:
        return parse(folder, (folder / "lab.json").read_bytes())
    except OSError:
        raise none_up(folder) from None


def parse(folder: Path, data: bytes) -> Lab:
    """The lab that ``lab.json`` tells of. Raises HostError where another version wrote it."""
    try:
        return from_json(data, Lab)
    except InputError as error:
        name = folder.name
        raise HostError(
            f"lab {name!r} is of another version ({error}): run: tuner lab down {name}"
        ) from error


def none_up(folder: Path) -> HostError:
    """The error that there is no such lab."""
    return HostError(f"no lab {folder.name!r} of yours is up: run: tuner lab up {folder.name}")


def create(folder: Path, lab: Lab) -> None:
    """Make a state directory with ``lab.json`` in it. Raises HostError if it exists already."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        name = folder.name
        raise HostError(
            f"lab {name!r} is up already, or was left over: run: tuner lab down {name}"
        ) from None
    write(folder, lab)


def forget(folder: Path) -> None:
    """Remove ``lab.json``, if it is there: from now on nothing more is made of the lab."""
    (folder / "lab.json").unlink(missing_ok=True)


def write(folder: Path, lab: Lab) -> None:
    """Replace ``lab.json`` as a whole."""
    fresh = folder / "lab.json.new"
    fresh.write_bytes(msgspec.json.encode(lab))
    fresh.replace(folder / "lab.json")


def tasks(lab: Lab, texts: Mapping[str, str]) -> Mapping[str, Task]:
    """Each process of a lab, out of the files of /proc that were read. See ``task``."""
    return {key: task(lab, key, process, texts) for key, process in lab.processes.items()}


def task(lab: Lab, key: str, process: Process, texts: Mapping[str, str]) -> Task:
    """A process as it is. Raises HostError if it has ended, its pid being another's now or not."""
    folder = f"/proc/{process.pid}"
    if stat_text := texts.get(f"{folder}/stat"):
        found = linux.task(stat_text, texts.get(f"{folder}/schedstat", ""))
        if found.start == process.start and found.state not in "ZX":
            return found
    raise has_ended(lab, key)


def has_ended(lab: Lab, part: str) -> HostError:
    """The error that a part of a lab, without which it is none, is not there any more."""
    name = lab.config.name
    return HostError(
        f"{part} of lab {name!r} has ended: run: tuner lab down {name}, then: tuner lab up {name}"
    )


def alive(process: Process) -> bool:
    """Whether a process of this machine still runs."""
    try:
        found = linux.task(Path(f"/proc/{process.pid}/stat").read_text())
    except OSError:
        return False
    return found.start == process.start and found.state not in "ZX"


def _private(path: Path, uid: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077
