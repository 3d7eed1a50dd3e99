"""A live lab: each knob acts, is read back with another tool, and is taken back exactly."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from envs.host import BridgeMode, Sample, Settings, Traffic
from envs.hosts.lab import manage, namespaces, record
from envs.hosts.lab.config import LabConfig
from envs.hosts.lab.host import LabHost
from envs.hosts.lab.record import Lab

pytestmark = pytest.mark.lab

NAME = f"h{os.getpid() % 10**7}"
CORES = tuple(sorted(os.sched_getaffinity(0)))
"""The cores of a lab are those of who brings it up; the tests need two, whichever they are."""
ONE, OTHER = CORES[0], CORES[-1]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two guests and a neighbour, with traffic in all three directions."""
    manage.up(LabConfig(name=NAME, neighbours=1, workload="mixed"))
    yield record.read(record.directory(NAME))
    manage.down(NAME)


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    found = LabHost.open(NAME)
    before = found.snapshot()
    yield found
    found.restore(before)
    assert found.snapshot() == before


@pytest.fixture
def stock(host: LabHost) -> Settings:
    return host.settings()


def _shell(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _driver(lab: Lab, *argv: str) -> str:
    return _shell("nsenter", "-t", str(lab.supervisor.pid), "-n", "--", *argv)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def _within(lab: Lab, process: str) -> Iterator[None]:
    """In the network namespace of a process of the lab."""
    space = os.open(f"/proc/{lab.processes[process].pid}/ns/net", os.O_RDONLY)
    with namespaces.inside(space):
        yield
    os.close(space)


def _udp(lab: Lab, process: str, family: socket.AddressFamily, port: int = 0) -> socket.socket:
    with _within(lab, process):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind(("" if family == socket.AF_INET else "::", port))
    sock.settimeout(0.5)
    return sock


def _side_core(stock: Settings) -> Settings:
    placement = {k: (ONE,) if k.startswith("relay") else (OTHER,) for k in stock.placement}
    return replace(stock, placement=placement, side_cores=(ONE,), polling=True)


def _flowing(host: LabHost) -> Sample:
    """A measurement in which everything flowed: TCP that has lost a segment waits for a while."""
    seen: list[Sample] = []

    def flows() -> bool:
        seen[:] = [host.measure(0.5)]
        return all(traffic.bytes > 1_000_000 for traffic in _ways(seen[0]).values())

    _until(flows)
    return seen[0]


def _ways(sample: Sample) -> dict[str, Traffic]:
    one, two, uplink = sample.vifs["vif1"], sample.vifs["vif2"], sample.uplink
    return {
        "from outside": uplink.inward,
        "into the first guest": one.inward,
        "from guest to guest": one.outward,
        "into the second": two.inward,
        "out of the second": two.outward,
        "to the outside": uplink.outward,
    }


def test_traffic_flows_in_all_three_directions(host: LabHost) -> None:
    _flowing(host)


def test_every_second_is_billed_once(host: LabHost) -> None:
    sample = _flowing(host)
    billed = sum(sample.guest_cpu.values()) + sum(sample.backend_cpu.values())
    assert 0 < billed <= len(sample.core_busy) * sample.seconds
    assert all(seconds > 0 for seconds in sample.backend_cpu.values())
    assert sample.work["n1"] > 0


def test_placement_is_the_affinity_that_taskset_sees(
    lab: Lab, host: LabHost, stock: Settings
) -> None:
    host.apply(replace(stock, placement={**stock.placement, "g1/0": (OTHER,), "relay2": (ONE,)}))
    for key, cores in {"g1/0": (OTHER,), "relay2": (ONE,), "g2/0": CORES, "relay1": CORES}.items():
        shown = _shell("taskset", "-p", str(lab.processes[key].pid))
        assert int(shown.split()[-1], 16) == sum(1 << core for core in cores)


def test_a_weight_is_in_the_cgroup_that_holds_the_domain(
    lab: Lab, host: LabHost, stock: Settings
) -> None:
    if lab.cgroup is None or lab.group is None:
        pytest.skip(lab.why_not)
    host.apply(replace(stock, weight={**stock.weight, "driver": stock.weight["driver"] * 8}))
    weight = (lab.group / "driver" / lab.cgroup.weight_file).read_text()
    assert int(weight) == lab.cgroup.default * 8
    for key, domain in (("relay1", "driver"), ("g2/0", "g2"), ("n1/0", "n1")):
        groups = Path(f"/proc/{lab.processes[key].pid}/cgroup").read_text()
        assert f"/viotune-{NAME}/{domain}\n" in groups


def test_the_queue_length_is_what_ip_shows_and_a_short_one_drops(
    lab: Lab, host: LabHost, stock: Settings
) -> None:
    host.apply(replace(stock, tx_queue={"vif1": 1, "vif2": 4000}))
    shown = {
        link["ifname"]: link["txqlen"] for link in json.loads(_driver(lab, "ip", "-j", "link"))
    }
    assert (shown["vif1"], shown["vif2"]) == (1, 4000)
    _until(lambda: host.measure(0.1).vifs["vif1"].inward.drops > 0)


def test_lean_is_what_bridge_shows(lab: Lab, host: LabHost, stock: Settings) -> None:
    host.apply(replace(stock, bridge="lean"))
    (port,) = json.loads(_driver(lab, "bridge", "-j", "-d", "link", "show", "dev", "vif1"))
    assert (port["learning"], port["flood"]) == (True, False)
    assert "02:00:00:00:00:01 dev vif1 master br0 static" in _driver(lab, "bridge", "fdb", "show")
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        assert _driver(lab, "cat", str(switch)) == "0\n"


def test_direct_carries_the_flows_past_the_bridge(lab: Lab, host: LabHost, stock: Settings) -> None:
    host.apply(replace(stock, bridge="direct"))
    _until(lambda: all(_redirected(lab, port) > 0 for port in ("uplink", "vif1", "vif2")))


def _redirected(lab: Lab, port: str) -> int:
    """Packets that left by a redirect of a port."""
    shown = _driver(lab, "tc", "-s", "filter", "show", "dev", port, "ingress")
    return sum(int(line.split()[3]) for line in shown.splitlines() if "Sent" in line)


@pytest.mark.parametrize("mode", ["stock", "lean", "direct"])
def test_every_mode_carries_all_traffic(
    lab: Lab, host: LabHost, stock: Settings, mode: BridgeMode
) -> None:
    host.apply(replace(stock, bridge=mode))
    ends = {
        "g1/0": ("10.0.0.1", "fd00::1"),
        "g2/0": ("10.0.0.2", "fd00::2"),
        "outside/g1/0": ("10.0.255.1", "fd00::ff01"),
    }
    for key in ends:  # so that ARP and neighbour discovery must cross again
        with _within(lab, key):
            _shell("ip", "neigh", "flush", "all")
    for family, number in ((socket.AF_INET, 0), (socket.AF_INET6, 1)):
        socks = {key: _udp(lab, key, family, 7000 + number) for key in ends}
        for here in ends:
            for there in ends:
                if here != there:
                    _arrives(socks[here], socks[there], (ends[there][number], 7000 + number))
        if family == socket.AF_INET:
            _arrives(socks["g1/0"], socks["outside/g1/0"], ("10.0.255.255", 7000))
            _arrives(socks["outside/g1/0"], socks["g2/0"], ("10.0.255.255", 7000))
        for sock in socks.values():
            sock.close()


def _arrives(here: socket.socket, there: socket.socket, to: tuple[str, int]) -> None:
    """A datagram gets there; one lost in a queue full of bulk traffic is sent again."""
    word = os.urandom(8)
    for _ in range(40):
        here.sendto(word, to)
        try:
            while there.recv(100) != word:
                pass
        except TimeoutError:
            continue
        return
    raise AssertionError(f"nothing arrives at {to}")


def test_a_side_core_is_one_poller_alone(lab: Lab, host: LabHost, stock: Settings) -> None:
    host.apply(_side_core(stock))
    allowed = {key: os.sched_getaffinity(process.pid) for key, process in lab.processes.items()}
    assert {key for key, cores in allowed.items() if ONE in cores} == {"relay1", "relay2"}
    report = json.loads((host.state_dir / "relay1.json").read_text())
    assert report == {"vifs": ["vif1", "vif2"], "poll": True}
    sample = _flowing(host)
    assert sample.backend_cpu["relay1"] > 10 * sample.backend_cpu["relay2"]


def test_a_side_core_onto_which_someone_moves_a_guest_is_none_any_more(
    lab: Lab, host: LabHost, stock: Settings
) -> None:
    host.apply(_side_core(stock))
    _shell("taskset", "-a", "-c", "-p", f"{ONE},{OTHER}", str(lab.processes["g1/0"].pid))
    found = host.settings()
    assert (found.side_cores, found.polling) == ((), False)


def test_applying_twice_changes_nothing_the_second_time(host: LabHost, stock: Settings) -> None:
    for target in (_side_core(stock), replace(stock, bridge="direct"), stock):
        host.apply(target)
        assert host.changes(target) == ()
        after = host.snapshot()
        host.apply(target)
        assert host.snapshot() == after


def test_restore_knows_nothing_of_what_was_applied(host: LabHost, stock: Settings) -> None:
    before = host.snapshot()
    everything = replace(
        _side_core(stock),
        bridge="direct",
        tx_queue={"vif1": 8, "vif2": 3000},
        weight={d: w * 2 if host.describe().limits.weights else w for d, w in stock.weight.items()},
    )
    host.apply(everything)
    host.apply(replace(everything, bridge="lean"))
    fresh = LabHost.open(NAME)
    fresh.restore(before)
    assert fresh.snapshot() == before
    assert fresh.settings() == stock
    fresh.restore(before)


def test_undo_of_the_changes_takes_them_back(host: LabHost, stock: Settings) -> None:
    before = host.snapshot()
    changes = host.changes(replace(_side_core(stock), bridge="lean"))
    for change in changes:
        for command in change.do:
            _shell(*command)
    for change in reversed(changes):
        for command in change.undo:
            _shell(*command)
    _until(lambda: host.snapshot() == before)


@pytest.mark.parametrize("mode", ["lean", "direct"])
def test_what_restores_needs_to_know_nothing_of_the_state_it_finds(
    host: LabHost, stock: Settings, mode: BridgeMode
) -> None:
    before = host.snapshot()
    commands = host.restoring(before)
    host.apply(replace(_side_core(stock), bridge=mode, tx_queue={"vif1": 8, "vif2": 3000}))
    for _ in range(2):  # also where it has been run before
        for command in commands:
            subprocess.run(command, capture_output=True, check=False)
        _until(lambda: host.snapshot() == before)


def test_the_relay_pays_for_the_receive_stack_and_the_guest_does_not(
    lab: Lab, host: LabHost
) -> None:
    """Datagrams that nobody asked for are received by the stack alone; the guest stands still."""
    guest = lab.processes["g1/0"].pid
    far = _udp(lab, "outside/g1/0", socket.AF_INET)
    os.kill(guest, signal.SIGSTOP)
    try:
        _until(lambda: Path(f"/proc/{guest}/stat").read_text().split()[2] == "T")
        before, unwanted = host.measure(0.01), _no_ports(guest)
        relay = _cpu(lab, "relay1")
        while _no_ports(guest) < unwanted + 1000:
            for _ in range(100):
                far.sendto(b"unwanted", ("10.0.0.1", 9))
        after = host.measure(0.01)
        assert (before.guest_cpu["g1"], after.guest_cpu["g1"]) == (0.0, 0.0)
        assert _cpu(lab, "relay1") > relay
    finally:
        os.kill(guest, signal.SIGCONT)
        far.close()


def _no_ports(pid: int) -> int:
    """Datagrams that a network stack received for no one."""
    lines = Path(f"/proc/{pid}/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("NoPorts")])


def _cpu(lab: Lab, key: str) -> int:
    """Nanoseconds of CPU time of a process."""
    return int(Path(f"/proc/{lab.processes[key].pid}/schedstat").read_text().split()[0])
