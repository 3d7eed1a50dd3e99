"""Every parser of what a command printed or a file held, each with a text that it reads."""

import json
from collections.abc import Callable
from pathlib import Path

from envs.hosts import cgroup, iproute, linux
from envs.hosts.bridge import connection, filters, watch
from envs.hosts.cgroup import Controller
from envs.hosts.framing import results
from envs.hosts.kvm import libvirt, qemu
from envs.hosts.kvm.counters import misses
from envs.hosts.transport import Result, files_read
from envs.hosts.uplink import uplink
from envs.hosts.xen import dom0, xl

HERE = Path(__file__).parent
PRINTED: dict[str, dict[str, str]] = json.loads((HERE / "xen" / "printed.json").read_text())
LAB: list[dict[str, str]] = json.loads((HERE / "recordings" / "lab.json").read_text())["results"]
CREDIT, CREDIT2 = PRINTED["credit-pv-smp4"], PRINTED["credit2-pv-smp2"]
STAT = "5818 (a (b) c) R" + " 0 -1" * 5 + " 61 262" + " 0" * 6 + " 176377 13508608\n"
LISTED = (
    "Name  ID   Mem VCPUs\tState\tTime(s)   UUID    Reason-Code\tSecurity Label   Cpupool\n"
    "g 1    4    16   1   -b----    0.0 c72e7e5c-b78e-4ee5-a860-584c7b0b11bb   -   -   Pool-0\n"
)
TAPS = "/proc/7/fdinfo/30\0iff:\tvnet0\n/proc/7/fdinfo/31\0iff:\tvnet0\n"
NETDEV = (
    'qemu -name guest=a,,b -uuid u -netdev {"type":"tap","fd":"30","id":"h"} '
    "-device virtio-net-pci,netdev=h,mac=52:54:00:00:00:0B -nic tap,fd=31 "
)
V2 = Controller(version=2, root="/sys/fs/cgroup")


def said(text: str, rc: int = 0) -> Result:
    """The result of a command that printed a text."""
    return Result(argv=("asked",), rc=rc, out=text)


def from_lab(*words: str) -> str:
    """What the first such command of a recorded lab printed, if it printed more than a list."""
    return next(r["out"] for r in LAB if {*words} <= {*r["argv"]} and len(r["out"]) > 5)


def files(texts: dict[str, str]) -> str:
    """What ``grep -sHZ`` prints of files."""
    lines = ((path, line) for path, text in texts.items() for line in text.splitlines())
    return "".join(f"{path}\0{line}\n" for path, line in lines)


def process(
    cmdline: str = NETDEV, threads: str = "/proc/7/task/7/comm\0qemu\n", taps: str = TAPS
) -> qemu.Process | None:
    """A QEMU process, for what is told of it; a blank stands for the end of an argument."""
    stat = files({"/proc/7/stat": STAT})
    return qemu.process(7, [said(t) for t in (cmdline.replace(" ", "\0"), stat, threads, taps)], ())


