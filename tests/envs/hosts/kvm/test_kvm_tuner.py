"""The shipped agent on a KVM host with traffic, by the commands that a person gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envs.hosts.kvm.lab.machine import Machine
from envs.hosts.transport import output

pytestmark = [pytest.mark.kvm, pytest.mark.timeout(900)]

TUNER = Path(sys.executable).with_name("tuner")

EVERYTHING = """
for uuid in $(virsh -q list --uuid); do
    virsh -q vcpupin "$uuid"; virsh -q emulatorpin "$uuid"; virsh -q schedinfo "$uuid"
    for link in $(virsh -q domiflist "$uuid" | cut -d " " -f 2); do
        ip -br link show "$link"; cat "/sys/class/net/$link/tx_queue_len"
        tc filter show dev "$link" ingress
    done
done
for pid in $(pgrep qemu-system); do taskset -a -c -p "$pid" | cut -d " " -f 3- | sort -u; done
bridge fdb show br br0 | grep static
ip -d link show br0 | grep -v timer
ls /run/viotune/kvm/found.json
pgrep -f "^sh -c eval.*viotune-watch:"
true
"""


def everything(machine: Machine) -> str:
    """All that may be changed, as other tools tell it."""
    return output(machine.transport, ["sh", "-c", EVERYTHING])


def tuner(*words: str) -> dict[str, Any]:
    command = [TUNER, *words, "--host", "lab:kvm", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def test_the_agent_tunes_it_from_doctor_to_rollback(machine: Machine) -> None:
    found = everything(machine)
    assert tuner("doctor")["spec"]["kind"] == "kvm"
    report = tuner("apply", "--tries", "1", "--pairs", "4", "--seconds", "1")
    assert (everything(machine) == found) == (report["kept"] is None)
    if report["kept"] is not None:
        tuner("rollback")
    assert everything(machine) == found
