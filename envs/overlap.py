"""Where things are and what they share: core sets as rows of a matrix.

A set of cores is a row of equal shares that sum to 1, so that a product of two rows, with the
matrix of what two cores share in between, is the chance that a core of the one and a core of the
other are the same core, the same physical core, or of one LLC domain or node.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.host import HostSpec

Rows = NDArray[np.float64]

PLACED = (
    "backends share an llc domain with their guests' vcpus",
    "backends share a core with them",
    "backends near the uplink",
    "io vcpus near the uplink",
    "cpu vcpus share a core with backends",
    "cpu vcpus share a core with io vcpus",
    "size of backends' core sets",
    "size of io vcpus' core sets",
    "size of cpu vcpus' core sets",
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A placement: the core set of each entity, that of its peers, and a summary (``PLACED``)."""

    sets: Rows
    peers: Rows
    summary: list[float]


class Overlap:
    """The entities of a host, backends and VCPUs, and what its cores share.

    The peers of a backend are the VCPUs of the guests it serves, those of a VCPU the backends
    that serve it. ``roles`` has a row for backends, for I/O VCPUs and for CPU VCPUs.
    """

    def __init__(self, spec: HostSpec) -> None:
        names = [*(backend.name for backend in spec.backends), *spec.vcpus]
        self.index = {name: place for place, name in enumerate(names)}
        kinds = ["backend"] * len(spec.backends) + [spec.guest_of(v).role for v in spec.vcpus]
        self.roles = np.array(
            [[k == role for k in kinds] for role in ("backend", "io", "cpu")], float
        )
        self.peers = _peers(spec, self.index)
        self.mean_peers = self.peers / np.maximum(1.0, self.peers.sum(1, keepdims=True))
        self._mean_roles = self.roles / np.maximum(1.0, self.roles.sum(1, keepdims=True))
        self.llc = _same([core.llc for core in spec.cores])
        self.node = _same([core.node for core in spec.cores])
        own = np.eye(len(spec.cores))
        self.shared = np.stack(
            [own, _same([core.sibling for core in spec.cores]) - own, self.llc, self.node]
        )
        self.near = np.array([core.llc == spec.uplink.llc for core in spec.cores], float)
        home = {core.node for core in spec.cores if core.llc == spec.uplink.llc}
        self.home = np.array([core.node in home for core in spec.cores], float)
        self._column = {core.id: place for place, core in enumerate(spec.cores)}
        self._known: dict[tuple[int, ...], Rows] = {}

    def per_core(self, values: Mapping[int, float]) -> Rows:
        """Values by core id as a row."""
        return np.array([values[core] for core in self._column], float)

    def rows(self, sets: Iterable[tuple[int, ...]]) -> Rows:
        """A row for each core set; the empty set is a row of zeros."""
        return np.array([self._row(cores) for cores in sets])

    def place(self, placement: Mapping[str, tuple[int, ...]]) -> Placed:
        """The core sets of all entities under a placement."""
        sets = self.rows([placement[name] for name in self.index])
        peers = self.mean_peers @ sets
        backends, io, cpu = self._mean_roles
        llc = ((sets @ self.llc) * peers).sum(1)
        core = (sets * peers).sum(1)
        near = sets @ self.near
        size = 1.0 / (sets**2).sum(1) / sets.shape[1]
        mean_backend, mean_io, mean_cpu = self._mean_roles @ sets
        summary = [
            backends @ llc,
            backends @ core,
            backends @ near,
            io @ near,
            mean_cpu @ mean_backend,
            mean_cpu @ mean_io,
            backends @ size,
            io @ size,
            cpu @ size,
        ]
        return Placed(sets=sets, peers=peers, summary=summary)

    def _row(self, cores: tuple[int, ...]) -> Rows:
        row = self._known.get(cores)
        if row is None:
            row = np.zeros(len(self._column))
            row[[self._column[core] for core in cores]] = 1.0 / max(1, len(cores))
            self._known[cores] = row
        return row


def _same(labels: list[int]) -> Rows:
    """1 where two cores have the same label."""
    return np.array([[float(a == b) for a in labels] for b in labels])


def _peers(spec: HostSpec, index: Mapping[str, int]) -> Rows:
    peers = np.zeros((len(index), len(index)))
    for backend in spec.backends:
        for guest in spec.guests:
            if set(guest.vifs) & set(backend.vifs):
                for vcpu in guest.vcpus:
                    peers[index[backend.name], index[vcpu]] = 1.0
                    peers[index[vcpu], index[backend.name]] = 1.0
    return peers
