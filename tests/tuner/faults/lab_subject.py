"""A lab to throw faults at. Its senders are paused: they would only make it slow."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import namespaced_sshd
from limits import LIMITS
from msgspec.structs import replace
from subject import Mishap, Subject, Wire

from envs.errors import HostError
from envs.host import Settings
from envs.hosts.lab import manage, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.hosts.transport import LocalTransport, Transport

GUESTS = 2


class LabSubject(Subject):
    """The lab of a number, with its state folder on a small filesystem."""

    vifs = ("vif1", "vif2")
    addresses = ("10.0.0.1", "10.0.0.2")
    confirm_within, slack, longest = LIMITS["lab:faults"]

    def __init__(self, number: int) -> None:
        super().__init__()
        self.name = f"faults{number}"
        self.uri = f"lab:{self.name}"
        self.state = str(record.directory(self.name))
        self.renew()

    def renew(self) -> None:
        self._take_down()
        manage.up(LabConfig(name=self.name, guests=GUESTS))
        self.lab = record.read(Path(self.state))
        self.processes = self.lab.processes
        for key, process in self.processes.items():
            if key.startswith("outside"):
                os.kill(process.pid, signal.SIGSTOP)
        self._onto_small_disk()
        self.script = self._script()
        self.settle()

    def _onto_small_disk(self) -> None:
        """What a lab keeps moves to a filesystem that can be filled without harm."""
        mount = "mount -t tmpfs -o size=512k,mode=700 faults"
        script = f'cp -a "$1" "$2" && {mount} "$1" && cp -a "$2/." "$1" && rm -r "$2"'
        subprocess.run(
            ("sh", "-ec", script, "sh", self.state, str(self.folder / "kept")), check=True
        )

    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        return ("nsenter", "-t", str(self.lab.supervisor.pid), "-n", "--", *argv)

    def outside(self, argv: Sequence[str]) -> Sequence[str]:
        pid = next(p.pid for key, p in self.processes.items() if key.startswith("outside/"))
        return ("nsenter", "-t", str(pid), "-n", "--", *argv)

    def open(self, transport: Transport) -> LabHost:
        return LabHost.open(self.name, transport)

    def transport(self) -> Transport:
        return LocalTransport()

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        with namespaced_sshd.wire(self.lab.supervisor.pid, self.inside) as made:
            yield made

    def aim(self, found: Settings) -> Settings:
        return replace(
            found,
            placement={**found.placement, "relay1": (0,), "relay2": (0,)},
            tx_queue=dict.fromkeys(found.tx_queue, 64),
            weight={domain: 2 * weight for domain, weight in found.weight.items()},
            bridge="direct",
        )

    def mishaps(self) -> Mapping[str, Mishap]:
        pid = self.processes["g2/0"].pid
        destroyed = Mishap(
            script=f"kill -9 {pid}", vif="vif2", touches=rf"pid {pid}'s", lasting=True
        )
        removed = Mishap(script="ip link del vif2", vif="vif2", touches=r"\bvif2\b", lasting=True)
        return {"guest destroyed": destroyed, "vif removed": removed}

    def down(self) -> None:
        self._take_down()
        shutil.rmtree(self.folder)

    def _take_down(self) -> None:
        for name in ("undo", "lease"):  # which ends a watchdog: its orders are for this lab alone
            Path(self.state, name).unlink(missing_ok=True)
        subprocess.run(("umount", "-l", "-q", self.state), check=False, capture_output=True)
        with suppress(HostError):
            manage.down(self.name)

    def _script(self) -> str:
        pids = " ".join(str(process.pid) for process in self.processes.values())
        group = self.lab.group
        weights = f"grep -H '' {group}/*/cpu.shares {group}/*/cpu.weight 2>/dev/null"
        return f"""
            for pid in {pids}; do taskset -a -c -p $pid; done 2>/dev/null
            ip -o -d link show | grep -v ' lo: '
            bridge -o -d link show
            bridge fdb show br br0 | grep static | sort
            tc qdisc show | grep -v 'dev lo'
            for port in vif1 vif2 uplink; do
                tc filter show dev $port ingress |
                    awk '/ match / {{ m = m " " $2 $4 }} /mirred/ {{ print m, $0; m = "" }}' |
                    sed "s/^/$port /"
            done 2>/dev/null
            {weights if group else ""}
            cd {self.state} && ls *-bridge.json; cat duties.json
            pgrep -f 'viotune-watc[h]:' --ns $$ --nslist net >/dev/null && echo watched
        """
