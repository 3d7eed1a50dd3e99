"""Sets of cores in the order a person would name them: near the uplink first."""

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

from envs.host import Core, HostSpec


def llc_domains(spec: HostSpec) -> tuple[tuple[int, ...], ...]:
    """The cores of each LLC domain, the uplink's domain first, then by distance from it.

    Within a domain one thread of every physical core comes before its siblings, so that the
    first k of them share as little as they can.
    """
    home = {core.node for core in spec.cores if core.llc == spec.uplink.llc}
    by_llc: dict[int, list[Core]] = {}
    for core in spec.cores:
        by_llc.setdefault(core.llc, []).append(core)

    def distance(llc: int) -> tuple[bool, bool, int]:
        near = any(core.node in home for core in by_llc[llc])
        return (llc != spec.uplink.llc, not near, llc)

    return tuple(tuple(_threads_apart(by_llc[llc])) for llc in sorted(by_llc, key=distance))


def packed(domains: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """All cores, one domain after the other."""
    return tuple(chain.from_iterable(domains))


def spread(domains: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """All cores, one of each domain in turn."""
    rounds = zip_longest(*domains)
    return tuple(core for turn in rounds for core in turn if core is not None)


def _threads_apart(cores: list[Core]) -> Iterator[int]:
    """Core ids ascending, the first thread of each physical core before the second of any."""
    seen: dict[int, int] = {}
    ranked = []
    for core in sorted(cores, key=lambda core: core.id):
        rank = seen.get(core.sibling, 0)
        seen[core.sibling] = rank + 1
        ranked.append((rank, core.id))
    return (core for _, core in sorted(ranked))
