"""Notifications between guests and backends: event channels, eventfds, kicks.

They are sent only if the other side sleeps, and never to a poller, which looks by itself. A tap
knows no such suppression: whoever puts a frame into it signals its reader, asleep or not.
"""

from envs.sim import scheduler
from envs.sim.compiled import called
from envs.sim.state import BACKEND, BLOCKED, State


@called
def notify(s: State, sender: int, receiver: int) -> None:
    """Wake ``receiver`` if it sleeps; both pay for the signal before they do anything else."""
    v = s.vcpu[receiver]
    if v.state == BLOCKED and receiver != sender:
        scheduler.wake(s, receiver)
        if not s.core[v.core].polled:
            s.vcpu[sender].debt += s.notify_send
            if v.core != s.vcpu[sender].core:
                s.vcpu[sender].debt += s.ipi
            v.debt += s.notify_receive
    elif s.always_signals and v.kind == BACKEND and not s.core[v.core].polled:
        s.vcpu[sender].debt += s.notify_send