Parser = Callable[[str], object]
PARSERS: dict[str, tuple[Parser, str]] = {
    "lscpu -p": (lambda text: linux.topology(text, range(64)), from_lab("lscpu")),
    "stat": (linux.task, STAT),
    "schedstat": (lambda text: linux.task(STAT, text), "3254071234 12 99\n"),
    "status": (linux.affinity, "Name:\tpython\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n"),
    "/proc/stat": (linux.core_times, CREDIT["cat /proc/stat"]),
    "/proc/net/dev": (linux.interfaces, CREDIT["cat /proc/net/dev"]),
    "list of cores": (linux.core_list, "0-2,5,7-8\n"),
    "/proc/mounts": (
        lambda text: (cgroup.trees(text), cgroup.find(text, {})),
        "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\ncgroup /c cgroup cpu 0 0\n",
    ),
    "cgroup": (lambda text: cgroup.membership(text, V2), "4:cpu,cpuacct:/a:b\n0::/machine/x\n"),
    "uplink": (lambda text: uplink(text, "br0"), "vif9 no -1 -1 \neth0 yes 10000 0 41 42\n"),
    "ip link": (iproute.links, CREDIT["ip -j -d link"]),
    "bridge fdb": (iproute.entries, CREDIT["bridge -j -s fdb"]),
    "bridge mdb": (iproute.has_multicast_router, from_lab("bridge", "mdb")),
    "tc qdisc": (iproute.with_ingress, CREDIT["tc -j -s qdisc"]),
    "tc filter": (
        lambda text: iproute.filters("vif1.0", text, range(7200, 7210)),
        CREDIT[next(c for c in CREDIT if "tc -j -s filter" in c)].splitlines()[0],
    ),
    "ip route": (
        lambda text: connection.carriers(text, "[]", iproute.links(CREDIT["ip -j -d link"]), ()),
        '[{"dst":"10.0.2.2","dev":"xenbr0","prefsrc":"10.0.2.15","flags":[],"uid":0,"cache":[]}]',
    ),
    "ip neigh": (
        lambda text: connection.carriers('[{"dst":"1","dev":"eth0"}]', text, {}, ()),
        '[{"dst":"1","dev":"eth0","lladdr":"52:55:0a:00:02:02","state":["REACHABLE"]}]',
    ),
    "nft": (
        lambda text: list(filters.reasons(said(text), said(""), ["vif1"])),
        '{"nftables":[{"chain":{"family":"bridge","table":"t","name":"c","hook":"forward"}}]}\n',
    ),
    "iptables-save": (
        lambda text: list(filters.reasons(said(""), said(text), ["vif1"])),
        "# of iptables-save\n*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n",
    ),
    "watcher": (lambda text: watch.watched("br0", text), "sh\0viotune-watch:br0\0lean\0vif1/m/0\0"),
    "files": (lambda text: files_read(said(text)), files({"/a": "b", "/c": "1\n2"})),
    "script": (
        lambda text: results([("a",), ("b",)], "M", text.encode(), b"\nM\n\nM\n"),
        "x\nM 0\n\nM 1\n",
    ),
    "virsh list": (
        lambda text: libvirt.uuids(said(text)),
        "00000000-0000-0000-0000-00000000000a\n",
    ),
    "virsh domiflist": (
        lambda text: libvirt.addresses(said(text)),
        " vnet0   bridge   br0   virtio   52:54:00:00:00:01\n",
    ),
    "find qemu": (lambda text: qemu.pids(said(text)), "/proc/10/exe\n/proc/7/exe\n"),
    "vhost": (
        lambda text: qemu.workers(said(text)),
        files({"/proc/190/comm": "vhost-100"}),
    ),
    "qemu threads": (
        lambda text: process(threads=text),
        files({f"/proc/7/task/{7 + n}/comm": c for n, c in enumerate(("q", "CPU 0/KVM", "IO a"))}),
    ),
    "qemu taps": (lambda text: process(taps=text), TAPS),
    "qemu cmdline": (lambda text: process(cmdline=text), NETDEV),
    "perf": (misses, "123456,,cache-misses,1000000,100.00,,\n"),
    "xl list -v -c": (xl.domains, LISTED),
    "xl vcpu-list": (xl.vcpus, CREDIT["xl vcpu-list"]),
    "xl sched-credit": (lambda text: xl.weights("credit", text), CREDIT["xl sched-credit"]),
    "xl sched-credit2": (lambda text: xl.weights("credit2", text), CREDIT2["xl sched-credit2"]),
    "xl cpupool-list": (
        lambda text: xl.pools(text, CREDIT["xl cpupool-list -c"]),
        CREDIT["xl cpupool-list"],
    ),
    "xl cpupool-list -c": (
        lambda text: xl.pools(CREDIT["xl cpupool-list"], text),
        CREDIT["xl cpupool-list -c"],
    ),
    "xl info -n": (xl.topology, CREDIT["xl info -n"]),
    "affinity": (lambda text: xl.core_list(text, range(4)), "0,2-3"),
    "vifs": (
        dom0.vifs,
        "/sys/bus/xen-backend/devices/vif-2-1/net/vif2.1\n/local/domain/0/backend/vif/2/1/mac: x\n",
    ),
    "netback threads": (
        lambda text: dom0.threads(said(text)),
        files({"/proc/7/comm": "vif1.0-q0", "/proc/7/status": "PPid:\t2\nCpus_allowed_list:\t0"}),
    ),
    "interrupts": (
        lambda text: dom0.irqs(said(text)),
        files({"/sys/kernel/irq/7/actions": "vif1.0", "/proc/irq/7/smp_affinity_list": "0-1"}),
    ),
    "tc -s qdisc": (lambda text: dom0.queues(said(text)), CREDIT["tc -j -s qdisc"]),
}
"""Each parser of a text, and a text that it reads."""
