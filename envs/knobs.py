"""The rules of the five knobs: what a host's setting must hold before anything is touched.

Pure functions over a ``HostSpec`` and ``Settings``. The same rules guard a person's setting file,
a heuristic and an agent, in simulation and on a live host.
"""

from collections.abc import Iterable, Iterator, Sequence

from envs.errors import IllegalSetting
from envs.host import HostSpec, Knob, Settings

WEIGHT_LEVELS = (1, 2, 4, 8)
"""Credit boost: the multiples of its baseline weight that a domain may be given."""


def violations(spec: HostSpec, settings: Settings, *found: Settings) -> Iterator[str]:
    """Each rule that ``settings`` breaks on ``spec``, as a clause that names the culprit.

    ``found`` is the host as it was found, and as it is where that is another: a part that is as in
    one of them may stay or go back, whatever the host can set.
    """
    yield from _placement(spec, settings, found)
    yield from _weight(spec, settings, found)
    yield from _tx_queue(spec, settings, found)
    if settings.bridge not in (*spec.limits.bridge, *(one.bridge for one in found)):
        yield f"bridge mode {settings.bridge!r} {_cannot(spec, 'bridge')}"
    yield from _side_cores(spec, settings)


def check(spec: HostSpec, settings: Settings, *found: Settings) -> None:
    """Raise IllegalSetting with every broken rule in one line. See ``violations``."""
    broken = list(violations(spec, settings, *found))
    if broken:
        raise IllegalSetting("illegal setting: " + "; ".join(broken))


def _placement(spec: HostSpec, settings: Settings, found: Sequence[Settings]) -> Iterator[str]:
    cores, reserved = frozenset(spec.core_ids), frozenset(settings.side_cores)
    backends = {backend.name for backend in spec.backends}
    yield from _keys("placement", settings.placement, backends | set(spec.vcpus))
    for key, allowed in settings.placement.items():
        movable = spec.limits.backends if key in backends else spec.limits.guests
        if not allowed:
            yield f"placement of {key!r} leaves it without a core"
        for core in sorted(set(allowed) - cores):
            yield f"placement of {key!r} names core {core}, which the host does not have"
        moved = all(set(allowed) != set(one.placement.get(key, ())) for one in found)
        if not movable and moved:
            yield f"placement of {key!r} {_cannot(spec, 'placement')}"
        if moved and not set(allowed) <= set(spec.reach(key)):
            only = ", ".join(map(str, spec.reach(key)))
            yield f"placement of {key!r} leaves what its guest is bound to: cores {only}"
        if key not in backends:
            for core in sorted(reserved & set(allowed)):
                yield f"placement of {key!r} uses side-core {core}"


def _weight(spec: HostSpec, settings: Settings, found: Sequence[Settings]) -> Iterator[str]:
    yield from _keys("weight", settings.weight, spec.domains)
    low, high = spec.limits.weight
    for domain, weight in settings.weight.items():
        if any(weight == one.weight.get(domain) for one in found):
            continue
        if domain not in spec.limits.weights:
            yield f"weight of {domain!r} {_cannot(spec, 'weight')}"
        elif not low <= weight <= high:
            yield f"weight {weight} of {domain!r} is outside {low}..{high}"


def _tx_queue(spec: HostSpec, settings: Settings, found: Sequence[Settings]) -> Iterator[str]:
    yield from _keys("tx_queue", settings.tx_queue, spec.vifs)
    for vif, length in settings.tx_queue.items():
        if any(length == one.tx_queue.get(vif) for one in found):
            continue
        if spec.limits.tx_queue is None:
            yield f"tx_queue of {vif!r} {_cannot(spec, 'tx_queue')}"
            continue
        low, high = spec.limits.tx_queue
        if not low <= length <= high:
            yield f"tx_queue {length} of {vif!r} is outside {low}..{high}"


def _side_cores(spec: HostSpec, settings: Settings) -> Iterator[str]:
    cores, reserved = frozenset(spec.core_ids), frozenset(settings.side_cores)
    for core in sorted(reserved - cores):
        yield f"side-core {core} does not exist"
    if len(reserved) != len(settings.side_cores):
        yield "side_cores names a core twice"
    if reserved and not spec.limits.side_cores:
        yield f"side_cores {_cannot(spec, 'side_cores')}"
    elif len(reserved) > spec.limits.side_cores:
        yield f"{len(reserved)} side-cores, but at most {spec.limits.side_cores} can be reserved"
    if reserved and not reserved < cores:
        yield "side_cores leave no core for the guests"
    if settings.polling and not reserved:
        yield "polling needs a side-core"
    if settings.polling and not spec.limits.polling:
        yield "polling is not possible on this host"
    used = {core for b in spec.backends for core in settings.placement.get(b.name, ())}
    for core in sorted((reserved & cores) - used):
        yield f"side-core {core} is reserved, but no backend may run there"


def _keys(knob: str, given: Iterable[str], expected: Iterable[str]) -> Iterator[str]:
    names, known = set(given), set(expected)
    for key in sorted(names - known):
        yield f"{knob} names {key!r}, which the host does not have"
    for key in sorted(known - names):
        yield f"{knob} has no value for {key!r}"


def _cannot(spec: HostSpec, knob: Knob) -> str:
    reason = spec.limits.why_not.get(knob)
    return "cannot be set on this host" + (f": {reason}" if reason else "")
