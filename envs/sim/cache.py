"""Where data is, and what reaching it costs.

A cache is a clock: it counts the bytes that ever came in. Data that was touched when the clock
stood at x is still there while fewer bytes than the cache holds came in since, as under LRU.
"""

from envs.sim.compiled import compiled
from envs.sim.state import COMPUTE, IN_MEMORY, SWITCHES, Segment, State, Vcpu

LINE = 64.0


@compiled
def llc_clock(s: State, llc: int) -> float:
    """Bytes that ever came into an LLC, by now."""
    cache = s.llc[llc]
    return cache.touched + cache.rate * (s.now - cache.since)


@compiled
def fill(s: State, c: int, size: float) -> None:
    """Core ``c`` brings ``size`` bytes into its caches."""
    s.core[c].touched += size
    s.llc[s.core[c].llc].touched += size


@compiled
def read(s: State, c: int, stage: int, size: float, part: Segment) -> float:
    """Nanoseconds for core ``c`` to read ``size`` bytes of a segment, which somebody touched last.

    Counts the lines that came from outside this core's LLC to a stage.
    """
    owner = part.core
    if owner != IN_MEMORY:
        here, there = s.core[c], s.core[owner]
        if c == owner and here.touched - part.core_clock < s.private_bytes:
            return s.copy_own * size
        if llc_clock(s, there.llc) - part.llc_clock < s.llc_bytes:
            if here.llc == there.llc:
                return s.copy_llc * size
            s.stage[stage].misses += size / LINE
            return (s.copy_across if here.node == there.node else s.copy_remote) * size
    s.stage[stage].misses += size / LINE
    return s.copy_memory * size


@compiled
def leave(s: State, v: Vcpu, c: int) -> None:
    """Note where the state of a VCPU is when it stops running."""
    v.last_core = c
    v.core_clock = s.core[c].touched
    v.llc_clock = llc_clock(s, s.core[c].llc)


@compiled
def refill(s: State, v: Vcpu, c: int) -> float:
    """Nanoseconds until the state of a VCPU that starts on core ``c`` is back in its cache."""
    here, there = s.core[c], s.core[v.last_core]
    evicted = min(1.0, (llc_clock(s, there.llc) - v.llc_clock) / s.llc_bytes) * v.footprint
    kept = v.footprint - evicted
    if c == v.last_core:
        kept = min(kept, s.private_bytes, here.touched - v.core_clock)
        cost = s.copy_llc
    elif here.llc == there.llc:
        cost = s.copy_llc
    else:
        cost = s.copy_across if here.node == there.node else s.copy_remote
        s.stage[SWITCHES + v.kind].misses += kept / LINE
    s.stage[SWITCHES + v.kind].misses += evicted / LINE
    fill(s, c, evicted + kept)
    return cost * kept + s.copy_memory * evicted


@compiled
def stream(s: State, v: Vcpu, c: int, sign: float) -> None:
    """A CPU-bound VCPU starts (``sign`` 1) or stops (-1) streaming through the LLC of ``c``."""
    if v.kind == COMPUTE:
        llc = s.core[c].llc
        s.llc[llc].touched = llc_clock(s, llc)
        s.llc[llc].since = s.now
        s.llc[llc].rate += sign * s.neighbour_rate
