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

_JOIN = 'mkdir -p "$1" && echo $$ >"$1/cgroup.procs" && shift && exec "$@"'


def run_plain(machine: Machine, plan: GuestPlan = PLAIN) -> None:
    """Run a guest as Proxmox VE does: QEMU by itself, in a cgroup of its own."""
    boots, tap, console = image(), f"tap{plan.number}", f"/run/console-plain-{plan.number}.log"
    for command in (
        ("ip", "tuntap", "add", "dev", tap, "mode", "tap"),
        ("ip", "link", "set", "dev", tap, "master", plan.bridge, "up"),
        (
            *("sh", "-c", _JOIN, "sh", group(plan), "qemu-system-x86_64", "-daemonize"),
            *("-name", f"{plan.name.replace(',', ',,')},debug-threads=on"),
            *("-M", "q35", "-m", "160", "-smp", str(plan.vcpus), "-display", "none"),
            *("-kernel", boots.kernel, "-initrd", boots.initrd, "-append", told(plan)),
            *("-serial", f"file:{console}", "-nodefaults"),
            *("-pidfile", f"/run/plain-{plan.number}.pid"),
            *("-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=n0,mac={mac(plan.number)}"),
        ),
    ):
        printed(machine.transport.run(command, timeout=PATIENCE))
    up = f"up {address(plan.number)}"
    machine.wait(lambda: up in machine.transport.run(("cat", console)).out, "no plain guest")


def remove_group(plan: GuestPlan = PLAIN) -> bool:
    """Remove its cgroup; False while the kernel still counts a process in it."""
    return cgroup.remove(Path(group(plan)))


def group(plan: GuestPlan = PLAIN) -> str:
    """The cgroup of a guest that libvirt does not run."""
    controller = cgroup.detect()
    assert controller is not None
    return f"{controller.root}/viotune-plain{plan.number}"
