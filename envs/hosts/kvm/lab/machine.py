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
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from envs.errors import HostError
from envs.host import Record
from envs.hosts import cgroup, framing
from envs.hosts.kvm.lab.image import Image, cache
from envs.hosts.kvm.lab.init import BRIDGE
from envs.hosts.transport import LocalTransport, Result, printed

_PATIENCE = 60.0
"""Seconds that a busy machine may take to start a guest, or a killed one to leave its cgroup."""
_INIT = Path(__file__).parent / "init.py"


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
    <serial type='file'><source path='/var/log/libvirt/console-{plan.number}.log'/></serial>
  </devices>
</domain>
"""


class Machine:
    """A running lab, and a transport into it: commands run as on the host itself."""

    def __init__(self) -> None:
        """Start it. Raises HostError where it cannot be."""
        self.folder = Path(tempfile.mkdtemp(prefix="viotune-kvm-"))
        self._groups: list[Path] = []
        ready, answer = os.pipe()
        known = cache() / "libvirt"
        spaces = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
        with (self.folder / "init.log").open("wb") as log:
            self._unshare = subprocess.Popen(
                [
                    "unshare",
                    *spaces,
                    "--",
                    sys.executable,
                    "-IS",
                    _INIT,
                    self.folder,
                    known,
                    str(answer),
                ],
                pass_fds=(answer,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        os.close(answer)
        with os.fdopen(ready) as pipe:
            said = pipe.readline()  # not to the end: unshare holds it open, too
        if not said:
            log_text = (self.folder / "init.log").read_text().strip().splitlines()
            self.stop()
            raise HostError(f"no KVM lab: {log_text[-1] if log_text else 'no message'}")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def enter(self, argv: Sequence[str]) -> tuple[str, ...]:
        """A command as it is run in the lab."""
        return ("nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--", *argv)

    def boot(self, plan: GuestPlan, boots: Image) -> None:
        """Create a guest; it is up a few seconds later."""
        text = domain(plan, boots).encode()
        xml = self.folder / "guest.xml"
        xml.write_bytes(text)
        self._do("virsh", "-c", "qemu:///system", "create", str(xml))

    def run_without_libvirt(self, plan: GuestPlan, boots: Image) -> None:
        """Run a guest as Proxmox VE does: QEMU by itself, in a cgroup of its own."""
        tap, name = f"tap{plan.number}", plan.name.replace(",", ",,")
        group = f"/sys/fs/cgroup/cpu/viotune-{self.pid}-{plan.number}"
        self._groups.append(Path(group))
        qemu = (
            *("qemu-system-x86_64", "-name", f"{name},debug-threads=on", "-daemonize"),
            *("-M", "q35", "-m", "160", "-smp", str(plan.vcpus), "-display", "none"),
            *("-kernel", boots.kernel, "-initrd", boots.initrd, "-append", told(plan)),
            *("-serial", f"file:/run/console-{plan.number}.log", "-nodefaults"),
            *("-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=n0,mac={mac(plan.number)}"),
        )
        join = 'mkdir -p "$1" && echo $$ >"$1/cgroup.procs" && shift && exec "$@"'
        self._do("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        self._do("ip", "link", "set", "dev", tap, "master", plan.bridge, "up")
        self._do("sh", "-c", join, "sh", group, *qemu)

    @property
    def transport(self) -> "MachineTransport":
        """Runs commands in the lab."""
        return MachineTransport(self)

    def stop(self) -> None:
        """End everything in it."""
        with contextlib.suppress(HostError):
            self._destroy()
        self._unshare.send_signal(signal.SIGKILL)  # --kill-child: the namespace goes with it
        self._unshare.wait()
        deadline = time.monotonic() + _PATIENCE
        while not all(map(cgroup.remove, self._groups)) and time.monotonic() < deadline:
            time.sleep(0.02)
        shutil.rmtree(self.folder)

    def _destroy(self) -> None:
        """Let libvirt end its guests, so that it removes their cgroups."""
        for uuid in self._do("virsh", "-q", "list", "--uuid").split():
            self._do("virsh", "-q", "destroy", uuid)

    def _do(self, *command: str) -> str:
        """Run a command there that must succeed; what it printed."""
        return printed(self.transport.run(command, timeout=_PATIENCE))


class MachineTransport(LocalTransport):
    """A transport into a lab's namespaces."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 10.0) -> Result:
        """Run one command there. See ``Transport.run``."""
        done = super().run(self._machine.enter(argv), stdin=stdin, timeout=timeout)
        return Result(argv=tuple(argv), rc=done.rc, out=done.out, err=done.err)

    def run_all(
        self, commands: Sequence[Sequence[str]], *, timeout: float = 10.0
    ) -> tuple[Result, ...]:
        """Run commands there, entering it once for all. See ``Transport.run_all``."""
        words, mark = [tuple(argv) for argv in commands], framing.new_mark()
        done = self.run(("sh",), stdin=framing.script(words, mark), timeout=timeout)
        return framing.results(words, mark, done.out.encode(), done.err.encode())
