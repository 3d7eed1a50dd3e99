"""libvirt through ``virsh``, live state only. Guests are told by UUID, never by name.

Sources: virsh(1); for the cgroups, libvirt's page "Control Groups Resource Management".
"""

import re
from collections.abc import Mapping

from envs.errors import HostError
from envs.host import Record
from envs.hosts.change import Command
from envs.hosts.transport import NOT_FOUND, Result
from envs.hosts.unexpected import unexpected

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GROUP = re.compile(r"(?P<machine>.*?)(?:/libvirt)?/(?:emulator|vcpu\d+|iothread\d+)")


class Libvirt(Record, frozen=True):
    """The libvirt that a URI of its own names, on the host itself."""

    uri: str

    def ask(self, *words: str) -> Command:
        """A command of virsh."""
        return ("virsh", "-q", "-c", self.uri, *words)

    @property
    def running(self) -> Command:
        """Asks for the UUIDs of the guests that run."""
        return self.ask("list", "--uuid")

    def interfaces(self, uuid: str) -> Command:
        """Asks for a guest's interfaces and their addresses, plugged in later ones included."""
        return self.ask("domiflist", "--domain", uuid)

    def pin(self, uuid: str, group: str, number: str, cores: str) -> Command:
        """Let a VCPU, the emulator or an I/O thread run on a list of cores."""
        which = () if group == "emulator" else (number,)
        return self.ask(f"{group}pin", uuid, *which, cores, "--live")

    def weigh(self, uuid: str, weight: str) -> Command:
        """Give a guest its weight."""
        return self.ask("schedinfo", uuid, "--live", "--set", f"cpu_shares={weight}")


def uuids(listed: Result) -> tuple[str, ...]:
    """The guests that run. Raises HostError where there is no libvirt, or it does not answer."""
    if listed.rc == NOT_FOUND:
        raise HostError("there is no virsh: install libvirt's clients, or name the host kvm:")
    if listed.rc != 0:
        said = (listed.err.strip().splitlines() or ["no message"])[-1]
        raise HostError(f"libvirt does not answer: {said.removeprefix('error: ')}")
    words = listed.out.split()
    if any(not _UUID.fullmatch(word) for word in words):
        raise unexpected("virsh list", listed.out)
    return tuple(words)


def addresses(listed: Result) -> Mapping[str, str]:
    """The address behind each interface out of the answer to ``interfaces``.

    An interface's name holds no blank, but that of a libvirt network, between, may hold many.
    """
    lines = [line.split() for line in listed.out.splitlines()]
    return {words[0]: words[-1].lower() for words in lines if len(words) > 3 and ":" in words[-1]}


def machine_group(path: str) -> str:
    """A guest's whole cgroup, from that of its emulator."""
    found = _GROUP.fullmatch(path)
    return found["machine"] if found else path
