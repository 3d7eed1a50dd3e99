"""What a batch knows of each host, as records for compiled code (see ``envs.sim.state.layout``).

Cores, entities (backends, then VCPUs), vifs and guests are numbered in the order of the host's
``HostSpec``, as in the simulator's state; a set of them is an integer with a bit for each. A
simulated host is found with every VCPU and backend free to run everywhere, one weight for all
domains and one length for all TX queues (``envs.sim.describe.stock_of``), and a decision raises the
weights of all I/O guests together; so a setting has one weight for them and one queue length.

In compiled code an index of -1 means none.
"""

from typing import Annotated

from envs.features import GUARDS, HOST, VERDICT
from envs.host import BRIDGE_MODES
from envs.layout import TRIAL
from envs.menu import KINDS, MAX_VALUES
from envs.sim.state import CORES, DOMAINS, VCPUS, VIFS, layout

ENTITIES = VCPUS
MODES = len(BRIDGE_MODES)
PARTS = ENTITIES + len(KINDS)
MARGINS = len(VERDICT) - 3
"""What a row tells of a verdict besides gain, reward and whether guards hold: the worst margins."""

SIDE_CORES, BACKEND, IO_VCPU, CPU_VCPU, DRIVER_WEIGHT, GUEST_WEIGHT, TX_QUEUE, BRIDGE = range(
    len(KINDS)
)
"""What a choice can be about, as ``envs.menu.KINDS`` numbers it."""
NOTHING = -1
"""The kind of choice where no part has more than one value."""
ROLES = 3
BACKENDS, IO_VCPUS, CPU_VCPUS = range(ROLES)
"""What an entity is."""


class Part:
    """A part of a setting that can be chosen: its kind, and its entity (-1: none)."""

    kind: int
    entity: int


class Guest:
    """A guest: whether it is CPU-bound, its VCPUs (entities ``first`` and on) and set of vifs."""

    cpu: int
    first: int
    vcpus: int
    vifs: int


class Host:
    """What stays the same while a host is in its place: topology, limits, guards.

    ``near`` is the set of cores of the uplink's LLC domain, ``home`` that of its nodes. ``packed``,
    ``spread`` and ``far`` are all cores in the orders in which they are reserved; ``domain`` holds
    where in ``packed`` each LLC domain begins. ``llc``, ``node`` and ``siblings`` are, for each
    core, those that share it (the core itself among them, but not among its ``siblings``).

    ``role`` is that of each entity, ``members`` how many have each. ``peers`` are the entities that
    an entity exchanges packets with, ``owned`` the vifs of the guests it belongs to or serves, and
    ``owners`` the number of these guests' VCPUs. ``bridge`` is what each mode takes for a packet
    (ns), ``row`` the numbers that an observation tells of it all.
    """

    cores: int
    entities: int
    backends: int
    guests: int
    vifs: int
    parts: int
    all: int
    near: int
    home: int
    domains: int
    relays: int
    gbps: float
    # limits
    places_backends: int
    places_guests: int
    side_cores: int
    polling: int
    weight_low: int
    weight_high: int
    queue_low: int
    queue_high: int
    modes: int
    # guards
    tolerance: float
    bandwidth: float
    guest_bandwidth: float
    cpu_work: float
    drops: float
    latency: float
    # tables
    mode: Annotated[list[int], MODES]
    bridge: Annotated[list[float], MODES]
    packed: Annotated[list[int], CORES]
    spread: Annotated[list[int], CORES]
    far: Annotated[list[int], CORES]
    domain: Annotated[list[int], CORES + 1]
    llc: Annotated[list[int], CORES]
    node: Annotated[list[int], CORES]
    siblings: Annotated[list[int], CORES]
    role: Annotated[list[int], ENTITIES]
    members: Annotated[list[int], ROLES]
    peers: Annotated[list[int], ENTITIES]
    owned: Annotated[list[int], ENTITIES]
    owners: Annotated[list[int], ENTITIES]
    guest: "Annotated[list[Guest], DOMAINS]"
    part: "Annotated[list[Part], PARTS]"
    row: Annotated[list[float], len(HOST) + len(GUARDS)]


class Setting:
    """A value for every knob (``envs.host.Settings``)."""

    side_cores: int
    polling: int
    driver_weight: int
    guest_weight: int
    tx_queue: int
    bridge: int
    placement: Annotated[list[int], ENTITIES]


class Counts:
    """What crossed a vif: ``in`` is towards the guest."""

    in_bytes: int
    in_packets: int
    in_drops: int
    out_bytes: int
    out_packets: int


class Trial(Setting):
    """A setting that was measured: its sample, its verdict, and all that as a row (``TRIAL``).

    The first trial of a host is its baseline. Times are seconds; ``use`` is the cores used by each
    entity. ``latency`` is below 0 where nothing was answered. ``margin`` is the worst margin of
    each kind of guard, 0 where a host has none of that kind.
    """

    up_in_bytes: int
    up_in_packets: int
    up_in_drops: int
    up_out_bytes: int
    up_out_packets: int
    up_out_drops: int
    latency: float
    misses: float
    gain: float
    reward: float
    holds: int
    vif: "Annotated[list[Counts], VIFS]"
    backend_cpu: Annotated[list[float], ENTITIES]
    guest_cpu: Annotated[list[float], DOMAINS]
    work: Annotated[list[float], DOMAINS]
    busy: Annotated[list[float], CORES]
    use: Annotated[list[float], ENTITIES]
    margin: Annotated[list[float], MARGINS]
    row: Annotated[list[float], len(TRIAL)]


class Value:
    """A value that a part may be given: a core set, with ``polling`` for side-cores, or a number.

    ``number`` is the level of a weight, a length in packets, or a mode's place in BRIDGE_MODES.
    """

    cores: int
    polling: int
    number: int
    baseline: int


class Decision(Setting):
    """The setting in the making, and the choice that is next.

    ``trials`` counts what was measured, the baseline included; ``best`` is the best of them that
    breaks no guard, 0 (the baseline) if none is better. ``part`` is the part that the choice is
    about, ``values`` how many it offers. ``at`` is scratch of the menu.
    """

    version: int
    trials: int
    best: int
    part: int
    kind: int
    entity: int
    values: int
    value: "Annotated[list[Value], MAX_VALUES]"
    at: Annotated[list[int], CORES]


HOST_TYPE, TRIAL_TYPE, DECISION_TYPE = layout(Host), layout(Trial), layout(Decision)
"""The NumPy types of the records."""
