"""A lab's counters, all read in one command, and the sample between two readings."""

import time
from collections.abc import Mapping

from envs.host import HostSpec, Port, Record, Sample, Traffic
from envs.hosts import linux
from envs.hosts.lab import record
from envs.hosts.lab.config import UPLINK
from envs.hosts.lab.state import Context
from envs.hosts.transport import Transport, read_files


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
        work={name: float(texts.get(path, "0")) for name, path in works.items()},
    )


def sample(spec: HostSpec, before: Counters, after: Counters) -> Sample:
    """What happened between two readings."""
    cpu = {key: after.cpu[key] - before.cpu[key] for key in after.cpu}
    uplink = _between(before.ports[UPLINK], after.ports[UPLINK])
    softirq = sum(after.cores[c].softirq - before.cores[c].softirq for c in spec.core_ids)
    return Sample(
        seconds=after.at - before.at,
        vifs={vif: _between(before.ports[vif], after.ports[vif]) for vif in spec.vifs},
        # towards the bridge is outward for a vif, and inward for the uplink
        uplink=Port(inward=uplink.outward, outward=uplink.inward),
        guest_cpu={g.name: sum(cpu[vcpu] for vcpu in g.vcpus) for g in spec.guests},
        backend_cpu={b.name: cpu[b.name] for b in spec.backends},
        core_busy={c: after.cores[c].busy - before.cores[c].busy for c in spec.core_ids},
        softirq=0.0 if spec.softirq_in_tasks else softirq,
        work={name: after.work[name] - before.work[name] for name in after.work},
    )


def _between(before: Port, after: Port) -> Port:
    def less(now: Traffic, then: Traffic) -> Traffic:
        return Traffic(
            bytes=now.bytes - then.bytes,
            packets=now.packets - then.packets,
            drops=now.drops - then.drops,
        )

    return Port(
        inward=less(after.inward, before.inward), outward=less(after.outward, before.outward)
    )
