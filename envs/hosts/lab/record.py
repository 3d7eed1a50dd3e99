"""What is known of a lab that exists: the file ``lab.json`` in its state directory.

The directory is made first, then the file, then the rest of the lab, and they go in the opposite
order. So whatever happens in between, ``lab.json`` names what there may be to take away: processes
carry the lab's token in their environment, cgroups have the recorded path, and namespaces and taps
end with the processes that hold them. A directory without the file is all there is of its lab.
"""

import os
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from envs.errors import HostError
from envs.host import Record, from_json
from envs.hosts.cgroup import Controller
from envs.hosts.lab.config import LabConfig, check_name

MARKER = "VIOTUNE_LAB"
"""The environment variable that marks a process as a lab's; its value is the lab's token."""


class Process(Record, frozen=True):
    """A process and its start time, which together never mean another process."""

    pid: int
    start: int


class Lab(Record, frozen=True):
    """A lab. ``processes`` is empty until everything runs.

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
    supervisor: Process | None = None
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
    """The lab in a state directory. Raises HostError where there is none."""
    try:
        return from_json((folder / "lab.json").read_bytes(), Lab)
    except OSError:
        raise HostError(f"no lab {folder.name!r} is up: run: tuner lab up") from None


def create(folder: Path, lab: Lab) -> None:
    """Make a state directory with ``lab.json`` in it. Raises HostError if it exists already."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise HostError(
            f"lab {folder.name!r} is up already, or was left over: run: tuner lab down"
        ) from None
    write(folder, lab)


def write(folder: Path, lab: Lab) -> None:
    """Replace ``lab.json`` as a whole."""
    fresh = folder / "lab.json.new"
    fresh.write_bytes(msgspec.json.encode(lab))
    fresh.replace(folder / "lab.json")


def _private(path: Path, uid: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077
