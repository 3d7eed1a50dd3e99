"""The cores that guests may be placed on: online, not isolated, inside every guest's cpuset."""

from collections.abc import Mapping, Sequence

from envs.host import Core
from envs.hosts import cgroup, linux
from envs.hosts.cgroup import Controller
from envs.hosts.kvm.guests import Guest
from envs.hosts.kvm.libvirt import machine_group
from envs.hosts.kvm.qemu import Process

ISOLATED = "/sys/devices/system/cpu/isolated"


def cpuset_file(process: Process, cpuset: Controller | None) -> str:
    """The file with the cores that a guest's whole cpuset lets it use."""
    if cpuset is None:
        return "/dev/null"
    path = machine_group(cgroup.membership(process.cgroups, cpuset, "cpuset"))
    name = "cpuset.cpus.effective" if cpuset.version == 2 else "cpuset.effective_cpus"
    return f"{cpuset.root}{path}/{name}"


def usable(
    topology: str,
    limits: Mapping[str, str],
    cpusets: Sequence[str],
    used: set[int],
    guests: Sequence[Guest],
) -> tuple[tuple[Core, ...], str]:
    """The cores that may be used, and why threads cannot be placed on them, if they cannot."""
    online = {core.id for core in linux.online(topology)}
    isolated = set(linux.core_list(limits.get(ISOLATED, ""), ISOLATED))
    allowed = (online - isolated) | (used & online)
    reach = [
        set(linux.core_list(limits[path], path)) for path in cpusets if limits.get(path, "").strip()
    ]
    common = allowed.intersection(*reach)
    immovable = ""
    if not used & online <= common:
        immovable, common = "guests are confined to different sets of cores (cpusets)", allowed
    unnamed = [guest.name for guest in guests if not guest.vcpus]
    if unnamed:
        immovable = (
            f"the VCPUs of {unnamed[0]!r} cannot be told from its other threads: "
            "start QEMU with -name NAME,debug-threads=on"
        )
    return linux.topology(topology, common), immovable
