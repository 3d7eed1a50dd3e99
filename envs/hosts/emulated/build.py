"""What emulated machines are made of: folders in a cache, each under a digest of what made it.

Kept in ``~/.cache/viotune``. What an older digest names is removed when a new one of its kind is
made, unless it is running.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from envs.errors import HostError

PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "cpio", "zstd", "mke2fs", "ssh")
PACKAGES = (
    *("qemu-system-x86", "qemu-utils", "mmdebstrap", "debian-archive-keyring"),
    *("cpio", "zstd", "e2fsprogs", "openssh-client"),
)
"""The packages of these programs, Debian's or Ubuntu's, and Debian's keys for the latter."""

SHARED = tuple(Path(__file__).parent.glob("*.sh"))
"""The scripts that every build uses."""
PID = "qemu.pid"
"""The file in a machine's folder with the pid of its QEMU."""

_ANY_DIGEST = "[0-9a-f]" * 12
_DISK = "disk.ext4"


class Build:
    """The files of one kind of host: its script makes them of ``sources``, files or folders."""

    def __init__(self, name: str, script: Path, sources: Iterable[Path] = ()) -> None:
        self._script = script
        home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        self._cache = Path(home) / "viotune" / name
        self.folder = self._cache / digest([*SHARED, script, *sources])
        self.disk = self.folder / _DISK

    def make(self) -> None:
        """Make them, unless they are there. Raises HostError where they cannot be made."""
        if self.disk.exists():
            return
        fresh = self.folder.with_suffix(".new")
        run(["sh", str(self._script), str(fresh)])
        fresh.rename(self.folder)
        forget(self._cache.glob(_ANY_DIGEST), self.folder)

    def machine(self, name: str, sources: Iterable[Path]) -> Path:
        """The folder of a machine, which starts as ``sources`` say."""
        return self.folder / f"{name}-{digest(sources)}"

    def forget_others(self, machine: Path) -> None:
        """Remove the folders of older versions of a machine."""
        name = machine.name.rpartition("-")[0]
        forget(self.folder.glob(f"{name}-{_ANY_DIGEST}"), machine)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else builds, brings up or removes a machine meanwhile: they wait."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def missing() -> str | None:
    """Why no machine can be emulated here, or None."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"programs missing: {', '.join(absent)}; apt-get install {' '.join(PACKAGES)}"
    if os.geteuid() != 0:
        return "needs root, to build its file system"
    return None


def forget(folders: Iterable[Path], current: Path) -> None:
    """Remove what earlier versions made, but for the current one and those with a running host."""
    for folder in set(folders) - {current}:
        if not any(map(running, folder.rglob(PID))):
            shutil.rmtree(folder)


def running(pid_file: Path) -> int | None:
    """The pid of the QEMU that wrote a file, None where it has ended."""
    try:
        pid = int(pid_file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(pid_file).encode() in words else None


def digest(sources: Iterable[Path]) -> str:
    """Twelve digits that stand for the content of files, and of all files in folders."""
    found = hashlib.sha256()
    for source in sorted(sources):
        for file in sorted(source.rglob("*")) if source.is_dir() else (source,):
            if file.is_file():
                found.update(file.read_bytes())
    return found.hexdigest()[:12]


def run(command: Sequence[str]) -> None:
    """Run a command to its end. Raises HostError with its last complaint."""
    environment = {**os.environ, "PATH": _path(), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise HostError(f"{Path(command[0]).name}: {said[-1]} (return code {done.returncode})")


def _path() -> str:
    """Where programs are, those of the administrator included."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
