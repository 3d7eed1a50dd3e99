"""A real sshd on loopback with keys, configuration and port of its own, for one test module."""

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import loopback

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Sshd:
    """A running server: its port, and a home whose ``.ssh`` knows it and can log in."""

    def __init__(self, port: int, home: Path) -> None:
        self.pid = 0
        self.port = port
        self.home = home
        self.user = getpass.getuser()

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    @property
    def key(self) -> Path:
        return self.home / ".ssh" / "id_ed25519"

    def sessions(self) -> list[int]:
        """The pids of the processes that serve a connection each."""
        return [
            int(p) for p in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        ]


@contextmanager
def running(folder: Path, enter: Callable[[Sequence[str]], Sequence[str]] = list) -> Iterator[Sshd]:
    """Start a server; it ends with the block. ``enter`` is how a command runs where it is to be."""
    with loopback.port() as port, _running(folder, port, enter) as server:
        yield server


@contextmanager
def _running(
    folder: Path, port: int, enter: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[Sshd]:
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    server = Sshd(port, home)
    for key in (folder / "host_key", server.key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    host_key = (folder / "host_key.pub").read_text()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {host_key}")
    (folder / "authorized_keys").write_text(server.key.with_suffix(".pub").read_text())
    config = folder / "sshd_config"
    config.write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nMaxStartups 100\n"
    )
    # sshd wants that folder, whatever its configuration says
    command = ["sh", "-c", 'mkdir -p /run/sshd; exec "$@"', "sh", SSHD or "", "-D", "-e", "-f"]
    log = folder / "sshd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(enter([*command, str(config)]), stderr=output)
    server.pid = daemon.pid
    try:
        _wait(daemon, log)
        yield server
    finally:
        daemon.terminate()
        daemon.wait()


def _wait(daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while "Server listening" not in log.read_text():
        assert daemon.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
