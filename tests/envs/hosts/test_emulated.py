"""What emulated hosts keep in their cache, and what is removed."""

import subprocess
import sys
from pathlib import Path

from envs.hosts.emulated.build import forget


def test_what_older_versions_made_is_removed_unless_it_runs(tmp_path: Path) -> None:
    current, stale, busy = folders = [tmp_path / name for name in ("current", "stale", "busy")]
    for folder in folders:
        (folder / "machine").mkdir(parents=True)
    pid_file = busy / "machine" / "qemu.pid"
    sleeping = [sys.executable, "-c", "input('up\\n')", "-pidfile", str(pid_file)]
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"up\n"  # until then it may have no command line yet
        pid_file.write_text(f"{running.pid}\n")
        (stale / "machine" / "qemu.pid").write_text(f"{running.pid}\n")  # left by one that died
        forget(folders, current)
        assert sorted(tmp_path.iterdir()) == [busy, current]
        running.communicate(b"\n")
    forget([current, busy], current)
    assert list(tmp_path.iterdir()) == [current]
