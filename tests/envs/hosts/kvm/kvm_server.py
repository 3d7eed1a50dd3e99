"""A KVM server in QEMU: Debian as it is installed, systemd with cgroups v2, libvirt, KVM itself.

Four cores on two nodes, a NIC to log in by, another with several interrupts under the bridge, and
three guests, see ``server/root/usr/local/sbin/guests``. KVM needs a processor's support for
virtualization, which QEMU emulates: AMD's.
"""

from collections.abc import Sequence
from pathlib import Path

from envs.hosts.emulated.build import Build
from envs.hosts.emulated.machine import Emulated

_HERE = Path(__file__).parent / "server"


class Server(Emulated):
    """The server, up or not."""

    title = "KVM server"
    pause = "pkill -STOP qemu-system"  # QEMU may refuse to load what it saved as a guest ran
    go_on = "pkill -CONT qemu-system"

    def __init__(self) -> None:
        build = Build("kvm-server", _HERE / "build.sh", [_HERE / "root"])
        super().__init__(build, "server", Path(__file__))

    @property
    def uri(self) -> str:
        """The server as ``tuner --host`` takes it, with libvirt's guests."""
        return f"qemu+ssh://root@127.0.0.1:{self.port}/system"

    @property
    def plain_uri(self) -> str:
        """The server with all guests, as where there is no libvirt."""
        return f"kvm+ssh://root@127.0.0.1:{self.port}"

    def hardware(self, build: Path) -> Sequence[str]:
        """QEMU's options."""
        # Where programs lie at random, each start of one has to be translated anew: twice the time.
        linux = "console=ttyS0 quiet mitigations=off norandmaps init=/sbin/init"
        return (
            *("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"),
            *("-m", "2G", "-smp", "4,sockets=2,cores=2"),
            *("-object", "memory-backend-ram,id=low,size=1G", "-numa", "node,cpus=0-1,memdev=low"),
            *("-object", "memory-backend-ram,id=high,size=1G"),
            *("-numa", "node,cpus=2-3,memdev=high"),
            *("-kernel", str(build / "vmlinux"), "-append", linux, "-initrd", f"{build}/initrd"),
            *("-device", "virtio-net-pci,netdev=wire,romfile="),
            *("-netdev", "user,id=lan,restrict=on,net=10.0.0.0/24,host=10.0.0.254"),
            *("-device", "e1000e,netdev=lan,mac=52:54:00:00:00:01,romfile="),
        )
