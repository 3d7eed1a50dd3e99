"""Settings compared, and settings given in part by a person."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from envs import reading
from envs.errors import InputError
from envs.host import BridgeMode, Knob, Record, Settings, from_json

V = TypeVar("V")


class Difference(Record, frozen=True):
    """One part of a setting that changes, in words for people."""

    knob: Knob
    subject: str
    before: str
    after: str


class PartialSettings(Record, frozen=True):
    """A setting file: what it leaves out stays as found, down to the single VCPU, vif or domain."""

    placement: Mapping[str, tuple[int, ...]] = {}
    weight: Mapping[str, int] = {}
    tx_queue: Mapping[str, int] = {}
    bridge: BridgeMode | None = None
    side_cores: tuple[int, ...] | None = None
    polling: bool | None = None

    def over(self, found: Settings) -> Settings:
        """``found`` with the parts given here; a key that the host lacks stays, to be refused."""
        return Settings(
            placement={**found.placement, **_sorted(self.placement)},
            weight={**found.weight, **self.weight},
            tx_queue={**found.tx_queue, **self.tx_queue},
            bridge=found.bridge if self.bridge is None else self.bridge,
            side_cores=found.side_cores
            if self.side_cores is None
            else tuple(sorted(self.side_cores)),
            polling=found.polling if self.polling is None else self.polling,
        )


def read(path: Path) -> PartialSettings:
    """The setting in a JSON file. Raises InputError naming the file and what is wrong in it."""
    data = reading.read(path)
    try:
        return from_json(data, PartialSettings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def differences(before: Settings, after: Settings) -> tuple[Difference, ...]:
    """What changes from ``before`` to ``after``, in the order of the knobs."""
    rows: list[Difference] = []

    def row(knob: Knob, subject: str, old: str, new: str) -> None:
        if old != new:
            rows.append(Difference(knob=knob, subject=subject, before=old, after=new))

    for key in _keys(before.placement, after.placement):
        row("placement", key, _cores(before.placement.get(key)), _cores(after.placement.get(key)))
    for key in _keys(before.weight, after.weight):
        row("weight", key, _number(before.weight.get(key)), _number(after.weight.get(key)))
    for key in _keys(before.tx_queue, after.tx_queue):
        row("tx_queue", key, _number(before.tx_queue.get(key)), _number(after.tx_queue.get(key)))
    row("bridge", "bridge", before.bridge, after.bridge)
    row("side_cores", "side-cores", _side_cores(before), _side_cores(after))
    return tuple(rows)


def core_list(cores: tuple[int, ...]) -> str:
    """Cores as Linux writes them: ``0-3,6``."""
    parts: list[str] = []
    run: list[int] = []
    for core in sorted(cores):
        if run and core != run[-1] + 1:
            parts.append(_run(run))
            run = []
        run.append(core)
    return ",".join([*parts, _run(run)] if run else parts)


def _run(run: list[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"


def _keys(before: Mapping[str, V], after: Mapping[str, V]) -> list[str]:
    return list(dict.fromkeys([*before, *after]))


def _cores(cores: tuple[int, ...] | None) -> str:
    return "(none)" if cores is None else f"cores {core_list(cores)}"


def _number(value: int | None) -> str:
    return "(none)" if value is None else str(value)


def _side_cores(settings: Settings) -> str:
    if not settings.side_cores:
        return "none"
    return core_list(settings.side_cores) + (" polling" if settings.polling else " sleeping")


def _sorted(placement: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(sorted(set(cores))) for key, cores in placement.items()}
