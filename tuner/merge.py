"""A host put back without undoing what a person has done since: three snapshots merged.

A snapshot is JSON; nothing else is known of it here, so this serves every kind of host. Of every
part (a leaf of the tree) three values tell whose it is: as found, as we set it, as it is now. What
is neither as found nor as we ever set it is somebody else's, and stays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from envs.host import Record

Tree = Any
"""What JSON holds. A list is one part: its order may mean something."""


class Merged(Record, frozen=True):
    """``snapshot`` is what to restore; ``kept`` names the parts that are somebody else's."""

    snapshot: bytes
    kept: tuple[str, ...] = ()


def merge(found: bytes, ours: Sequence[bytes], now: bytes) -> Merged:
    """The snapshot ``found``, with those parts of ``now`` that are not in any of ``ours``."""
    if now == found:
        return Merged(snapshot=found)
    kept: list[str] = []
    trees = [msgspec.json.decode(snapshot) for snapshot in ours]
    tree = _merge(msgspec.json.decode(found), trees, msgspec.json.decode(now), "", kept)
    if not kept:
        return Merged(snapshot=found)
    return Merged(snapshot=msgspec.json.encode(tree), kept=tuple(kept))


def same(one: bytes, other: bytes) -> bool:
    """Whether two snapshots say the same, in whatever order."""
    return one == other or msgspec.json.decode(one) == msgspec.json.decode(other)


def changed(expected: bytes, now: bytes) -> tuple[str, ...]:
    """The parts that are not as expected, in words for people."""
    return merge(expected, (), now).kept


def _merge(found: Tree, ours: Sequence[Tree], now: Tree, path: str, kept: list[str]) -> Tree:
    if not (isinstance(found, Mapping) and isinstance(now, Mapping)):
        if now == found or now in ours:
            return found
        kept.append(path)
        return now
    merged: dict[str, Tree] = {}
    for key in dict.fromkeys([*found, *now]):
        below = f"{path} {key}".strip()
        had = [tree for tree in ours if isinstance(tree, Mapping)]
        mine = [tree[key] for tree in had if key in tree]
        if key in found and key in now:
            merged[key] = _merge(found[key], mine, now[key], below, kept)
        elif key in found and len(mine) < len(had):
            merged[key] = found[key]  # we had taken it away
        elif key in found:
            kept.append(below)  # somebody else has
        elif now[key] not in mine:
            merged[key] = now[key]
            kept.append(below)
    return merged
