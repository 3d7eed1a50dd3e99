"""A host put back without undoing what a person has done since: three snapshots merged.

A snapshot is JSON; nothing else is known of it here, so this serves every kind of host. Of every
part (a leaf of the tree) three values tell whose it is: as found, as we set it, as it is now. What
is neither as found nor as we ever set it is somebody else's, and stays.

A list of numbers, such as cores, is one part. Any other list, such as the entries of a table, is a
set, in the order in which its host sorts it, and each of its members is a part: one that we set
goes and one that we took away comes back, even where we were cut off after some of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from envs.errors import HostError
from envs.host import Record

Tree = Any
"""What JSON holds."""


class Merged(Record, frozen=True):
    """``snapshot`` is what to restore; ``kept`` names the parts that are somebody else's."""

    snapshot: bytes
    kept: tuple[str, ...] = ()


def merge(found: bytes, ours: Sequence[bytes], now: bytes) -> Merged:
    """The snapshot ``found``, with those parts of ``now`` that are not in any of ``ours``.

    Raises HostError for what is no snapshot.
    """
    if now == found:
        return Merged(snapshot=found)
    kept: list[str] = []
    trees = [_tree(snapshot) for snapshot in ours]
    tree = _merge(_tree(found), trees, _tree(now), "", kept)
    if not kept:
        return Merged(snapshot=found)
    return Merged(snapshot=msgspec.json.encode(tree), kept=tuple(kept))


def same(one: bytes, other: bytes) -> bool:
    """Whether two snapshots say the same, in whatever order."""
    return one == other or not changed(one, other)


def changed(expected: bytes, now: bytes) -> tuple[str, ...]:
    """The parts that are not as expected, in words for people."""
    return merge(expected, (), now).kept


def _tree(snapshot: bytes) -> Tree:
    try:
        return msgspec.json.decode(snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HostError(f"a snapshot in the journal is damaged: {error}") from error


def missed(expected: bytes, now: bytes) -> tuple[str, ...]:
    """The parts that are there but not as expected, in words for people.

    A guest that is gone cannot be put back, and one that is new has no state to be put back to.
    """
    tree, there = _tree(expected), _tree(now)
    return changed(*(msgspec.json.encode(part) for part in (_in(there, tree), _in(tree, there))))


def _in(other: Tree, tree: Tree) -> Tree:
    """A tree without the parts that another does not have."""
    if not (isinstance(tree, Mapping) and isinstance(other, Mapping)):
        return tree
    return {key: _in(other[key], value) for key, value in tree.items() if key in other}


def _merge(found: Tree, ours: Sequence[Tree], now: Tree, path: str, kept: list[str]) -> Tree:
    if not (isinstance(found, Mapping) and isinstance(now, Mapping)):
        if now == found or now in ours:
            return found
        if _is_set(found) and _is_set(now):
            return _merge_sets(found, [tree for tree in ours if _is_set(tree)], now, path, kept)
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


def _is_set(tree: Tree) -> bool:
    return isinstance(tree, list) and not any(isinstance(part, int | float) for part in tree)


def _merge_sets(
    found: list[Tree], ours: Sequence[list[Tree]], now: list[Tree], path: str, kept: list[str]
) -> list[Tree]:
    """Their members that are as found, and those that somebody else has put there."""
    gone = [part for part in found if part not in now and all(part in mine for mine in ours)]
    new = [part for part in now if part not in found and not any(part in mine for mine in ours)]
    if not gone and not new:
        return found
    kept.append(path)
    return sorted([part for part in found if part not in gone] + new, key=_in_order)


def _in_order(part: Tree) -> Tree:
    """What hosts sort by: a record by its fields in their order."""
    return list(part.values()) if isinstance(part, Mapping) else part
