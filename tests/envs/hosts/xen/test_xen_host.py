"""A real Xen host, set and put back; every value is read by a tool that is not ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from xen_lab import all_knobs, wait_for_guest

from envs.errors import HostError
from envs.hosts.transport import RecordingTransport
from envs.hosts.xen import lab
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import Machine

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1800)]

TUNER = Path(sys.executable).with_name("tuner")


def _affinities(machine: Machine) -> list[str]:
    """Domain, VCPU and hard affinity, as xl tells them."""
    rows = [line.split() for line in machine.ssh("xl vcpu-list").splitlines()[1:]]
    return [f"{row[0]} {row[2]} {row[-3]}" for row in rows]


EVERYTHING = """
xl vcpu-list | awk '{ print $1, $3, $(NF - 2), $NF }'
xl sched-credit2
for link in xenbr0 eth1 vif1.0 vif2.0; do
    ip -d link show "$link" | grep -v timer
    tc filter show dev "$link" ingress
done
bridge fdb show br xenbr0 | grep static
tc qdisc show
for comm in /proc/[0-9]*/comm; do
    read -r name <"$comm"
    pid=${comm%/comm}
    case $name in vif*) echo "$name $(taskset -p -c "${pid#/proc/}")" ;; esac
done
grep -H "" /proc/irq/*/smp_affinity_list
ls /run/viotune/xen/found.json
pgrep -f "^sh -c eval.*viotune-watch:"
"""


def _everything(machine: Machine) -> str:
    """All that may be changed, as other tools tell it."""
    return machine.ssh(EVERYTHING, check=False)


def test_every_knob_is_set_read_by_others_and_put_back_to_the_byte(
    machine: Machine, host: XenHost
) -> None:
    found, snapshot, stock = _everything(machine), host.snapshot(), host.settings()
    target = all_knobs(host)
    host.apply(target)
    assert host.settings() == target
    assert _affinities(machine) == [
        *("Domain-0 0 0", "Domain-0 1 0-1"),
        *("g1 0 2-3", "g1 1 1-3", "g2 0 3", "g2 1 1-3"),
    ]
    weights = machine.ssh("xl sched-credit2").splitlines()[2:]
    assert [row.split()[2] for row in weights] == ["1024", "256", "256"]
    assert "qlen 64" in machine.ssh("ip link show vif1.0")
    assert "Redirect to device vif2.0" in machine.ssh("tc filter show dev vif1.0 ingress")
    pins = machine.ssh("for t in $(pgrep 'vif1.0-q0'); do taskset -p -c $t; done")
    assert [line.split()[-1] for line in pins.splitlines()] == ["0", "0"]
    irq = machine.ssh("grep -l vif2.0-q0-tx /sys/kernel/irq/*/actions").split("/")[4]
    assert machine.ssh(f"cat /proc/irq/{irq}/smp_affinity_list").strip() == "1"
    wait_for_guest(machine)
    host.apply(stock)
    assert host.snapshot() == snapshot
    host.apply(target)
    host.restore(snapshot)
    assert host.snapshot() == snapshot
    assert _everything(machine) == found


def test_the_host_puts_itself_back_by_commands_alone(machine: Machine, host: XenHost) -> None:
    found, snapshot = _everything(machine), host.snapshot()
    host.apply(all_knobs(host))
    host.transport.run_all(host.restoring(snapshot), timeout=300)
    assert host.snapshot() == snapshot
    assert _everything(machine) == found


@pytest.mark.usefixtures("host")
def test_setting_all_knobs_takes_two_round_trips_and_measuring_two(machine: Machine) -> None:
    transport = RecordingTransport(machine.transport)
    counted = XenHost.open("lab:xen", transport)
    target = all_knobs(counted)
    counted.describe()
    before = transport.trips
    counted.apply(target)
    applied = transport.trips
    sample = counted.measure(1.0)
    assert (applied - before, transport.trips - applied) == (2, 2)
    assert sample.seconds > 0.5
    assert set(sample.guest_cpu) == {"g1", "g2"}


def test_bytes_into_a_guest_and_their_cpu_seconds_are_counted(
    machine: Machine, host: XenHost
) -> None:
    flood = "ping -q -f -s 1400 10.0.0.11 >/dev/null 2>&1 & echo $!"
    pid = machine.ssh(flood).strip()
    try:
        sample = host.measure(3.0)
    finally:
        machine.ssh(f"kill {pid}")
    assert sample.vifs["g1/vif0"].inward.bytes > 1400 * 10
    assert sample.vifs["g1/vif0"].outward.bytes > 1400 * 10
    assert sample.vifs["g2/vif0"].inward.bytes < sample.vifs["g1/vif0"].inward.bytes
    assert sample.guest_cpu["g1"] > 0
    assert sum(sample.backend_cpu.values()) > 0


def test_a_short_queue_drops_what_a_guest_does_not_take(machine: Machine, host: XenHost) -> None:
    """It fills only when netback's own queue, of half a mebibyte, is full: packets are large."""
    stock = host.settings()
    lost = []
    machine.ssh("ip neigh replace 10.0.0.11 lladdr 00:16:3e:00:00:01 dev xenbr0 nud permanent")
    for length in (1000, 50):
        host.apply(replace(stock, tx_queue={**stock.tx_queue, "g1/vif0": length}))
        before = _dropped(machine)
        machine.ssh("xl pause g1")
        machine.ssh(
            'python3 -c "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n'
            "s.setsockopt(socket.SOL_SOCKET, 32, 1 << 24)  # SO_SNDBUFFORCE: never wait\n"
            "[s.sendto(b'x' * 1400, ('10.0.0.11', 9)) for _ in range(2000)]\""
        )
        lost.append(_dropped(machine) - before)
        machine.ssh("xl unpause g1")
        wait_for_guest(machine)
    assert lost[1] - lost[0] > 500


def _dropped(machine: Machine) -> int:
    """The packets that the queue towards g1 has dropped so far."""
    shown = machine.ssh("tc -s qdisc show dev vif1.0 root")
    return int(shown.split("dropped ")[1].split(",")[0])


def test_a_rebooted_guest_gets_back_what_it_had(expendable: Machine, tuned: XenHost) -> None:
    snapshot, target = tuned.snapshot(), all_knobs(tuned)
    tuned.apply(target)
    later = "(sleep 2; reboot -f) >/dev/null 2>&1 &"  # nc would wait for one that says no goodbye
    expendable.ssh(f"echo '{later}' | busybox nc -w 5 10.0.0.11 99")
    expendable.ssh("until xl domid g1 | grep -qx 3; do sleep 0.5; done")
    wait_for_guest(expendable)
    with pytest.raises(HostError, match="'g1' was rebooted or migrated: it was domain 1"):
        tuned.apply(target)
    tuned.restore(snapshot)
    again = XenHost.open("lab:xen", expendable.transport)
    assert (again.settings().bridge, again.settings().side_cores) == ("stock", ())
    again.apply(all_knobs(again))
    wait_for_guest(expendable)


def test_a_destroyed_guest_and_a_vif_that_comes_are_noticed(
    expendable: Machine, tuned: XenHost
) -> None:
    snapshot, target = tuned.snapshot(), all_knobs(tuned)
    tuned.apply(target)
    expendable.ssh("xl network-attach g1 mac=00:16:3e:00:00:21 bridge=xenbr0")
    with pytest.raises(HostError, match="vif1 of guest 'g1' is new"):
        tuned.apply(replace(target, side_cores=()))
    expendable.ssh("xl network-detach g1 1; xl destroy g2")
    with pytest.raises(HostError, match="'g2' is gone"):
        tuned.apply(target)
    tuned.restore(snapshot)
    left = tuned.settings()
    assert left.weight == {"Domain-0": 256, "g1": 256}
    assert (left.bridge, left.side_cores) == ("stock", ())
    assert "vif2.0" not in expendable.ssh("tc filter show dev vif1.0 ingress")


def test_a_guest_saved_and_restored_gets_back_what_it_had(
    expendable: Machine, tuned: XenHost
) -> None:
    snapshot, target = tuned.snapshot(), all_knobs(tuned)
    tuned.apply(target)
    expendable.ssh("xl save g1 /tmp/g1 && xl restore /tmp/g1")
    tuned.restore(snapshot)
    assert tuned.settings() == XenHost.open("lab:xen", expendable.transport).settings()
    assert tuned.settings().weight["g1"] == 256


def test_hostile_names_change_nothing_but_their_own(expendable: Machine) -> None:
    expendable.ssh("xl rename -- g1 '-x; $(touch /tmp/run)'; xl rename g2 '0'")
    expendable.ssh("ip link set vif2.0 down; ip link set vif2.0 name '$(reboot)'")
    expendable.ssh("ip link set '$(reboot)' up")
    host = XenHost.open("lab:xen", expendable.transport)
    names = {guest.name for guest in host.describe().guests}
    assert names == {"-x; $(touch /tmp/run)", "0"}
    stock, snapshot = host.settings(), host.snapshot()
    vcpus = {vcpu: (2,) for guest in host.describe().guests for vcpu in guest.vcpus}
    target = replace(
        stock,
        placement={**stock.placement, **vcpus},
        weight=dict.fromkeys(stock.weight, 512),
        tx_queue=dict.fromkeys(stock.tx_queue, 99),
        bridge="lean" if "lean" in host.describe().limits.bridge else "stock",
    )
    host.apply(target)
    rows = [line.split() for line in expendable.ssh("xl vcpu-list 0").splitlines()[1:]]
    assert [row[-3] for row in rows] == ["all", "all"]
    assert "qlen 99" in expendable.ssh("ip link show '$(reboot)'")
    host.restore(snapshot)
    assert host.snapshot() == snapshot
    assert not expendable.ssh("ls /tmp/run 2>/dev/null; true")


def test_the_agent_tunes_it_from_doctor_to_rollback(
    expendable: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(expendable.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lab.flow(expendable)
    found = _everything(expendable)

    def tuner(*words: str) -> dict[str, Any]:
        command = [TUNER, *words, "--host", expendable.uri, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return dict(json.loads(done.stdout))

    assert tuner("doctor")["spec"]["kind"] == "xen"
    report = tuner("apply", "--tries", "1", "--pairs", "2")
    if report["kept"] is not None:
        assert _everything(expendable) != found
        tuner("rollback")
    assert _everything(expendable) == found
