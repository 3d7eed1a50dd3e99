"""What a guest is for, seen from a moment's counters."""

from envs.host import HostSpec, Role, Sample

LOOK = 1.0
"""Seconds that are looked at."""

_BUSY = 0.05
_GBPS_PER_CORE = 0.01


def roles_of(spec: HostSpec, seen: Sample) -> dict[str, Role]:
    """A guest is CPU-bound if it works but moves next to nothing for the CPU time it uses.

    The line is 10 Mb/s for each core: 800 bytes for a million cycles, a hundredth of what any
    guest that moves packets for a living does. An idle guest is no neighbour to protect.
    """
    found: dict[str, Role] = {}
    for guest in spec.guests:
        cores = seen.guest_cpu[guest.name] / seen.seconds
        ports = [seen.vifs[vif] for vif in guest.vifs]
        moved = sum(p.inward.bytes + p.outward.bytes for p in ports) * 8e-9 / seen.seconds
        found[guest.name] = "cpu" if cores >= _BUSY and moved < _GBPS_PER_CORE * cores else "io"
    return found
