"""A lab's state as one value, what a setting makes of it, and the commands in between.

``apply`` and ``restore`` are the same thing: the commands from the state that is to the state
that is wanted. Only where the wanted state comes from differs, a setting or a snapshot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from envs.host import BridgeMode, Knob, Record, Settings
from envs.hosts import bridge
from envs.hosts.bridge import BridgeState, Others
from envs.hosts.change import Change, Command, Part, single, undoing
from envs.hosts.iproute import QueueLength
from envs.hosts.lab.config import BRIDGE, Plan
from envs.hosts.lab.duties import Duties, duties
from envs.hosts.lab.record import Lab
from envs.hosts.linux import CoreId, Weight, as_list
from envs.hosts.transport import replace_file, write_file

_ORDER = """
{ printf "%s\\n" "$2" >"$1.new" && mv -f -- "$1.new" "$1"; } 2>/dev/null && exit
rm -f -- "$1.new"
printf "%s\\n" "$2" >"$1"
"""
"""Replaces a file as a whole, or on a full disk, where that cannot be, in its place."""


class LabState(Record, frozen=True):
    """Everything of a lab that ``apply`` may touch, as it is on the host.

    ``affinity`` is by process: VCPUs, backends, and those that stand for the outside.
    ``stock_bridge`` is the bridge as it was found, kept on the host while its mode is another.
    """

    affinity: Mapping[str, tuple[CoreId, ...]]
    weight: Mapping[str, Weight]
    tx_queue: Mapping[str, QueueLength]
    duties: Duties
    bridge: BridgeState
    stock_bridge: BridgeState | None = None


class Context(Record, frozen=True):
    """What the commands of a lab need to know: its plan, its record, where its files are."""

    plan: Plan
    lab: Lab
    folder: str
    cores: tuple[int, ...]

    @property
    def movable(self) -> tuple[str, ...]:
        """VCPUs and backends: the keys of a placement."""
        guests = self.plan.guests
        return (
            *(guest.backend for guest in guests),
            *(vcpu for guest in guests for vcpu in guest.vcpus),
            *(neighbour.vcpu for neighbour in self.plan.neighbours),
        )

    @property
    def outside(self) -> tuple[str, ...]:
        """The processes that stand for another machine: kept off side-cores, never counted."""
        return tuple(sorted(set(self.lab.processes) - set(self.movable)))

    @property
    def weight_files(self) -> Mapping[str, str]:
        """The file that holds each domain's weight; none where there are no weights."""
        lab = self.lab
        if lab.group is None or lab.cgroup is None:
            return {}
        name = lab.cgroup.weight_file
        return {domain: str(lab.group / domain / name) for domain in self.plan.domains}

    @property
    def duties_file(self) -> str:
        """The orders of the relays."""
        return self.file("duties.json")

    @property
    def stock_bridge_file(self) -> str:
        """The bridge as found, while its mode is another."""
        return self.file("stock-bridge.json")

    def file(self, name: str) -> str:
        """A file in the lab's state directory."""
        return str(Path(self.folder) / name)

    def pid(self, key: str) -> str:
        """The pid of a process of the lab, as commands take it."""
        return str(self.lab.processes[key].pid)

    def pin(self, key: str, cores: str) -> Command:
        """Let a process, with all its threads, run on a list of cores."""
        return ("taskset", "-a", "-c", "-p", cores, self.pid(key))

    def weigh(self, domain: str, weight: str) -> Command:
        """Give a domain its weight."""
        return write_file(self.weight_files[domain], weight)

    def queue(self, vif: str, length: str) -> Command:
        """Give a vif its TX queue length."""
        return self.in_driver(("ip", "link", "set", "dev", vif, "txqueuelen", length))

    def in_driver(self, command: Command) -> Command:
        """A command in the driver domain's network namespace."""
        user = ("-U", "--preserve-credentials") if self.lab.userns else ()
        return ("nsenter", "-t", str(self.lab.supervisor.pid), *user, "-n", "--", *command)


def bridge_mode(state: LabState, plan: Plan) -> BridgeMode:
    """The mode the bridge is in."""
    return bridge.mode_of(state.stock_bridge, state.bridge, plan.plugs)


def settings(context: Context, state: LabState) -> Settings:
    """The five knobs in a state.

    A side-core that a guest may run on (someone moved it there) is not reserved any more.
    """
    placement = {key: state.affinity[key] for key in context.movable}
    backends = {guest.backend for guest in context.plan.guests}
    trespassed = {core for key, c in placement.items() if key not in backends for core in c}
    reserved = tuple(core for core in state.duties.side_cores if core not in trespassed)
    default = context.lab.cgroup.default if context.lab.cgroup else 1
    return Settings(
        placement=placement,
        weight={d: state.weight.get(d, default) for d in context.plan.domains},
        tx_queue=state.tx_queue,
        bridge=bridge_mode(state, context.plan),
        side_cores=reserved,
        polling=state.duties.polling and bool(reserved),
    )


