"""Whole hosts in QEMU: built once, booted once, from then on resumed from a snapshot in seconds.

A machine's folder holds its disk, with the snapshot of the host with its guests up, and a ``.ssh``
that can log in. QEMU emulates all of it, so that no support of the processor's is needed.
"""

import os
import shutil
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from envs.errors import HostError
from envs.hosts.emulated import qmp
from envs.hosts.emulated.build import PID, Build, missing, run, running
from envs.hosts.ssh import Address, SshTransport
from envs.hosts.transport import printed

PATIENCE = 1200.0
"""Seconds that the first boot may take on a busy machine."""

_SNAPSHOT = "ready"
_BOOTS = 3
"""A host that came up with its guests not as planned is booted again."""


class SnapshotLost(HostError):
    """There is nothing to go on from."""


class Emulated(ABC):
    """A machine in its folder, running or not.

    ``pause`` and ``go_on`` are scripts for before and after a snapshot is taken of it; ``remedy``
    is what to do about one that is up already.
    """

    title: str
    remedy = ""
    pause = go_on = "true"

    def __init__(self, build: Build, name: str, source: Path) -> None:
        """``name`` tells it from others of the build, ``source`` is the file that says how."""
        self.folder = build.machine(name, [source, Path(__file__)])
        self._build = build
        self._transport: SshTransport | None = None
        self._disk = self.folder / "disk.qcow2"
        self._monitor = self.folder / "monitor"

    @abstractmethod
    def hardware(self, build: Path) -> Sequence[str]:
        """QEMU's options: processors, memory, and what is booted, out of the folder of a build."""

    def is_as_planned(self) -> bool:
        """Whether its guests are as they were meant to be when it has come up."""
        return True

    @property
    def pid(self) -> int | None:
        """QEMU's pid, None where the machine is down."""
        return running(self.folder / PID)

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def port(self) -> int:
        """The port of its sshd on this machine's loopback."""
        return int((self.folder / "port").read_text())

    @property
    def home(self) -> Path:
        """A folder with a ``.ssh`` that knows the host and can log in to it."""
        return self.folder / "home"

    @property
    def transport(self) -> SshTransport:
        """Runs commands there, over one connection that is opened when it is first needed."""
        if self._transport is None:
            where = Address(host="127.0.0.1", user="root", port=self.port)
            self._transport = SshTransport(where, (self.home / ".ssh" / "config",))
        return self._transport

    def ssh(self, script: str, *, check: bool = True) -> str:
        """What a shell script there printed. Raises CommandFailed where it fails."""
        done = self.transport.run(("sh", "-c", script), timeout=PATIENCE)
        return printed(done) if check else done.out

    def down(self) -> None:
        """End QEMU; does nothing where the machine is down."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._end()

    def up(self) -> None:
        """Bring it up: build what is not yet built; resume, or boot where nothing can be resumed.

        Raises HostError where it cannot be, or is up already.
        """
        reason = missing()
        if reason:
            raise HostError(f"no {self.title} can be brought up here: {reason}")
        with self._build.alone():
            self._build.make()
            self.folder.mkdir(exist_ok=True)
            if self.is_up:
                raise HostError(f"the {self.title} is up already{self.remedy}")
            try:
                self._access()
                try:
                    self._resume()
                except SnapshotLost:
                    self._boot()
                    self._build.forget_others(self.folder)
            except BaseException:
                self.down()
                raise

    def rewind(self) -> None:
        """Put the host back to the moment when its guests had come up.

        QEMU is started anew: one that went back to its snapshot as it ran was seen to stand still,
        with Xen complaining of its clock.
        """
        with self._build.alone():  # down for a moment, it must not be taken for an older version's
            self.transport.hang_up()
            self._end()
            self._resume()

    def _access(self) -> None:
        """A free port, and a ``.ssh`` for it."""
        port = _free_port()
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy(self._build.folder / "home" / ".ssh" / "id_ed25519", ssh)
        host_key = (self._build.folder / "host_key.pub").read_text()
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
        (ssh / "config").write_text(
            f"Host 127.0.0.1\n  IdentityFile {ssh}/id_ed25519\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {ssh}/known_hosts\n  BatchMode yes\n"
        )
        (self.folder / "port").write_text(str(port))

    def _boot(self) -> None:
        fresh = self._disk.with_suffix(".new")
        base = ("-f", "qcow2", "-F", "raw", "-b", str(self._build.disk))
        for _ in range(_BOOTS):
            run(["qemu-img", "create", "-q", *base, str(fresh)])
            self._start(fresh, ())
            self._await("test -e /run/ready")
            if self.is_as_planned():
                break
            self.down()
        else:
            raise HostError(f"guests of the {self.title} die as they come up: see {self.folder}")
        self.ssh(self.pause)
        qmp.tell(self._monitor, f"savevm {_SNAPSHOT}")
        fresh.rename(self._disk)
        self.ssh(self.go_on)

    def _resume(self) -> None:
        """Raises SnapshotLost where there is no snapshot, or one of another version of QEMU."""
        if not self._disk.exists():
            raise SnapshotLost(f"no snapshot yet in {self.folder}")
        try:
            self._start(self._disk, ("-loadvm", _SNAPSHOT))
        except HostError as error:
            if "VM state" in str(error):
                raise SnapshotLost(str(error)) from error
            raise
        self._await(self.go_on)

    def _end(self) -> None:
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while self.pid is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _start(self, disk: Path, more: Sequence[str]) -> None:
        run(
            [
                *("qemu-system-x86_64", "-daemonize", "-pidfile", str(self.folder / PID)),
                *("-machine", "q35", "-display", "none", "-nodefaults", "-no-reboot"),
                *self.hardware(self._build.folder),
                *("-netdev", f"user,id=wire,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
                *("-drive", f"file={disk},if=none,id=disk,cache=unsafe"),
                *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"),
                *("-serial", f"file:{self.folder}/console.log"),
                *("-qmp", f"unix:{self._monitor},server,nowait"),
                *more,
            ]
        )

    def _await(self, script: str) -> None:
        """Wait until a script there succeeds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ssh(script)
            except HostError as error:
                if self.pid is None or time.monotonic() > deadline:
                    log = self.folder / "console.log"
                    self.down()
                    raise HostError(f"the {self.title} did not come up: see {log}") from error
                time.sleep(0.3)
            else:
                return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
