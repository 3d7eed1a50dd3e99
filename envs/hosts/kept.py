"""What a host keeps on file while it is changed, so that the way back is exact.

A setting does not tell everything that a backend touches (an emulator's threads, a bridge's
entries). What was found is therefore filed on the host while anything of it is another, and what is
reserved with it, which nothing else there would tell.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Generic, TypeVar

import msgspec

from envs.errors import HostError, InputError
from envs.host import Record, from_json
from envs.hosts.change import Change, Command
from envs.hosts.linux import CoreId, as_list
from envs.hosts.transport import replace_file

V = TypeVar("V")
R = TypeVar("R", bound=Record)


class Kept(Record, Generic[V], frozen=True):
    """The values as found, and the side-cores that are reserved."""

    found: V
    side_cores: tuple[CoreId, ...] = ()


def filed(path: str, before: Kept[V] | None, after: Kept[V] | None) -> Iterator[Change]:
    """The change of the file at ``path``, if there is any."""
    if before != after:
        reserved = [kept.side_cores if kept else () for kept in (before, after)]
        yield Change(
            knob="placement" if reserved[0] == reserved[1] else "side_cores",
            subject="side-cores and the state as found",
            before=_told(before),
            after=_told(after),
            do=file(path, after),
            undo=file(path, before),
        )


def file(path: str, kept: Kept[V] | None) -> tuple[Command, ...]:
    """The commands that make the file at ``path`` hold ``kept``, or be gone for None."""
    if kept is None:
        return (("rm", "-f", "--", path),)
    text = msgspec.json.encode(kept, order="deterministic").decode()
    folder = str(PurePosixPath(path).parent)
    return (("mkdir", "-p", "-m", "0700", "--", folder), replace_file(path, text))


def on_file(path: str, text: str, kind: type[R]) -> R:
    """The record in the text of a file on the host. Raises HostError for anything else."""
    try:
        return from_json(text.encode(), kind)
    except InputError as error:
        raise HostError(f"{path} on the host cannot be read: {error}") from error


def _told(kept: Kept[V] | None) -> str:
    if kept is None:
        return "not kept"
    return f"kept; reserved {as_list(kept.side_cores) or 'none'}"