def wanted(context: Context, state: LabState, target: Settings, others: Others) -> LabState:
    """The state that a setting means, from the state that is and what others have on the bridge."""
    stock = state.stock_bridge or state.bridge
    left = tuple(core for core in context.cores if core not in target.side_cores)
    outside = dict.fromkeys(context.outside, left)
    if target.side_cores == state.duties.side_cores:
        outside = {key: state.affinity[key] for key in context.outside}
    return LabState(
        affinity={**{k: tuple(sorted(v)) for k, v in target.placement.items()}, **outside},
        weight={domain: target.weight[domain] for domain in state.weight},
        tx_queue=dict(target.tx_queue),
        duties=duties(context.plan, target),
        bridge=bridge.in_mode(target.bridge, stock, context.plan.plugs, others),
        stock_bridge=None if target.bridge == "stock" else stock,
    )


def changes(context: Context, before: LabState, after: LabState) -> tuple[Change, ...]:
    """What differs, in the order it is to be changed.

    Guests leave a side-core before a poller comes, and a poller stops before they come back; the
    rest in between.
    """
    orders = tuple(_duties(context, before, after))
    rest = (
        *_affinities(context, before, after),
        *_weights(context, before, after),
        *_queues(context, before, after),
        *_bridge(context, before, after),
    )
    return (*rest, *orders) if after.duties.polling else (*orders, *rest)


def restoring(
    context: Context, then: LabState, others: Sequence[LabState] | None = None
) -> tuple[Command, ...]:
    """The commands that put a lab back as it was ``then``, whatever state it is in by now.

    With ``others``, only what differs in one of these. Each is harmless where it fails, and where
    it has been run before.
    """
    parts = None if others is None else [_parts(context, other) for other in others]
    return undoing(_parts(context, then), parts)


def _parts(context: Context, then: LabState) -> tuple[Part, ...]:
    kept = then.stock_bridge
    path = context.stock_bridge_file
    return (
        _orders(context, then.duties),
        *((context.pin(key, as_list(cores)),) for key, cores in then.affinity.items()),
        *((context.weigh(domain, str(weight)),) for domain, weight in then.weight.items()),
        *((context.queue(vif, str(length)),) for vif, length in then.tx_queue.items()),
        tuple(map(context.in_driver, bridge.restoring(BRIDGE, then.bridge, context.plan.plugs))),
        (("rm", "-f", "--", path) if kept is None else replace_file(path, _json(kept)),),
    )


def _affinities(context: Context, before: LabState, after: LabState) -> Iterator[Change]:
    for key in (*context.movable[::-1], *context.outside):
        knob: Knob = "side_cores" if key in context.outside else "placement"
        old, new = as_list(before.affinity[key]), as_list(after.affinity[key])
        yield from _change(knob, key, old, new, context.pin)


def _weights(context: Context, before: LabState, after: LabState) -> Iterator[Change]:
    for domain in context.weight_files:
        old, new = str(before.weight[domain]), str(after.weight[domain])
        yield from _change("weight", domain, old, new, context.weigh)


def _queues(context: Context, before: LabState, after: LabState) -> Iterator[Change]:
    for vif in after.tx_queue:
        old, new = str(before.tx_queue[vif]), str(after.tx_queue[vif])
        yield from _change("tx_queue", vif, old, new, context.queue)


def _change(
    knob: Knob, subject: str, before: str, after: str, command: Callable[[str, str], Command]
) -> Iterator[Change]:
    then, now = ((value, command(subject, value)) for value in (before, after))
    yield from single(knob, subject, then, now)


def _bridge(context: Context, before: LabState, after: LabState) -> Iterator[Change]:
    do = tuple(_bridge_commands(context, before, after))
    if do:
        yield Change(
            knob="bridge",
            subject=BRIDGE,
            before=bridge_mode(before, context.plan),
            after=bridge_mode(after, context.plan),
            do=do,
            undo=tuple(_bridge_commands(context, after, before)),
        )


def _bridge_commands(context: Context, before: LabState, after: LabState) -> Iterator[Command]:
    """The stock bridge is on file for as long as the bridge is anything else."""
    path, kept = context.stock_bridge_file, after.stock_bridge
    if kept is not None and kept != before.stock_bridge:
        yield replace_file(path, _json(kept))
    for command in bridge.commands(BRIDGE, before.bridge, after.bridge):
        yield context.in_driver(command)
    if kept is None and before.stock_bridge is not None:
        yield ("rm", "-f", "--", path)


def _duties(context: Context, before: LabState, after: LabState) -> Iterator[Change]:
    if before.duties != after.duties:
        yield Change(
            knob="side_cores",
            subject="relays",
            before=_told(before.duties),
            after=_told(after.duties),
            do=_orders(context, after.duties),
            undo=_orders(context, before.duties),
        )


def _orders(context: Context, orders: Duties) -> tuple[Command, ...]:
    pids = [context.pid(guest.backend) for guest in context.plan.guests]
    return (
        ("sh", "-c", _ORDER, "sh", context.duties_file, _json(orders)),
        ("kill", "-HUP", *pids),
    )


def _told(orders: Duties) -> str:
    """The orders in words: ``relay1 polls vif1 vif2; reserved 0``."""
    words = [
        f"{relay} {'polls' if duty.poll else 'serves'} {' '.join(duty.vifs)}"
        for relay, duty in sorted(orders.relays.items())
        if duty.vifs
    ]
    if orders.side_cores:
        words.append(f"reserved {as_list(orders.side_cores)}")
    return "; ".join(words)


def _json(record: Record) -> str:
    return msgspec.json.encode(record, order="deterministic").decode()
