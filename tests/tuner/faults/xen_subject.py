"""The Xen lab to throw faults at: a dom0 inside QEMU, which only SSH leads to."""

import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copy, rmtree
from tempfile import TemporaryDirectory

from child import Child
from limits import LIMITS
from msgspec.structs import replace
from subject import Mishap, Subject, Wire

from envs.errors import HostError
from envs.host import Settings
from envs.hosts.ssh import Address, SshTransport
from envs.hosts.transport import Transport
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Kind, machine


class XenSubject(Subject):
    """The Xen lab of this machine, resumed from where its guests had come up."""

    uri = "lab:xen"
    state = "/run/viotune/xen"
    vifs = ("vif1.0", "vif2.0")
    addresses = ("10.0.0.11", "10.0.0.12")
    confirm_within, slack, longest = LIMITS["lab:xen"]
    script = """
        xl vcpu-list | awk '{ print $1, $3, $(NF - 2), $NF }'
        xl sched-credit2
        ip -o -d link show | grep -v ' lo: '
        bridge -o -d link show
        bridge fdb show br xenbr0 | grep static | sort
        tc qdisc show
        for port in vif1.0 vif2.0 eth1; do
            tc filter show dev $port ingress |
                awk '/ match / { m = m " " $2 $4 } /mirred/ { print m, $0; m = "" }' |
                sed "s/^/$port /"
        done 2>/dev/null
        for comm in /proc/[0-9]*/comm; do
            read -r name <$comm; pid=${comm%/comm}
            case $name in vif*) echo "$name $(taskset -p -c ${pid#/proc/} | sed 's/.*: //')" ;; esac
        done 2>/dev/null
        for irq in /proc/irq/[0-9]*; do
            read -r name </sys/kernel/irq/${irq##*/}/actions && [ "$name" ] || continue
            read -r cores <$irq/smp_affinity_list && echo "irq $name $cores"
        done 2>/dev/null
        ls /run/viotune/xen/found.json; pgrep -f 'viotune-watc[h]:' >/dev/null && echo watched
    """

    def __init__(self) -> None:
        super().__init__()
        self.machine = machine.Machine(Kind())
        self.renew()

    def renew(self) -> None:
        resumed = Child(lambda _say: self._resume()).wait()
        if resumed.code != 0:
            raise HostError(resumed.said)
        self.shell(f"mkdir -p {self.state} && mount -t tmpfs -o size=512k faults {self.state}")
        self.settle()

    def _resume(self) -> None:
        """In a process of its own, for a connection has threads."""
        self.machine.down()
        machine.up(Kind())

    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        config, port = str(self.machine.home / ".ssh" / "config"), str(self.machine.port)
        return ("ssh", "-n", "-F", config, "-p", port, "root@127.0.0.1", shlex.join(argv))

    outside = inside

    def open(self, transport: Transport) -> XenHost:
        return XenHost.open(self.uri, transport)

    def transport(self) -> Transport:
        return _connect(self.machine.port, self.machine.home / ".ssh" / "config")

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        with TemporaryDirectory() as folder:
            copy(self.machine.home / ".ssh" / "config", folder)
            made = PipedWire(self.machine.port, Path(folder) / "config")
            try:
                yield made
            finally:
                made.unblock()

    def aim(self, found: Settings) -> Settings:
        own = {"Domain-0/0": (0,), "Domain-0/1": (0, 1), "g1/0": (2, 3), "g2/0": (3,)}
        return replace(
            found,
            placement={**found.placement, **own},
            weight={**found.weight, "Domain-0": 1024},
            tx_queue=dict.fromkeys(found.tx_queue, 64),
            bridge="direct",
            side_cores=(0,),
        )

    def mishaps(self) -> Mapping[str, Mishap]:
        scripts = {
            "guest destroyed": "xl destroy g2",
            "guest rebooted": "xl destroy g2; xl create -q /guests/g2.cfg",
            "guest migrated": "xl save g2 /tmp/g2 && xl restore /tmp/g2",
            "vif removed": "xl network-detach g2 0",
        }
        anew = r"\bg2\b|\bvif[2-9]\.0|\bevtchn:"  # the daemons' interrupts bear no guest's name
        found = {
            name: Mishap(script=script, vif="vif2.0", touches=anew, lasting=True)
            for name, script in scripts.items()
        }
        found["guest renamed"] = Mishap(
            script="xl rename g2 other", touches=r"\bg2\b|\bother\b", lasting=True
        )
        for name, jump in (("clock put forward", "+1 day"), ("clock put back", "-1 day")):
            found[name] = Mishap(script=f"date -s '{jump}'")
        return found

    def down(self) -> None:
        self.machine.down()
        rmtree(self.folder)


class PipedWire(Wire):
    """SSH through a process of this machine for every connection, which can be ended or stopped."""

    def __init__(self, port: int, config: Path) -> None:
        self._port, self._config = port, config
        self._stopped = config.with_name("stopped")
        self._pipe_through(f"busybox nc 127.0.0.1 {port}")

    def connect(self) -> Transport:
        return _connect(self._port, self._config)

    def cut(self) -> None:
        for pid in self._pipes():
            os.kill(pid, signal.SIGKILL)

    def block(self) -> None:
        self._pipe_through("sleep 600")
        pids = self._pipes()
        self._stopped.write_text(" ".join(map(str, pids)))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def unblock(self) -> None:
        """End the stopped pipes: who held them has gone by now."""
        self._pipe_through(f"busybox nc 127.0.0.1 {self._port}")
        for pid in self._stopped.read_text().split() if self._stopped.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def _pipe_through(self, command: str) -> None:
        lines = self._config.read_text().splitlines()
        lines = [line for line in lines if "ProxyCommand" not in line]
        self._config.write_text("\n".join([*lines, f"  ProxyCommand {command}", ""]))

    @staticmethod
    def _pipes() -> list[int]:
        """The children of this process that are pipes."""
        found = []
        for task in Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "busybox\n":
                        found.append(int(pid))
        return found


def _connect(port: int, config: Path) -> SshTransport:
    return SshTransport(Address(host="127.0.0.1", user="root", port=port), (config,))
