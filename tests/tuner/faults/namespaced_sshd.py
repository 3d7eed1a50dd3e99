"""A real sshd in a network namespace, whose connections can be cut and whose port blocked."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sshd
from subject import Wire

from envs.hosts.lab import namespaces
from envs.hosts.ssh import Address, SshTransport
from envs.hosts.transport import Transport

LOSE_ALL = ("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1kbit", "burst", "1b")
"""A bucket that holds no packet: all are lost."""

Enter = Callable[[Sequence[str]], Sequence[str]]


class NamespacedWire(Wire):
    """A connection to the sshd of the namespace that process ``pid`` is in."""

    def __init__(self, server: sshd.Sshd, pid: int, inside: Enter) -> None:
        self._server, self._pid, self._inside = server, pid, inside

    def connect(self) -> Transport:
        """Connect from within the namespace, which this process enters for good."""
        os.environ["HOME"] = str(self._server.home)
        os.environ.pop("SSH_AUTH_SOCK", None)
        space = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY)
        namespaces.enter_network(space)
        os.close(space)
        return SshTransport(Address(host="127.0.0.1", port=self._server.port))

    def cut(self) -> None:
        for pid in self._sessions():
            os.kill(pid, signal.SIGKILL)

    def block(self) -> None:
        subprocess.run(self._inside((*LOSE_ALL, "limit", "1b")), check=True)

    def unblock(self) -> None:
        words = ("tc", "qdisc", "del", "dev", "lo", "root")
        subprocess.run(self._inside(words), check=False, capture_output=True)

    def _sessions(self) -> list[int]:
        """The children of the server, which is a child of nsenter where that has to stay."""
        sessions = self._server.sessions()
        if len(sessions) == 1 and Path(f"/proc/{self._server.pid}/comm").read_text() == "nsenter\n":
            (listener,) = sessions
            children = Path(f"/proc/{listener}/task/{listener}/children")
            sessions = [int(pid) for pid in children.read_text().split()]
        return sessions


@contextmanager
def wire(pid: int, inside: Enter) -> Iterator[NamespacedWire]:
    """Start a server where ``inside`` runs commands; it ends with the block."""
    with TemporaryDirectory() as folder, sshd.running(Path(folder), inside) as server:
        made = NamespacedWire(server, pid, inside)
        try:
            yield made
        finally:
            made.unblock()
