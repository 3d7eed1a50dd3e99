"""The link that leaves a bridge: hardware rather than another, its rate and its interrupts."""

from collections.abc import Sequence

from envs.host import Record
from envs.hosts.change import Command

_ADAPTERS = """
for dev; do
  here=/sys/class/net/$dev real=no irqs= speed= node=
  for way in "$here"/device "$here"/lower_*/device; do
    [ -e "$way" ] || continue
    real=yes
    [ -n "$node" ] || read -r node <"$way/numa_node"
    case $(readlink -f "$way/subsystem") in */virtio) way=$way/.. ;; esac
    [ ! -d "$way/msi_irqs" ] || irqs="$irqs $(ls "$way/msi_irqs")"
  done
  read -r speed <"$here/speed"
  printf "%s %s %s %s %s\\n" "$dev" "$real" "${speed:-0}" "${node:--1}" "$(echo $irqs)"
done 2>/dev/null
"""
"""Prints, of each interface named: whether hardware is behind it, Mb/s, its node, its interrupts.

A bond has its hardware below it; a virtio device has its interrupts one level up.
"""


class Adapter(Record, frozen=True):
    """An interface that leaves the host. ``gbps`` and ``node`` are None where they are unknown."""

    name: str
    gbps: float | None = None
    node: int | None = None
    irqs: tuple[int, ...] = ()


def question(interfaces: Sequence[str]) -> Command:
    """Asks what is behind interfaces."""
    return ("sh", "-c", _ADAPTERS, "sh", *interfaces)


def uplink(answer: str, otherwise: str) -> Adapter:
    """The first interface with hardware behind it; else the first of all, else ``otherwise``."""
    lines = [line.split(" ") for line in answer.splitlines()]
    for name, real, speed, node, *irqs in lines:
        if real == "yes":
            return Adapter(
                name=name,
                gbps=int(speed) / 1000 if speed.isdecimal() and int(speed) else None,
                node=int(node) if node.isdecimal() else None,
                irqs=tuple(int(irq) for irq in irqs if irq.isdecimal()),
            )
    return Adapter(name=lines[0][0] if lines else otherwise)
