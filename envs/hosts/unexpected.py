"""Text that is not what it should be: one error for every parser, and what numbers and JSON may be.

What is read here was printed by another program, perhaps of a version that nobody has seen, and may
have been cut off on its way. A parser takes what it knows the form of; all else is an error that
names who printed it. Nothing is guessed, and no other exception leaves a parser.
"""

import re
from typing import TypeVar

import msgspec

from envs.errors import HostError

T = TypeVar("T")

_NUMBER = re.compile(r"[0-9]{1,20}")
"""The largest that a kernel prints is 2**64 - 1."""


def unexpected(source: str, what: str) -> HostError:
    """The error about a part of what a command printed, or a file held, that cannot be read."""
    return HostError(f"{source} printed something unexpected: {what!r:.80}")


def natural(source: str, text: str) -> int:
    """A number from nought, in digits alone. Raises HostError for anything else."""
    if not _NUMBER.fullmatch(text):
        raise unexpected(source, text)
    return int(text)


def decoded(source: str, text: str, kind: type[T]) -> T:
    """JSON as a value of some kind. Raises HostError for anything else."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise unexpected(source, str(error)) from error
