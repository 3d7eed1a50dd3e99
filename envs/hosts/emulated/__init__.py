"""Labs that are whole hosts, emulated on this machine: one with libvirt, one with Xen."""

from pathlib import Path
from typing import Protocol

from envs.host import Host

KINDS = ("kvm", "xen")
"""Their kinds, which are also their names: ``lab:kvm``, ``lab:xen``. There is one of each."""


class Machine(Protocol):
    """Such a host, up or not."""

    folder: Path

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        ...

    def down(self) -> None:
        """End it, or what is left of it."""
        ...


class Lab(Protocol):
    """What the module of a kind can do."""

    def find(self) -> Machine:
        """The lab of this machine, up or not."""
        ...

    def up(self) -> Machine:
        """Bring it up; returns when traffic flows. Raises HostError where it cannot be."""
        ...

    def host(self, *, bypass_filters: bool = False) -> Host:
        """The lab as a host. Raises HostError where it is down."""
        ...


def lab_of(kind: str) -> Lab:
    """The lab of one of ``KINDS``; its module is imported only when it is asked for."""
    if kind == "kvm":
        from envs.hosts.kvm import lab as kvm  # noqa: PLC0415 (see above)

        return kvm
    from envs.hosts.xen import lab as xen  # noqa: PLC0415

    return xen
