"""Where the CPU controller's cgroups are, version 1 or 2, and the file that holds a weight.

Version 2 has one tree, and a controller works in a group only where its parent passes it on
(``cgroup.subtree_control``). Version 1 mounts the controller by itself or with ``cpuacct``; a
hybrid host has both, with the controller in one of them. Source: cgroups(7).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from envs.host import Record
from envs.hosts.unexpected import unexpected


class Controller(Record, frozen=True):
    """A controller's tree: its version and its mount point; its weights where it is the CPU's."""

    version: Literal[1, 2]
    root: str

    @property
    def weight_file(self) -> str:
        """The name of the file that holds a group's weight."""
        return "cpu.weight" if self.version == 2 else "cpu.shares"

    @property
    def default(self) -> int:
        """The weight of a new group."""
        return 100 if self.version == 2 else 1024

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest weight."""
        return (1, 10000) if self.version == 2 else (2, 262144)


def find(mounts: str, controllers_of: Mapping[str, str], wanted: str = "cpu") -> Controller | None:
    """A controller, given ``/proc/mounts`` and each v2 tree's ``cgroup.controllers``."""
    for where, kind, options in _mounted(mounts):
        if kind == "cgroup2" and wanted in controllers_of.get(where, "").split():
            return Controller(version=2, root=where)
        if kind == "cgroup" and wanted in options.split(","):
            return Controller(version=1, root=where)
    return None


def trees(mounts: str) -> tuple[str, ...]:
    """The mount points of version 2 trees; their ``cgroup.controllers`` is what ``find`` needs."""
    return tuple(where for where, kind, _ in _mounted(mounts) if kind == "cgroup2")


def membership(text: str, controller: Controller, name: str = "cpu") -> str:
    """The path of a process in a controller's tree, out of ``/proc/PID/cgroup``; ``/`` if none."""
    for line in filter(None, text.split("\n")):
        hierarchy, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if not (hierarchy.isdecimal() and colon and path.startswith("/")):
            raise unexpected("/proc/PID/cgroup", line)
        if names == "" if controller.version == 2 else name in names.split(","):
            return path
    return "/"


def detect() -> Controller | None:
    """The CPU controller of this machine, None where it has none."""
    mounts = Path("/proc/mounts").read_text()
    controllers_of = {}
    for where in trees(mounts):
        listing = Path(where, "cgroup.controllers")
        if listing.exists():
            controllers_of[where] = listing.read_text()
    return find(mounts, controllers_of)


def _mounted(mounts: str) -> Iterator[tuple[str, str, str]]:
    """Where each file system is mounted, its kind and its options."""
    for line in filter(None, mounts.split("\n")):
        words = line.split(" ")
        if len(words) < 6:  # 9p does not escape the blanks in its options
            raise unexpected("/proc/mounts", line)
        yield words[1], words[2], words[3]


def passed_on(group: Path) -> bool:
    """Whether a version 2 group passes the CPU controller on to its children."""
    return "cpu" in (group / "cgroup.subtree_control").read_text().split()


def pass_on(group: Path) -> None:
    """Make a version 2 group pass the CPU controller on. Raises OSError where it may not.

    It is never taken back: by then others in the tree may rely on it, and it costs nothing.
    """
    (group / "cgroup.subtree_control").write_text("+cpu")


def remove(group: Path) -> bool:
    """Remove a group and those in it; False while the kernel still counts a process in one."""
    try:
        for child in (path for path in group.iterdir() if path.is_dir()):
            child.rmdir()
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
