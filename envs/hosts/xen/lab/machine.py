"""Xen hosts in QEMU: built from Debian's packages, booted once, from then on resumed in seconds.

Everything is kept in a cache (``~/.cache/viotune/xen``), under a digest of what made it: the files
of the build, and for each kind of machine a disk with a snapshot of the host with its guests up.
What an older digest names is removed when a new one of its kind is made, unless it is running.
QEMU emulates (a Xen host cannot be nested without hardware support), without SMAP, with which
dom0 dies at once. One thread emulates all cores in turn: with a thread for each, a command in dom0
was seen to cost over three times the CPU time and to take six times as long on a busy machine, as
Xen spins on one core until it hears from another, which does not run.

Guests are PV unless asked for otherwise. PVH ones, which alone can be migrated, need a processor's
support for virtualization, which is emulated as well. With one thread for all cores they hung or
died in three of eight migrations, with a thread for each in none of thirteen, so that is how they
are emulated, best with as few cores as this machine has (QEMU 7.2).
"""

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from envs.errors import HostError
from envs.host import Record
from envs.hosts.ssh import Address, SshTransport
from envs.hosts.transport import printed
from envs.hosts.xen.lab import qmp

PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "cpio", "zstd", "mke2fs", "ssh")
PACKAGES = (
    *("qemu-system-x86", "qemu-utils", "mmdebstrap", "debian-archive-keyring"),
    *("cpio", "zstd", "e2fsprogs", "openssh-client"),
)
"""The packages of these programs, Debian's or Ubuntu's, and Debian's keys for the latter."""

PATIENCE = 1200.0
"""Seconds that the first boot may take on a busy machine; alone it takes about 30."""

_HERE = Path(__file__).parent
_SNAPSHOT = "ready"
_TELL = 'set -e; listed=$(xl list); echo "$listed" | awk'
_PAUSE = f"{_TELL} '$2 ~ /^[1-9]/ {{ print $1 }}' | xargs -rn 1 xl pause"
"""QEMU takes snapshots that it then refuses to load while a core runs a PVH guest."""
_GO_ON = f"{_TELL} '$5 ~ /p/ {{ print $1 }}' | xargs -rn 1 xl unpause"
_BOOTS = 3
"""An emulated PVH guest now and then dies as it comes up: Xen starts it anew, as another domain."""
_PID = "qemu.pid"
_MEMORY = {"machine": "1536M", "dom0": "512M"}


class SnapshotLost(HostError):
    """There is nothing to go on from."""


class Kind(Record, frozen=True):
    """What differs between machines: Xen's scheduler, the guests' types, the number of cores."""

    scheduler: Literal["credit", "credit2"] = "credit2"
    guests: tuple[Literal["pv", "pvh"], ...] = ("pv", "pv")
    cores: int = 4
    dom0_vcpus: int = 2

    @property
    def name(self) -> str:
        """A name of its own."""
        return f"{self.scheduler}-{'-'.join(self.guests)}-{self.cores}-{self.dom0_vcpus}"


