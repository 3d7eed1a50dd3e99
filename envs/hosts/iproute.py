"""What ``ip``, ``bridge`` and ``tc`` print as JSON, read into plain values.

Sources: ip-link(8), bridge(8), tc-u32(8).
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from envs.errors import HostError
from envs.host import Record


class Redirect(Record, frozen=True):
    """Frames that enter ``port`` from ``source`` to ``target`` leave by ``to`` at once."""

    port: str
    source: str
    target: str
    to: str


class _PortData(msgspec.Struct, frozen=True):
    state: str = ""
    learning: bool = True
    flood: bool = True
    isolated: bool = False
    locked: bool = False


class _Info(msgspec.Struct, frozen=True):
    info_data: dict[str, Any] = {}
    info_slave_data: _PortData = _PortData()


class Link(msgspec.Struct, frozen=True):
    """An interface as ``ip -j -d link`` shows it: name, TX queue length, bridge it belongs to."""

    ifname: str
    txqlen: int = 0
    master: str = ""
    linkinfo: _Info = _Info()


class _Fdb(msgspec.Struct, frozen=True):
    mac: str
    ifname: str = ""
    state: str = ""


class _Qdisc(msgspec.Struct, frozen=True):
    kind: str
    dev: str = ""


def links(shown: str) -> Mapping[str, Link]:
    """The interfaces that ``ip -j -d link show`` printed."""
    return {link.ifname: link for link in _decode(shown, list[Link])}


def with_ingress(shown: str) -> tuple[str, ...]:
    """The interfaces with a hook for ingress filters, out of ``tc -j qdisc show``."""
    found = _decode(shown or "[]", list[_Qdisc])
    return tuple(sorted({q.dev for q in found if q.kind in ("ingress", "clsact")}))


def static_entries(shown: str) -> tuple[tuple[str, str], ...]:
    """The addresses set by hand, out of ``bridge -j fdb show br NAME``."""
    found = _decode(shown or "[]", list[_Fdb])
    return tuple(sorted({(e.mac, e.ifname) for e in found if e.state == "static"}))


def redirects(port: str, shown: str, priority: int) -> tuple[Redirect, ...]:
    """The redirects of a priority, out of ``tc -j filter show dev PORT ingress``.

    u32 repeats the key ``match`` for each word it compares, so the objects are read as pairs.
    Raises HostError where something else has that priority.
    """
    found = []
    for entry in json.loads(shown or "[]", object_pairs_hook=_Pairs):
        options = entry.first("options")
        if entry.first("pref") != priority or not isinstance(options, _Pairs):
            continue
        words = options.all("match")
        if not words:
            continue
        actions = options.first("actions")
        try:
            source, target = _addresses(words)
            to = actions[0].first("to_dev")
        except (KeyError, TypeError, ValueError):
            raise HostError(
                f"a filter at priority {priority} on {port!r} is not ours: remove it first"
            ) from None
        found.append(Redirect(port=port, source=source, target=target, to=str(to)))
    return tuple(found)


def _addresses(words: "list[_Pairs]") -> tuple[str, str]:
    """Source and target address out of the four words that a redirect compares."""
    value = {(w.first("off"), w.first("mask")): int(w.first("value"), 16) for w in words}
    if len(value) != 4:
        raise ValueError("not the words of a redirect")
    target = value[-16, "ffff"] << 32 | value[-12, "ffffffff"]
    source = value[-8, "ffffffff"] << 16 | value[-4, "ffff0000"] >> 16
    return _mac(source), _mac(target)


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object that keeps repeated keys."""

    def all(self, key: str) -> list[Any]:
        return [value for name, value in self if name == key]

    def first(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return next(iter(self.all(key)), None)


def _decode(text: str, kind: type[Any]) -> Any:  # noqa: ANN401 - typed by its callers
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise HostError(f"ip, bridge or tc printed something unexpected: {error}") from error
