"""A whole KVM host of one's own on any Linux machine: libvirt with QEMU guests, in namespaces.

    outside (a namespace) ── uplink ── br0 ── vnet0 ── g1 (QEMU)
                                        └──── vnet1 ── g2 (QEMU)

Guests run in software (``<domain type='qemu'>``), so no KVM is needed, and QEMU's own threads are
the backends. What runs on such a host is what runs on a real one: libvirt, QEMU, taps, cgroups.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from envs.errors import HostError, InputError
from envs.host import Record, from_json, to_json
from envs.hosts import framing
from envs.hosts.kvm.lab.image import Image, cache, image
from envs.hosts.kvm.lab.init import BRIDGE
from envs.hosts.lab.record import NOBODY, Process, alive
from envs.hosts.linux import task
from envs.hosts.transport import LocalTransport, Result, printed

PATIENCE = 300.0
"""Seconds that a busy machine may take to boot emulated guests; alone it takes five."""

_INIT = Path(__file__).parent / "init.py"
_TOLD = 'echo $$ >"/dev/fd/$1"; shift; exec "$@"'
"""Tells its pid on a descriptor and becomes a command."""


class GuestPlan(Record, frozen=True):
    """A guest to boot: its number gives it the address 10.77.0.NUMBER; it sends to ``to``."""

    name: str
    number: int
    vcpus: int = 1
    to: tuple[str, ...] = ()
    busy: int = 0
    iothreads: int = 0
    vifs: int = 1
    bridge: str = BRIDGE


def address(number: int) -> str:
    """The address of a guest."""
    return f"10.77.0.{number}"


def mac(number: int, vif: int = 0) -> str:
    """The address of a guest's interface."""
    return f"52:54:00:77:{vif:02x}:{number:02x}"


def told(plan: GuestPlan) -> str:
    """The kernel's command line: what the guest is to do."""
    words = ["console=ttyS0", "quiet", "panic=1", f"ip.{address(plan.number)}"]
    words += [f"to.{where}" for where in plan.to] + ([f"busy.{plan.busy}"] if plan.busy else [])
    return " ".join(words)


def domain(plan: GuestPlan, boots: Image) -> str:
    """The guest as libvirt is told of it."""
    iothreads = f"<iothreads>{plan.iothreads}</iothreads>" if plan.iothreads else ""
    vifs = "".join(
        f"<interface type='bridge'><source bridge='{plan.bridge}'/><model type='virtio'/>"
        f"<mac address='{mac(plan.number, vif)}'/></interface>"
        for vif in range(plan.vifs)
    )
    return f"""<domain type='qemu'>
  <name>{escape(plan.name)}</name><memory unit='MiB'>160</memory><vcpu>{plan.vcpus}</vcpu>
  {iothreads}
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{boots.kernel}</kernel><initrd>{boots.initrd}</initrd>
    <cmdline>{told(plan)}</cmdline></os>
  <features><acpi/></features><on_reboot>restart</on_reboot>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{vifs}
    <controller type='usb' model='none'/><memballoon model='none'/>
    <controller type='pci' model='pcie-root'/><controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/><controller type='pci' model='pcie-root-port'/>
    <serial type='file'><source path='/var/log/libvirt/console-{plan.number}.log'/></serial>
  </devices>
</domain>
"""


