"""The KVM lab to throw faults at: libvirt and two QEMU guests, in namespaces of this machine."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from shutil import rmtree

import namespaced_sshd
from limits import LIMITS
from msgspec.structs import replace
from subject import Mishap, Subject, Wire

from envs.host import Settings
from envs.hosts.kvm import lab
from envs.hosts.kvm.host import LAB, KvmHost
from envs.hosts.kvm.lab.machine import GuestPlan, address
from envs.hosts.transport import Transport

GUESTS = (GuestPlan(name="g1", number=1, vcpus=2, iothreads=1), GuestPlan(name="g2", number=2))
"""No traffic of their own: emulated guests that send would keep the machine busy."""


class KvmSubject(Subject):
    """The KVM lab of this machine, of which there can be one."""

    uri = LAB
    state = "/run/viotune/kvm"
    vifs = ("vnet0", "vnet1")
    addresses = (address(1), address(2))
    confirm_within, slack, longest = LIMITS["lab:kvm"]
    script = """
        for guest in g1 g2; do
            {
                virsh -q vcpupin $guest; virsh -q emulatorpin $guest
                virsh -q schedinfo $guest | grep cpu_shares
                for task in /proc/$(cat /run/libvirt/qemu/$guest.pid)/task/*; do
                    case $(cat $task/comm) in qemu-*|CPU*|IO*) taskset -c -p ${task##*/} ;; esac
                done | sed 's/.*list: //'
            } 2>/dev/null | sed "s/^/$guest /"
        done
        ip -o -d link show | grep -v ' lo: '
        bridge -o -d link show
        bridge fdb show br br0 | grep static | sort
        tc qdisc show | grep -v 'dev lo'
        for port in vnet0 vnet1 uplink; do
            tc filter show dev $port ingress |
                awk '/ match / { m = m " " $2 $4 } /mirred/ { print m, $0; m = "" }' |
                sed "s/^/$port /"
        done 2>/dev/null
        ls /run/viotune/kvm/found.json; pgrep -f 'viotune-watc[h]:' >/dev/null && echo watched
    """

    def __init__(self) -> None:
        super().__init__()
        self.machine = lab.find()
        self.renew()

    def renew(self) -> None:
        if self.machine.folder.exists():
            self.machine.down()
        self.machine.up()
        self.machine.boot(*GUESTS)
        self.shell(f"mkdir -p {self.state} && mount -t tmpfs -o size=512k faults {self.state}")
        self.settle()

    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        return self.machine.enter(argv)

    def outside(self, argv: Sequence[str]) -> Sequence[str]:
        return self.machine.enter(("ip", "netns", "exec", "outside", *argv))

    def open(self, transport: Transport) -> KvmHost:
        return KvmHost.open(LAB, transport)

    def transport(self) -> Transport:
        return self.machine.transport

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        with namespaced_sshd.wire(self.machine.pid, self.inside) as made:
            yield made

    def aim(self, found: Settings) -> Settings:
        place = {k: (0,) if k.endswith("emulator") else (1,) for k in found.placement}
        return replace(
            found,
            placement=place,
            weight={**found.weight, **{plan.name: 2 * found.weight[plan.name] for plan in GUESTS}},
            tx_queue=dict.fromkeys(found.tx_queue, 64),
            bridge="direct",
            side_cores=(0,),
        )

    def mishaps(self) -> Mapping[str, Mishap]:
        scripts = {
            "guest destroyed": "virsh destroy g2",
            "guest rebooted": "virsh destroy g2; virsh -q create /run/g2.xml",
            "guest migrated": "virsh save g2 /run/g2 && virsh restore /run/g2",
            "vif removed": "ip link del vnet1",
        }
        anew = r"\bg2\b|\bvnet[12]\b"
        return {
            name: Mishap(
                script=f"virsh dumpxml g2 >/run/g2.xml; {script}",
                vif="vnet1",
                touches=anew,
                lasting=True,
            )
            for name, script in scripts.items()
        }

    def down(self) -> None:
        self.machine.down()
        rmtree(self.folder)
