"""What happened inside a simulated host over time: who ran where, how full queues were, drops.

The engine keeps no diary, so that a simulation without a trace pays nothing for this. A trace stops
it at equally spaced moments and looks: what a plot with a column for each moment can show.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from envs.errors import InputError
from envs.host import Settings
from envs.scenario.records import Scenario
from envs.sim.host import SimHost

Table: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.int64]]

IDLE = -1


@dataclass(frozen=True, eq=False)
class Trace:
    """A host at equally spaced moments; every table has a row for each.

    ``seconds`` are the moments, from the end of the warm-up. ``running`` has a column for each of
    ``cores``: the index in ``names`` (backends first, then VCPUs) of who runs there, or ``IDLE``
    (on a ``polled`` core: looking for work). ``queued`` has a column for each of ``vifs``: packets
    in the queue towards the guest; ``limits`` are the lengths of these queues, ``ring`` the slots
    of a guest's ring, whose free ones come on top where the driver domain hands packets straight
    on (else 0). ``drops`` counts, since the start of the trace, packets lost at each vif's queue,
    and in two more columns those lost on the way in, at the NIC's ring, and on the way out, at the
    uplink's queue.
    """

    seconds: np.ndarray[tuple[int], np.dtype[np.float64]]
    cores: tuple[int, ...]
    names: tuple[str, ...]
    vifs: tuple[str, ...]
    polled: tuple[int, ...]
    limits: tuple[int, ...]
    ring: int
    running: Table
    queued: Table
    drops: Table


def trace(
    scenario: Scenario,
    settings: Settings | None,
    seconds: float,
    *,
    seed: int = 0,
    moments: int = 2000,
) -> Trace:
    """Simulate ``scenario`` under ``settings`` (None: as found) and look at it ``moments`` times.

    Raises InputError for an interval or a number of moments that is not above zero, IllegalSetting
    for a setting that breaks a rule.
    """
    if moments < 1:
        raise InputError(f"cannot trace {moments} moments: it must be at least 1")
    host = SimHost(scenario, seed)
    if settings is not None:
        host.apply(settings)
    spec, found = host.describe(), host.settings()
    names = (*(backend.name for backend in spec.backends), *spec.vcpus)
    running, queued, drops = [], [], []
    for s in host.watch(seconds, moments):
        vif, core = s["vif"][: len(spec.vifs)], s["core"][: len(spec.cores)]
        running.append(core["run"].copy())
        queued.append(s["queue"]["packets"][vif["queue"]])
        drops.append([*vif["in_drops"], s["up_in_drops"], s["up_out_drops"]])
    lost = np.array(drops, np.int64)
    return Trace(
        seconds=np.linspace(0.0, seconds, moments + 1)[1:],
        cores=spec.core_ids,
        names=names,
        vifs=spec.vifs,
        polled=found.side_cores if found.polling else (),
        limits=tuple(found.tx_queue[name] for name in spec.vifs),
        ring=scenario.driver_domain.ring if s["through_ring"] else 0,
        running=np.array(running, np.int64),
        queued=np.array(queued, np.int64),
        drops=lost - lost[0],
    )
