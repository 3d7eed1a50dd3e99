"""The one process that holds a lab: it builds the network, starts everything, and then waits.

    python -m envs.hosts.lab.supervisor STATE_DIRECTORY READY_FD

It is detached from whoever started it. Everything else of the lab is its child and dies with it,
whatever kills it; what ends with no process (cgroups, the state directory) ``manage.down`` takes
away. A child that ends is not begun again: its absence is what a live host would show, too.
On READY_FD it writes nothing if all is well, or one line that says what is wrong.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from envs.errors import CommandFailed, HostError
from envs.hosts import bridge, cgroup, linux
from envs.hosts.lab import namespaces, record
from envs.hosts.lab.build import Network, build
from envs.hosts.lab.config import BRIDGE, DRIVER, OUTSIDE, UPLINK, Plan, plan
from envs.hosts.lab.duties import UPLINK_DUTIES, stock_duties
from envs.hosts.lab.record import Lab, Process
from envs.hosts.transport import LocalTransport, output

_HERE = Path(__file__).parent

_OUTSIDE_BOOST = 8
"""The outside's weight over the default: another machine is not short of CPU when we boost."""


def main(folder: Path, ready: int) -> None:
    """Make the lab of a state directory and hold it until this process is killed."""
    if os.fork():
        os._exit(0)  # whoever started us waits for this process, and the lab outlives it
    os.set_inheritable(ready, False)  # or its reader would wait for our children as well
    lab = record.read(folder)
    if os.environ.get(record.MARKER) != lab.token:
        raise SystemExit(1)  # ours was taken down before it began; this is the record of another
    try:
        lab = _make(folder, lab)
        record.write(folder, lab)
    except (OSError, HostError) as error:
        os.write(ready, f"{error}\n".encode())
        raise SystemExit(1) from error
    os.close(ready)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


def _make(folder: Path, lab: Lab) -> Lab:
    if lab.userns:
        namespaces.become_root_of_user_namespace()
    names = plan(lab.config)
    network = build(names, lab.config.tx_queue)
    lab = _groups(lab, names)
    lab = msgspec.structs.replace(lab, direct=_why_no_redirect(names))
    (folder / "duties.json").write_bytes(msgspec.json.encode(stock_duties(names)) + b"\n")
    (folder / "uplink.json").write_bytes(msgspec.json.encode(UPLINK_DUTIES) + b"\n")
    processes = _start(folder, lab, names, network)
    return msgspec.structs.replace(lab, supervisor=_process(os.getpid()), processes=processes)


def _groups(lab: Lab, names: Plan) -> Lab:
    """Make the cgroups; where that cannot be, the lab has no weights, and says why."""
    if lab.cgroup is None or lab.group is None:
        return lab
    try:
        if lab.cgroup.version == 2 and not cgroup.passed_on(lab.group.parent):
            cgroup.pass_on(lab.group.parent)
        cgroup.remove(lab.group)  # left over: this name is ours now
        lab.group.mkdir()
        if lab.cgroup.version == 2:
            cgroup.pass_on(lab.group)
        for domain in (*names.domains, OUTSIDE):
            (lab.group / domain).mkdir()
        boosted = str(lab.cgroup.default * _OUTSIDE_BOOST)
        (lab.group / OUTSIDE / lab.cgroup.weight_file).write_text(boosted)
    except OSError as error:
        cgroup.remove(lab.group)
        return msgspec.structs.replace(lab, cgroup=None, why_not=f"no cgroup can be made: {error}")
    return lab


def _why_no_redirect(names: Plan) -> str:
    """Try every redirect once, while nothing flows; the reason if this kernel has none."""
    flags = bridge.PortFlags(learning=True, flood=True)
    none = bridge.BridgeState(ports={plug.port: flags for plug in names.plugs})
    every = msgspec.structs.replace(bridge.in_mode("direct", none, names.plugs), watch=())
    there, back = bridge.commands(BRIDGE, none, every), bridge.commands(BRIDGE, every, none)
    transport = LocalTransport()
    try:
        for command in there:
            output(transport, command)
    except CommandFailed as error:
        for command in back:
            transport.run(command)
        return f"this kernel's tc cannot redirect: {error}"
    for command in back:
        output(transport, command)
    return ""


def _start(folder: Path, lab: Lab, names: Plan, network: Network) -> Mapping[str, Process]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    vifs = [guest.vif for guest in names.guests]
    ends = [f"{vif}={network.taps[vif][0]}:{network.taps[vif][1]}" for vif in vifs]
    descriptors = [end for vif in vifs for end in network.taps[vif]]
    processes = {}

    def start(key: str, domain: str, space: int, words: Sequence[str], keep: Sequence[int]) -> None:
        group = lab.group / domain if lab.group else None
        processes[key] = _process(_spawn(words, space, group, keep))

    for guest in names.guests:
        files = (str(folder / "duties.json"), str(folder / f"{guest.backend}.json"))
        words = ("relay.py", guest.backend, *files, *ends)
        start(guest.backend, DRIVER, home, words, descriptors)
    near, far = network.taps[UPLINK]
    files = (str(folder / "uplink.json"), str(folder / "uplink-report.json"))
    words = ("relay.py", UPLINK, *files, f"{UPLINK}={near}:{far}")
    start(UPLINK, OUTSIDE, home, words, (near, far))
    for peer in names.peers:
        ways = [f"{address}:{port}" for address, port in (peer.listen, *peer.connect)]
        words = ("traffic.py", "outside" if peer.guest == OUTSIDE else "guest", *ways)
        start(peer.key, peer.guest, network.spaces[peer.guest], words, ())
    for neighbour in names.neighbours:
        words = ("busy.py", str(folder / f"{neighbour.name}.work"))
        start(neighbour.vcpu, neighbour.name, home, words, ())
    return processes


def _spawn(words: Sequence[str], space: int, group: Path | None, keep: Sequence[int]) -> int:
    """Start one of the lab's scripts in a namespace and a cgroup; its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        namespaces.die_with_parent(parent, signal.SIGKILL)
        namespaces.enter_network(space)
        if group is not None:
            (group / "cgroup.procs").write_text("0")  # 0 means whoever writes it
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        script, *rest = words
        os.execv(sys.executable, [sys.executable, "-IS", str(_HERE / script), *rest])  # noqa: S606
    finally:
        os._exit(1)


def _process(pid: int) -> Process:
    return Process(pid=pid, start=linux.task(Path(f"/proc/{pid}/stat").read_text()).start)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
