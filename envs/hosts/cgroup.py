"""Where the CPU controller's cgroups are, version 1 or 2, and the file that holds a weight.

Version 2 has one tree, and a controller works in a group only where its parent passes it on
(``cgroup.subtree_control``). Version 1 mounts the controller by itself or with ``cpuacct``; a
hybrid host has both, with the controller in one of them. Source: cgroups(7).
"""

from pathlib import Path
from typing import Literal

from envs.host import Record


class Controller(Record, frozen=True):
    """The CPU controller: its version and the mount point of its tree."""

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


def find(mounts: str, controllers_of: dict[str, str]) -> Controller | None:
    """The CPU controller, given ``/proc/mounts`` and each v2 tree's ``cgroup.controllers``."""
    for line in mounts.splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "cpu" in controllers_of.get(where, "").split():
            return Controller(version=2, root=where)
        if kind == "cgroup" and "cpu" in options.split(","):
            return Controller(version=1, root=where)
    return None


def detect() -> Controller | None:
    """The CPU controller of this machine, None where it has none."""
    mounts = Path("/proc/mounts").read_text()
    trees = {}
    for line in mounts.splitlines():
        _, where, kind, *_ = line.split()
        listing = Path(where, "cgroup.controllers")
        if kind == "cgroup2" and listing.exists():
            trees[where] = listing.read_text()
    return find(mounts, trees)


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
