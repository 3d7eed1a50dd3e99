"""The cores that guests may be placed on: online, not isolated, in their cpusets, by their memory.

A guest's memory is bound to nodes by its cpuset's ``mems`` or by QEMU's own ``host-nodes``. Its
VCPUs then stay on the cores of these nodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from envs.host import Core
from envs.hosts import cgroup, linux
from envs.hosts.cgroup import Controller
from envs.hosts.kvm.guests import Guest
from envs.hosts.kvm.libvirt import machine_group
from envs.hosts.kvm.qemu import Process

ISOLATED = "/sys/devices/system/cpu/isolated"
MEMORY = "/sys/devices/system/node/has_memory"
"""The nodes that have memory; on a kernel without NUMA it is not there."""


def cpuset_files(process: Process, cpuset: Controller | None) -> tuple[str, ...]:
    """The files that may hold a guest's cores, its own group's first and the root's last.

    On version 2 a group has one only where its parent passes the controller on, else it has the
    cores of the next group above that has one.
    """
    if cpuset is None:
        return ()
    path = machine_group(cgroup.membership(process.cgroups, cpuset, "cpuset"))
    group = PurePosixPath(cpuset.root, path.lstrip("/"))
    name = "cpuset.cpus.effective" if cpuset.version == 2 else "cpuset.effective_cpus"
    above = (folder for folder in group.parents if folder.is_relative_to(cpuset.root))
    return tuple(str(folder / name) for folder in (group, *above))


def inside(
    guest: Guest, cpusets: Sequence[str], online: set[int], texts: Mapping[str, str]
) -> set[int]:
    """The cores that a guest's threads may be placed on: of its cpuset, and not isolated.

    An isolated core is the guest's where it is there already, and nobody else's. ``texts`` are
    those of ``cpusets``, of ``ISOLATED`` and of the threads' ``status``.
    """
    own = next((path for path in cpusets if texts.get(path, "").strip()), "")
    allowed = online & set(linux.core_list(texts[own], own)) if own else online
    isolated = set(linux.core_list(texts.get(ISOLATED, ""), ISOLATED))
    statuses = [texts[file] for file in guest.statuses.values() if file in texts]
    used = {core for status in statuses for core in linux.affinity(status)}
    return allowed - (isolated - used)


def reach(
    guest: Guest, within: set[int], cores: Sequence[Core], texts: Mapping[str, str]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each thread that may not be placed on all ``cores``, with those it may have.

    A guest's are ``within`` its own, and of these a VCPU's are by its memory if any are. ``texts``
    are those of ``MEMORY``, of the threads' ``status``, and where libvirt is not there to be asked
    for others, of the sets that it gave its groups.
    """
    memory = set(linux.core_list(texts.get(MEMORY, ""), MEMORY))
    given = {
        key: set(linux.core_list(texts[group.file], group.file))
        for group in guest.groups
        for key in group.members
        if texts.get(group.file, "").strip()
    }
    for key, file in guest.statuses.items():
        able = within & given.get(key, within)
        if key in guest.vcpus:
            nodes = guest.nodes.get(key) or linux.memory_nodes(texts.get(file, ""))
            if nodes and not memory <= set(nodes):
                able = able & {core.id for core in cores if core.node in nodes} or able
        if len(able) < len(cores):
            yield key, tuple(sorted(able))
