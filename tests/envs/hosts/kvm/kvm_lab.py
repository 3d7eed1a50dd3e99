"""What the tests add to the KVM lab: a busy guest, and one that libvirt does not run."""

import os
from pathlib import Path

from envs.hosts import cgroup
from envs.hosts.kvm.lab.image import image
from envs.hosts.kvm.lab.machine import PATIENCE, GuestPlan, Machine, address, mac, told
from envs.hosts.transport import printed

CORES = sorted(os.sched_getaffinity(0))
ONE, OTHER = CORES[0], CORES[-1]
"""The cores that settings of the tests name: they need two, whichever they are."""
HOSTILE = "-x $(reboot);'\"ü a"
BUSY = GuestPlan(name=HOSTILE, number=3, busy=1)
PLAIN = GuestPlan(name="plain,$(reboot) one", number=4)

_TAP = f"tap{PLAIN.number}"
_CONSOLE = "/run/console-plain.log"
_JOIN = 'mkdir -p "$1" && echo $$ >"$1/cgroup.procs" && shift && exec "$@"'


def run_plain(machine: Machine) -> None:
    """Run ``PLAIN`` as Proxmox VE does: QEMU by itself, in a cgroup of its own."""
    boots = image()
    for command in (
        ("ip", "tuntap", "add", "dev", _TAP, "mode", "tap"),
        ("ip", "link", "set", "dev", _TAP, "master", PLAIN.bridge, "up"),
        (
            *("sh", "-c", _JOIN, "sh", _group(), "qemu-system-x86_64", "-daemonize"),
            *("-name", f"{PLAIN.name.replace(',', ',,')},debug-threads=on"),
            *("-M", "q35", "-m", "160", "-smp", str(PLAIN.vcpus), "-display", "none"),
            *("-kernel", boots.kernel, "-initrd", boots.initrd, "-append", told(PLAIN)),
            *("-serial", f"file:{_CONSOLE}", "-nodefaults"),
            *("-netdev", f"tap,id=n0,ifname={_TAP},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=n0,mac={mac(PLAIN.number)}"),
        ),
    ):
        printed(machine.transport.run(command, timeout=PATIENCE))
    up = f"up {address(PLAIN.number)}"
    machine.wait(lambda: up in machine.transport.run(("cat", _CONSOLE)).out, "no plain guest")


def remove_group() -> bool:
    """Remove its cgroup; False while the kernel still counts a process in it."""
    return cgroup.remove(Path(_group()))


def _group() -> str:
    controller = cgroup.detect()
    assert controller is not None
    return f"{controller.root}/viotune-plain"