class Machine:
    """A lab in its folder, up or not, and a transport into it: commands run as on the host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "init.json"

    @property
    def pid(self) -> int:
        """The first process of its namespaces. Raises HostError where it is down."""
        try:
            first = from_json(self._record.read_bytes(), Process)
        except (OSError, InputError):
            first = NOBODY
        if not alive(first):
            raise HostError("no KVM lab is up: run: tuner lab up --kind kvm")
        return first.pid

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        try:
            return self.pid > 0
        except HostError:
            return False

    def up(self) -> None:
        """Start it, without guests. Raises HostError where it cannot be, or is up already."""
        try:
            self.folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise HostError(
                "the KVM lab is up already, or was left over: run: tuner lab down kvm"
            ) from None
        ready, tell = os.pipe()
        spaces = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
        init = (sys.executable, "-IS", str(_INIT), str(self.folder), str(cache() / "libvirt"))
        log = self.folder / "init.log"
        with log.open("wb") as said, os.fdopen(ready) as pipe:
            try:
                subprocess.run(  # it detaches itself at once
                    [
                        *("setsid", "--fork", "sh", "-c", _TOLD, "sh", str(tell)),
                        *("unshare", *spaces, "--", *init, str(tell)),
                    ],
                    pass_fds=(tell,),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    check=True,
                )
            finally:
                os.close(tell)
            unshare = int(pipe.readline())
            try:
                is_ready = pipe.readline()
            except BaseException:
                os.kill(unshare, signal.SIGKILL)  # and with it its child
                shutil.rmtree(self.folder)
                raise
        if not is_ready:
            lines = log.read_text().strip().splitlines() or ["no message"]
            shutil.rmtree(self.folder)
            raise HostError(f"no KVM lab can be made here: {lines[-1]}")
        pid = int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])
        first = Process(pid=pid, start=task(Path(f"/proc/{pid}/stat").read_text()).start)
        self._record.write_bytes(to_json(first))

    def enter(self, argv: Sequence[str]) -> tuple[str, ...]:
        """A command as it is run in the lab."""
        return ("nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--", *argv)

    def boot(self, *plans: GuestPlan) -> None:
        """Create guests, and wait until each says on its console that it is up."""
        boots = image()
        for plan in plans:
            self._do("virsh", "-q", "create", "/dev/stdin", stdin=domain(plan, boots).encode())
        consoles = {plan: f"/var/log/libvirt/console-{plan.number}.log" for plan in plans}
        self.wait(
            lambda: all(
                f"up {address(plan.number)}" in self.transport.run(("cat", file)).out
                for plan, file in consoles.items()
            ),
            "its guests have not booted",
        )

    def wait(self, until: Callable[[], bool], complaint: str) -> None:
        """Wait for something to become true. Raises HostError with the complaint if it does not."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > deadline:
                raise HostError(f"the KVM lab: {complaint} after {PATIENCE:g} s")
            time.sleep(0.2)

    @property
    def transport(self) -> "MachineTransport":
        """Runs commands in the lab."""
        return MachineTransport(self)

    def down(self) -> None:
        """End everything in it, or what is left of it."""
        if self.is_up:
            with contextlib.suppress(HostError):
                self._destroy()
            os.kill(self.pid, signal.SIGKILL)  # all processes of the namespace go with its first
            self.wait(lambda: not self.is_up, "its processes do not end")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _destroy(self) -> None:
        """Let libvirt end its guests, so that it removes their cgroups."""
        for uuid in self._do("virsh", "-q", "list", "--uuid").split():
            self._do("virsh", "-q", "destroy", uuid)

    def _do(self, *command: str, stdin: bytes = b"") -> str:
        """Run a command there that must succeed; what it printed."""
        return printed(self.transport.run(command, stdin=stdin, timeout=PATIENCE))


class MachineTransport(LocalTransport):
    """A transport into a lab's namespaces."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Result:
        """Run one command there. See ``Transport.run``."""
        done = super().run(self._machine.enter(argv), stdin=stdin, timeout=timeout)
        return Result(argv=tuple(argv), rc=done.rc, out=done.out, err=done.err)

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 30.0
    ) -> tuple[Result, ...]:
        """Run commands there, entering it once for all. See ``Transport.run_all``."""
        words, mark = [tuple(argv) for argv in commands], framing.new_mark()
        done = self.run(("sh",), stdin=framing.script(words, mark), timeout=timeout)
        return framing.results(words, mark, done.out.encode(), done.err.encode())
