"""A host put back without undoing what a person has done since: three snapshots merged.

A snapshot is JSON; nothing else is known of it here, so this serves every kind of host. Of every
part (a leaf of the tree) three values tell whose it is: as found, as we set it, as it is now. What
is neither as found nor as we ever set it is somebody else's, and stays.

A list of numbers, such as cores, is one value. Any other is a table, whose entries come and go one
by one: a change or an undo that was cut off leaves some of each, and so does a watcher that takes
back what is no longer true. Such a table is ours, too. Tables beside each other rely on each other
(a bridge's redirects on its static addresses), so they are ours together or not at all.
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


def merge(found: bytes, ours: Sequence[bytes], now: bytes, *, halves: bool = True) -> Merged:
    """The snapshot ``found``, with those parts of ``now`` that are not in any of ``ours``.

    Without ``halves``, tables that are partly as found and partly as in ``ours`` are not ours.
    Raises HostError for what is no snapshot.
    """
    if now == found:
        return Merged(snapshot=found)
    kept: list[str] = []
    trees = [_tree(snapshot) for snapshot in ours]
    tree = _merge(_tree(found), trees, _tree(now), "", kept, halves=halves)
    if not kept:
        return Merged(snapshot=found)
    # a host's state is what is "now", which goes without saying, and what is "kept" on file
    parts = tuple(part.removeprefix("now ") for part in kept)
    return Merged(snapshot=msgspec.json.encode(tree), kept=parts)


def same(one: bytes, other: bytes) -> bool:
    """Whether two snapshots say the same, in whatever order."""
    return one == other or _tree(one) == _tree(other)


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


def _merge(
    found: Tree, ours: Sequence[Tree], now: Tree, path: str, kept: list[str], *, halves: bool
) -> Tree:
    if not (isinstance(found, Mapping) and isinstance(now, Mapping)):
        if now == found or now in ours:
            return found
        kept.append(path)
        return now
    had = [tree for tree in ours if isinstance(tree, Mapping)]
    mine = {key: [tree[key] for tree in had if key in tree] for key in {**found, **now}}
    half_done = halves and _half_done(found, mine, now)
    merged: dict[str, Tree] = {}
    for key, values in mine.items():
        below = f"{path} {key}".strip()
        if key in found and key in now:
            if half_done and _is_table(found[key]) and _is_table(now[key]):
                merged[key] = found[key]
            else:
                merged[key] = _merge(found[key], values, now[key], below, kept, halves=halves)
        elif key in found and len(values) < len(had):
            merged[key] = found[key]  # we had taken it away
        elif key in found:
            kept.append(f"{below} (gone)")
        elif now[key] not in values:
            merged[key] = now[key]
            kept.append(f"{below} (new)")
    return merged


def _half_done(
    found: Mapping[str, Tree], ours: Mapping[str, Sequence[Tree]], now: Mapping[str, Tree]
) -> bool:
    """Whether tables hold only what was found or set by us, and lack only what we took away."""
    for key in found.keys() & now.keys():
        if not (_is_table(found[key]) and _is_table(now[key])):
            continue
        mine = [table for table in ours[key] if _is_table(table)]
        if now[key] in (found[key], *mine):
            continue
        gone = [entry for entry in found[key] if entry not in now[key]]
        known = [*found[key], *(entry for table in mine for entry in table)]
        if any(entry not in known for entry in now[key]):
            return False
        if any(all(entry in table for table in mine) for entry in gone):
            return False
    return True


def _is_table(tree: Tree) -> bool:
    return isinstance(tree, list) and not any(isinstance(entry, int | float) for entry in tree)
