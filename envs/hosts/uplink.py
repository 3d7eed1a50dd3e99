"""The link that leaves a bridge: hardware rather than another, its rate and its interrupts."""

import re
from collections.abc import Sequence

from envs.host import Record
from envs.hosts.change import Command
from envs.hosts.linux import NAME
from envs.hosts.unexpected import natural, unexpected

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

_ROW = re.compile(
    rf"(?P<name>{NAME}) (?P<real>yes|no) (?P<speed>-?[0-9]{{1,9}}) (?P<node>-?[0-9]{{1,9}}) "
    r"(?P<irqs>[0-9 ]*)"
)


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
    rows = []
    for line in filter(None, answer.split("\n")):
        row = _ROW.fullmatch(line)
        if row is None:
            raise unexpected("the question what is behind interfaces", line)
        rows.append(row)
    for row in rows:
        if row["real"] == "yes":
            return Adapter(
                name=row["name"],
                gbps=max(0, int(row["speed"])) / 1000 or None,
                node=int(row["node"]) if int(row["node"]) >= 0 else None,
                irqs=tuple(natural("ls", irq) for irq in row["irqs"].split()),
            )
    return Adapter(name=rows[0]["name"] if rows else otherwise)
