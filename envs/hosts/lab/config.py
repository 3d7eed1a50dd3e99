"""What a lab is made of: its configuration, and the plan of names, addresses and flows.

The plan is a pure function of the configuration, so the tests read it without making anything.
"""

import re
from typing import Annotated, Literal

import msgspec

from envs.errors import InputError
from envs.host import Record
from envs.hosts.bridge import Plug

Workload = Literal["receive", "transmit", "intra", "mixed"]

OUTSIDE = "outside"
BRIDGE = "br0"
UPLINK = "uplink"
DRIVER = "driver"
PORT = 5000

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,11}")


class LabConfig(Record, frozen=True):
    """A lab to make.

    ``vcpus`` is the number of processes of each I/O guest, each with flows of its own;
    ``neighbours`` the number of CPU-bound guests. ``workload`` says what flows: ``receive`` from
    outside into each guest, ``transmit`` out of each, ``intra`` from each guest to the next, and
    ``mixed``, in which odd guests receive, even ones transmit, and the first sends to the second
    as well. ``tx_queue`` is the vifs' TX queue length, None for what the kernel gives.
    """

    name: str = "default"
    guests: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    vcpus: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    neighbours: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    workload: Workload = "receive"
    tx_queue: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None


class GuestPlan(Record, frozen=True):
    """An I/O guest: its VCPUs, backend and vif by name, its addresses."""

    name: str
    vcpus: tuple[str, ...]
    backend: str
    vif: str
    mac: str
    ip: str
    ip6: str


class Peer(Record, frozen=True):
    """A process that makes traffic: where it is, where it listens, and to whom it sends."""

    key: str
    guest: str
    listen: tuple[str, int]
    connect: tuple[tuple[str, int], ...]


class Neighbour(Record, frozen=True):
    """A CPU-bound guest and its one VCPU."""

    name: str
    vcpu: str


class Plan(Record, frozen=True):
    """All of a lab by name."""

    guests: tuple[GuestPlan, ...]
    neighbours: tuple[Neighbour, ...]
    peers: tuple[Peer, ...]
    outside_mac: str
    outside_ip: str
    outside_ip6: str

    @property
    def plugs(self) -> tuple[Plug, ...]:
        """The bridge's ports with the address behind each."""
        vifs = [Plug(port=guest.vif, mac=guest.mac) for guest in self.guests]
        return (*vifs, Plug(port=UPLINK, mac=self.outside_mac, guest=False))

    @property
    def domains(self) -> tuple[str, ...]:
        """Who has a weight: the driver domain, the guests, the neighbours."""
        return (DRIVER, *(g.name for g in self.guests), *(n.name for n in self.neighbours))


def check_name(name: str) -> str:
    """The name of a lab, if it is one. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"lab name {name!r} is not 1 to 12 of a-z, 0-9 and -, beginning with a letter or digit"
        )
    return name


def checked(config: LabConfig) -> LabConfig:
    """The configuration, if it can be made. Raises InputError naming what is wrong."""
    check_name(config.name)
    try:
        return msgspec.convert(msgspec.to_builtins(config), LabConfig)
    except msgspec.ValidationError as error:
        raise InputError(f"lab configuration: {error}") from error


def plan(config: LabConfig) -> Plan:
    """Names, addresses and flows of a lab."""
    guests = tuple(_guest(number, config.vcpus) for number in range(1, config.guests + 1))
    neighbours = tuple(
        Neighbour(name=f"n{number}", vcpu=f"n{number}/0")
        for number in range(1, config.neighbours + 1)
    )
    return Plan(
        guests=guests,
        neighbours=neighbours,
        peers=_peers(config, guests),
        outside_mac="02:00:00:00:ff:01",
        outside_ip="10.0.255.1",
        outside_ip6="fd00::ff01",
    )


def _guest(number: int, vcpus: int) -> GuestPlan:
    return GuestPlan(
        name=f"g{number}",
        vcpus=tuple(f"g{number}/{vcpu}" for vcpu in range(vcpus)),
        backend=f"relay{number}",
        vif=f"vif{number}",
        mac=f"02:00:00:00:00:{number:02x}",
        ip=f"10.0.0.{number}",
        ip6=f"fd00::{number:x}",
    )


def _peers(config: LabConfig, guests: tuple[GuestPlan, ...]) -> tuple[Peer, ...]:
    """One process for each VCPU, and one outside as the far end of each."""
    inside = {(g.name, k): (g.ip, PORT + k) for g in guests for k in range(config.vcpus)}
    far = {
        (g.name, k): ("10.0.255.1", PORT + 100 * number + k)
        for number, g in enumerate(guests)
        for k in range(config.vcpus)
    }
    flows = _flows(config.workload, [guest.name for guest in guests])
    peers = []
    for guest in guests:
        for k, vcpu in enumerate(guest.vcpus):
            targets = [
                far[guest.name, k] if end == OUTSIDE else inside[end, k]
                for start, end in flows
                if start == guest.name
            ]
            here = inside[guest.name, k]
            peers.append(Peer(key=vcpu, guest=guest.name, listen=here, connect=tuple(targets)))
            back = (here,) if (OUTSIDE, guest.name) in flows else ()
            key = f"{OUTSIDE}/{vcpu}"
            peers.append(Peer(key=key, guest=OUTSIDE, listen=far[guest.name, k], connect=back))
    return tuple(peers)


def _flows(workload: Workload, guests: list[str]) -> list[tuple[str, str]]:
    """(from, to) of each flow."""
    if workload == "receive":
        return [(OUTSIDE, guest) for guest in guests]
    if workload == "transmit":
        return [(guest, OUTSIDE) for guest in guests]
    if workload == "intra":
        if len(guests) < 2:
            raise InputError("the workload intra needs 2 guests or more")
        return list(zip(guests, guests[1:] + guests[:1], strict=True))
    flows = [
        (OUTSIDE, guest) if number % 2 == 0 else (guest, OUTSIDE)
        for number, guest in enumerate(guests)
    ]
    return flows + ([(guests[0], guests[1])] if len(guests) > 1 else [])
