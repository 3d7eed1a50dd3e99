"""Xen hosts in QEMU: built from Debian's packages, booted once, from then on resumed in seconds.

QEMU emulates (a Xen host cannot be nested without hardware support), without SMAP, with which
dom0 dies at once. One thread emulates all cores in turn: with a thread for each, a command in dom0
was seen to cost over three times the CPU time and to take six times as long on a busy machine, as
Xen spins on one core until it hears from another, which does not run.

Guests are PV unless asked for otherwise. PVH ones, which alone can be migrated, need a processor's
support for virtualization, which is emulated as well. With one thread for all cores they hung or
died in three of eight migrations, with a thread for each in none of thirteen, so that is how they
are emulated, best with as few cores as this machine has (QEMU 7.2).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from envs.host import Record
from envs.hosts.emulated.build import Build
from envs.hosts.emulated.machine import Emulated

_HERE = Path(__file__).parent
_TELL = 'set -e; listed=$(xl list); echo "$listed" | awk'
_MEMORY = {"machine": "1536M", "dom0": "512M"}


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


class Machine(Emulated):
    """A Xen host in its folder, running or not.

    An emulated PVH guest now and then dies as it comes up: Xen starts it anew, as another domain.
    QEMU takes snapshots that it then refuses to load while a core runs a PVH guest.
    """

    title = "Xen lab"
    remedy = ": tuner --host lab:xen, or: tuner lab down xen"
    pause = f"{_TELL} '$2 ~ /^[1-9]/ {{ print $1 }}' | xargs -rn 1 xl pause"
    go_on = f"{_TELL} '$5 ~ /p/ {{ print $1 }}' | xargs -rn 1 xl unpause"

    def __init__(self, kind: Kind) -> None:
        build = Build("xen", _HERE / "build.sh", [_HERE / "dom0.sh"])
        super().__init__(build, kind.name, Path(__file__))
        self.kind = kind

    @property
    def uri(self) -> str:
        """The host as ``tuner --host`` takes it."""
        return f"xen+ssh://root@127.0.0.1:{self.port}"

    def hardware(self, build: Path) -> Sequence[str]:
        """QEMU's options. See ``Emulated.hardware``."""
        kind = self.kind
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
        linux = f"console=hvc0 ro quiet mitigations=off norandmaps init=/sbin/dom0 guests={guests}"
        return (
            *("-accel", f"tcg,thread={threads},tb-size=512", "-cpu", "max,-smap"),
            *("-smp", str(kind.cores), "-m", _MEMORY["machine"]),
            *("-kernel", str(build / "xen"), "-append", xen),
            *("-initrd", f"{build}/vmlinux {linux},{build}/initrd"),
            *("-device", "virtio-net-pci,netdev=wire,romfile="),
            *("-netdev", "hubport,id=lan,hubid=1"),
            *("-device", "virtio-net-pci,netdev=lan,mac=52:54:00:00:00:01,romfile="),
        )

    def is_as_planned(self) -> bool:
        """Whether each guest is still the domain that was created first: 1, 2 and so on."""
        numbers = range(1, 1 + len(self.kind.guests))
        domids = self.ssh("; ".join(f"xl domid g{number}" for number in numbers)).split()
        return domids == [str(number) for number in numbers]


def up(kind: Kind) -> Machine:
    """A running machine: built where it never was, booted where there is no snapshot, else resumed.

    Raises HostError where it cannot be, or is up already.
    """
    machine = Machine(kind)
    machine.up()
    return machine
