"""A setting put into a state at its beginning, compiled: what ``envs.sim.compile`` does."""

from envs.batch.records import Host, Setting
from envs.batch.values import size
from envs.sim.compiled import called, compiled, lowest
from envs.sim.state import (
    COLLECT,
    COMPUTE,
    DELIVER,
    NIC_RECEIVE,
    RUNNABLE,
    State,
)


@called
def apply_setting(s: State, h: Host, base: Setting, setting: Setting) -> None:
    """Put a legal setting into a state, and every VCPU on a core."""
    s.bridge = h.bridge[setting.bridge]
    if h.relays:
        _merge(s, h, setting)
    _set_weights(s, h, base, setting)
    for v in range(h.vifs):
        s.queue[s.vif[v].queue].limit = setting.tx_queue
    reserved = setting.side_cores if setting.polling else 0
    s.polled |= reserved
    left = reserved
    while left:
        s.core[lowest(left)].polled = 1
        left &= left - 1
    _place(s, h, setting, reserved)


@compiled
def _set_weights(s: State, h: Host, base: Setting, setting: Setting) -> None:
    s.domain[0].weight = s.heaviest = setting.driver_weight
    for g in range(h.guests):
        weight = base.guest_weight if h.guest[g].cpu else setting.guest_weight
        s.domain[g + 1].weight = weight
        s.heaviest = max(s.heaviest, weight)


@compiled
def _place(s: State, h: Host, setting: Setting, polled: int) -> None:
    """Each entity on the core with the fewest others, of those that it may run on."""
    for i in range(h.entities):
        allowed = setting.placement[i]
        spins = allowed & ~polled == 0
        if not spins:
            allowed &= ~polled  # a poller's core is no place for a thread that sleeps
        home = _least_taken(s, i, allowed)
        vcpu = s.vcpu[i]
        vcpu.affinity = 1 << home if spins else allowed
        vcpu.core = vcpu.last_core = home
        if vcpu.kind == COMPUTE:
            vcpu.state = RUNNABLE
            s.core[home].queue |= 1 << i
            s.queued |= 1 << home
            s.dirty |= 1 << home


@compiled
def _least_taken(s: State, i: int, allowed: int) -> int:
    """The core of ``allowed`` that the fewest of the entities before ``i`` were put on."""
    best, fewest = -1, 1 << 62
    while allowed:
        core = lowest(allowed)
        allowed &= allowed - 1
        taken = 0
        for other in range(i):
            taken += s.vcpu[other].core == core
        if taken < fewest:
            best, fewest = core, taken
    return best


@compiled
def _merge(s: State, h: Host, setting: Setting) -> None:
    """Let the first of the relays that share one core serve the vifs of all of them."""
    for v in range(h.vifs):
        who = v
        if size(setting.placement[v]) == 1:
            for other in range(v - 1, -1, -1):
                if setting.placement[other] == setting.placement[v]:
                    who = other
        s.vif[v].deliverer = s.vif[v].collector = who
    at = 0
    for i in range(h.backends):  # their duties come before those of the guests, twice each
        vcpu = s.vcpu[i]
        vcpu.first_duty = vcpu.next_duty = at
        vcpu.duties = 0
        for _ in range(2):
            for v in range(h.vifs):
                if s.vif[v].deliverer == i:
                    _put_duty(s, at, NIC_RECEIVE, v)
                    _put_duty(s, at + 1, DELIVER, v)
                    _put_duty(s, at + 2, COLLECT, v)
                    at += 3
        vcpu.duties = (at - vcpu.first_duty) // 2


@compiled
def _put_duty(s: State, at: int, kind: int, v: int) -> None:
    duty = s.duty[at]
    duty.kind, duty.item, duty.vifs = kind, v, 1 << v
