"""The cores that guests may be placed on: online, not isolated, in their cpusets, by their memory.

A guest's memory is bound to nodes by its cpuset's ``mems`` or by QEMU's own ``host-nodes``. Its
VCPUs then stay on the cores of these nodes.
"""

from collections.abc import Iterator, Mapping, Sequence

from envs.host import Core
from envs.hosts import cgroup, linux
from envs.hosts.cgroup import Controller
from envs.hosts.kvm.guests import Guest
from envs.hosts.kvm.libvirt import machine_group
from envs.hosts.kvm.qemu import Process

ISOLATED = "/sys/devices/system/cpu/isolated"
MEMORY = "/sys/devices/system/node/has_memory"
"""The nodes that have memory; on a kernel without NUMA it is not there."""


def cpuset_file(process: Process, cpuset: Controller | None) -> str:
    """The file with the cores that a guest's whole cpuset lets it use."""
    if cpuset is None:
        return "/dev/null"
    path = machine_group(cgroup.membership(process.cgroups, cpuset, "cpuset"))
    name = "cpuset.cpus.effective" if cpuset.version == 2 else "cpuset.effective_cpus"
    return f"{cpuset.root}{path}/{name}"


def usable(
    topology: str, files: Mapping[str, str], cpusets: Sequence[str], statuses: Mapping[str, str]
) -> tuple[Core, ...]:
    """The cores that guests may be placed on, though perhaps not every guest on each.

    ``files`` has the texts of ``cpusets`` and ``ISOLATED``, ``statuses`` the ``status`` of every
    thread: an isolated core is used where a guest is there already.
    """
    online = {core.id for core in linux.online(topology)}
    isolated = set(linux.core_list(files.get(ISOLATED, ""), ISOLATED))
    used = {core for status in statuses.values() for core in linux.affinity(status)}
    inside = [_cpuset(files, path, online) for path in cpusets]
    return linux.topology(topology, (online - isolated | used & online) & set().union(*inside))


def reach(
    guest: Guest,
    cpuset: str,
    cores: Sequence[Core],
    files: Mapping[str, str],
    statuses: Mapping[str, str],
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each VCPU and backend that may not be placed on all ``cores``, with those it may have.

    ``cpuset`` is the file of the guest's own; the texts are those of ``usable`` and of ``MEMORY``.
    """
    every = {core.id for core in cores}
    inside = _cpuset(files, cpuset, every)
    memory = set(linux.core_list(files.get(MEMORY, ""), MEMORY))
    for key in (*guest.vcpus, *guest.backends):
        able = inside
        status = statuses.get(f"{guest.threads[key]}/status", "")
        nodes = guest.nodes.get(key) or linux.memory_nodes(status)
        if key in guest.vcpus and nodes and not memory <= set(nodes):
            able = inside & {core.id for core in cores if core.node in nodes} or inside
        if able != every:
            yield key, tuple(sorted(able))


def _cpuset(files: Mapping[str, str], path: str, every: set[int]) -> set[int]:
    """Those of the cores that a cpuset has: all, where there is none."""
    text = files.get(path, "").strip()
    return every & set(linux.core_list(text, path)) if text else every
