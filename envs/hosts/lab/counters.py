"""A lab's counters, all read in one command, and the sample between two readings."""

import time
from collections.abc import Mapping
from functools import partial

from envs.host import HostSpec, Port, Record, Sample
from envs.hosts import linux
from envs.hosts.lab import record
from envs.hosts.lab.config import UPLINK
from envs.hosts.lab.state import Context
from envs.hosts.transport import Transport, read_files
from envs.hosts.unexpected import natural


class Counters(Record, frozen=True):
    """Everything measured, since boot or creation, at one moment (``time.monotonic`` here)."""

    at: float
    ports: Mapping[str, Port]
    cpu: Mapping[str, float]
    cores: Mapping[int, linux.CoreTime]
    work: Mapping[str, float]


def count(transport: Transport, context: Context) -> Counters:
    """All counters as they are now. Raises HostError if a process of the lab has ended."""
    pids = [process.pid for process in context.lab.processes.values()]
    dev = f"/proc/{context.lab.supervisor.pid}/net/dev"
    works = {n.name: context.file(f"{n.name}.work") for n in context.plan.neighbours}
    each = (f"/proc/{pid}/{name}" for pid in pids for name in ("stat", "schedstat"))
    started = time.monotonic()
    texts = read_files(transport, [*each, "/proc/stat", dev, *works.values()])
    ended = time.monotonic()
    return Counters(
        at=(started + ended) / 2,
        ports=linux.interfaces(texts[dev]),
        cpu={key: task.cpu for key, task in record.tasks(context.lab, texts).items()},
        cores=linux.core_times(texts["/proc/stat"]),
        work={name: _done(path, texts.get(path, "0")) for name, path in works.items()},
    )


def _done(path: str, counter: str) -> float:
    return float(natural(path, counter.strip()))


def sample(spec: HostSpec, before: Counters, after: Counters) -> Sample:
    """What happened between two readings."""
    crossed = partial(linux.port_between, before.ports, after.ports)
    cpu = {key: after.cpu[key] - before.cpu[key] for key in after.cpu}
    uplink = crossed(UPLINK)
    cores = linux.core_times_between(before.cores, after.cores, spec.core_ids)
    softirq = sum(core.softirq for core in cores.values())
    return Sample(
        seconds=after.at - before.at,
        vifs={vif: crossed(vif) for vif in spec.vifs},
        # towards the bridge is outward for a vif, and inward for the uplink
        uplink=Port(inward=uplink.outward, outward=uplink.inward),
        guest_cpu={g.name: sum(cpu[vcpu] for vcpu in g.vcpus) for g in spec.guests},
        backend_cpu={b.name: cpu[b.name] for b in spec.backends},
        core_busy={number: core.busy for number, core in cores.items()},
        softirq=0.0 if spec.softirq_in_tasks else softirq,
        work={name: after.work[name] - before.work[name] for name in after.work},
    )