class Machine:
    """A machine in its folder, running or not."""

    def __init__(self, kind: Kind, build: Path) -> None:
        self.kind = kind
        self.folder = build / f"{kind.name}-{_digest([Path(__file__)])}"
        self._build = build
        self._transport: SshTransport | None = None
        self._disk = self.folder / "disk.qcow2"
        self._monitor = self.folder / "monitor"

    @property
    def pid(self) -> int | None:
        """QEMU's pid, None where the machine is down."""
        return _running(self.folder / _PID)

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def port(self) -> int:
        """The port of dom0's sshd on this machine's loopback."""
        return int((self.folder / "port").read_text())

    @property
    def uri(self) -> str:
        """The host as ``tuner --host`` takes it."""
        return f"xen+ssh://root@127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        """A folder with a ``.ssh`` that knows the host and can log in to it."""
        return self.folder / "home"

    @property
    def transport(self) -> SshTransport:
        """Runs commands in dom0, over one connection that is opened when it is first needed."""
        if self._transport is None:
            where = Address(host="127.0.0.1", user="root", port=self.port)
            self._transport = SshTransport(where, (self.home / ".ssh" / "config",))
        return self._transport

    def ssh(self, script: str, *, check: bool = True) -> str:
        """What a shell script in dom0 printed. Raises CommandFailed where it fails."""
        done = self.transport.run(("sh", "-c", script), timeout=PATIENCE)
        return printed(done) if check else done.out

    def down(self) -> None:
        """End QEMU; does nothing where the machine is down."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._end()

    def up(self) -> None:
        """Resume; or boot and take a snapshot, where there is none that this QEMU can load."""
        self._access()
        try:
            self._resume()
        except SnapshotLost:
            self._boot()
            forget(self._build.glob(f"{self.kind.name}-{_ANY_DIGEST}"), self.folder)

    def rewind(self) -> None:
        """Put the host back to the moment when its guests had come up.

        QEMU is started anew: one that went back to its snapshot as it ran was seen to stand still,
        with Xen complaining of its clock.
        """
        with _alone():  # down for a moment, it must not be taken for one of an older version
            self.transport.hang_up()
            self._end()
            self._resume()

    def _access(self) -> None:
        """A free port, and a ``.ssh`` for it."""
        port = _free_port()
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy(self._build / "home" / ".ssh" / "id_ed25519", ssh)
        host_key = (self._build / "host_key.pub").read_text()
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
        (ssh / "config").write_text(
            f"Host 127.0.0.1\n  IdentityFile {ssh}/id_ed25519\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {ssh}/known_hosts\n  BatchMode yes\n"
        )
        (self.folder / "port").write_text(str(port))

    def _boot(self) -> None:
        fresh = self._disk.with_suffix(".new")
        base = ("-f", "qcow2", "-F", "raw", "-b", str(self._build / "dom0.ext4"))
        for _ in range(_BOOTS):
            _run(["qemu-img", "create", "-q", *base, str(fresh)])
            self._start(fresh, ())
            self._await("test -e /run/ready")
            if self._is_as_planned():
                break
            self.down()
        else:
            raise HostError(f"guests of the Xen host die as they come up: see {self.folder}")
        self.ssh(_PAUSE)
        qmp.tell(self._monitor, f"savevm {_SNAPSHOT}")
        fresh.rename(self._disk)
        self.ssh(_GO_ON)

    def _is_as_planned(self) -> bool:
        """Whether each guest is still the domain that was created first: 1, 2 and so on."""
        numbers = range(1, 1 + len(self.kind.guests))
        domids = self.ssh("; ".join(f"xl domid g{number}" for number in numbers)).split()
        return domids == [str(number) for number in numbers]

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
        self._await(_GO_ON)

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
        kind, build = self.kind, self._build
        dom0 = f"dom0_mem={_MEMORY['dom0']},max:{_MEMORY['dom0']} dom0_max_vcpus={kind.dom0_vcpus}"
        xen = (
            f"{dom0} sched={kind.scheduler} console=com1 com1=115200,8n1 noreboot no-real-mode "
            # Nobody to be guarded from, and emulated it costs a fifth. Vector registers are changed
            # at once: where that waited until they were used, programs in dom0 died at random.
            "spec-ctrl=no,eager-fpu=yes"
        )
        guests = ",,".join(kind.guests)  # QEMU halves commas
        threads = "multi" if "pvh" in kind.guests else "single"
        # Where programs lie at random, each start of one has to be translated anew: twice the time.
        linux = f"console=hvc0 ro quiet mitigations=off norandmaps guests={guests}"
        wire = f"user,id=wire,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        _run(
            [
                *("qemu-system-x86_64", "-daemonize", "-pidfile", str(self.folder / _PID)),
                *("-accel", f"tcg,thread={threads},tb-size=512", "-cpu", "max,-smap"),
                *("-machine", "q35", "-smp", str(kind.cores), "-m", _MEMORY["machine"]),
                *("-display", "none", "-nodefaults", "-no-reboot"),
                *("-kernel", str(build / "xen"), "-append", xen),
                *("-initrd", f"{build}/vmlinux {linux},{build}/initrd"),
                *("-drive", f"file={disk},if=none,id=disk,cache=unsafe"),
                *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"),
                *("-netdev", wire, "-device", "virtio-net-pci,netdev=wire,romfile="),
                *("-netdev", "hubport,id=lan,hubid=1"),
                *("-device", "virtio-net-pci,netdev=lan,mac=52:54:00:00:00:01,romfile="),
                *("-serial", f"file:{self.folder}/console.log"),
                *("-qmp", f"unix:{self._monitor},server,nowait"),
                *more,
            ]
        )

    def _await(self, script: str) -> None:
        """Wait until a script in dom0 succeeds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ssh(script)
            except HostError as error:
                if self.pid is None or time.monotonic() > deadline:
                    log = self.folder / "console.log"
                    self.down()
                    raise HostError(f"the Xen host did not come up: see {log}") from error
                time.sleep(0.3)
            else:
                return


def missing() -> str | None:
    """Why no Xen host can be brought up here, or None."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"programs missing: {', '.join(absent)}; apt-get install {' '.join(PACKAGES)}"
    if os.geteuid() != 0:
        return "needs root, to build its file system"
    return None


def machine_of(kind: Kind) -> Machine:
    """The machine of a kind, whether it is up, down or yet to be built."""
    return Machine(kind, _build())


def up(kind: Kind) -> Machine:
    """A running machine: built where it never was, booted where there is no snapshot, else resumed.

    Raises HostError where it cannot be, or is up already.
    """
    reason = missing()
    if reason:
        raise HostError(f"no Xen host can be brought up here: {reason}")
    with _alone():
        build = _build()
        if not (build / "dom0.ext4").exists():
            fresh = build.with_suffix(".new")
            _run(["sh", str(_HERE / "build.sh"), str(fresh)])
            fresh.rename(build)
            forget(_cache().glob(f"{_ANY_DIGEST}*"), build)
        machine = machine_of(kind)
        machine.folder.mkdir(exist_ok=True)
        if machine.is_up:
            raise HostError(
                "the Xen lab is up already: tuner --host lab:xen, or: tuner lab down xen"
            )
        try:
            machine.up()
        except BaseException:
            machine.down()
            raise
        return machine


def forget(folders: Iterable[Path], current: Path) -> None:
    """Remove what earlier versions made, but for the current one and those with a running host."""
    for folder in set(folders) - {current}:
        if not any(map(_running, folder.rglob(_PID))):
            shutil.rmtree(folder)


def _build() -> Path:
    """Where the files of the build are, or will be: other scripts make another build."""
    return _cache() / _digest(sorted(_HERE.glob("*.sh")))


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(home) / "viotune" / "xen"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else builds, brings up or removes a machine meanwhile: they wait."""
    with (_cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _running(pid_file: Path) -> int | None:
    """The pid of the QEMU that wrote a file, None where it has ended."""
    try:
        pid = int(pid_file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(pid_file).encode() in words else None


_ANY_DIGEST = "[0-9a-f]" * 12


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _run(command: Sequence[str]) -> None:
    """Run a command to its end. Raises HostError with its last complaint."""
    environment = {**os.environ, "PATH": _path(), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise HostError(f"{Path(command[0]).name}: {said[-1]} (return code {done.returncode})")


def _path() -> str:
    """Where programs are, those of the administrator included."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
