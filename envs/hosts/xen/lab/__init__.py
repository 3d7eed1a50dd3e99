"""The lab ``lab:xen``: a Xen host inside QEMU, emulated, so slow, but a real one."""

import time

from envs.errors import HostError
from envs.hosts.emulated.machine import PATIENCE
from envs.hosts.xen.host import XenHost
from envs.hosts.xen.lab import machine
from envs.hosts.xen.lab.machine import Kind, Machine

__all__ = ["Kind", "Machine", "compute", "find", "flow", "host", "up"]

_SEND = """
send="iperf3 -c 10.0.0.11 -t 86400 -b $mbits --pacing-timer 100000 >/dev/null 2>&1 &"
echo "$send" | busybox nc -w 5 10.0.0.12 99
"""
"""Has the second guest send to the first, by the shell that it lends to its network.

Paced, so that the emulated host has time left for a tuner, in steps of 100 ms: with the usual steps
of 1 ms the sender, emulated, does little but wake up.
"""
_FLOWING = 1_000_000
"""Bytes that have gone into a guest when traffic flows: more than connecting takes."""


def find() -> Machine:
    """The lab of this machine, up or not."""
    return Machine(Kind())


def up() -> Machine:
    """Bring it up with two guests, of which one sends to the other; returns when traffic flows.

    Raises HostError where it cannot be.
    """
    made = machine.up(Kind())
    try:
        flow(made)
    except BaseException:
        made.down()
        raise
    return made


def flow(made: Machine, mbits: int = 10) -> None:
    """Have the second guest send so many Mb/s to the first (0: all it can); wait until it flows."""
    made.ssh(f"mbits={mbits}M; {_SEND}")
    deadline = time.monotonic() + PATIENCE
    while int(made.ssh("cat /sys/class/net/vif1.0/statistics/tx_bytes")) < _FLOWING:
        if time.monotonic() > deadline:
            raise HostError("the Xen lab: no traffic flows")
        time.sleep(0.5)


def compute(made: Machine, number: int) -> None:
    """Have a guest, the first is 1, compute for good."""
    busy = "while :; do :; done </dev/null >/dev/null 2>&1 &"
    made.ssh(f"echo '{busy}' | busybox nc -w 5 10.0.0.1{number} 99")


def host(*, bypass_filters: bool = False) -> XenHost:
    """The lab as a host. Raises HostError where it is down."""
    found = find()
    if not found.is_up:
        raise HostError("no Xen lab is up: run: tuner lab up --kind xen")
    transport = found.transport
    try:
        return XenHost.open("lab:xen", transport, bypass_filters=bypass_filters)
    except BaseException:
        transport.close()
        raise
