"""Files that a person gives us: read up to a size, and told apart from what they should be.

Nothing in them is trusted: they may be damaged, hostile, or a device that never ends.
"""

import tomllib
from pathlib import Path
from typing import Any

from envs.errors import InputError

LARGEST = 1_000_000
"""Bytes of a list, a setting or a configuration; those of people have some thousand."""


def read(path: Path) -> bytes:
    """The bytes of a file. Raises InputError where it cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise InputError(f"{str(path)!r} is no path: {error}") from error
    if len(data) > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST} bytes: this cannot be what you mean")
    return data


def text(path: Path) -> str:
    """The text of a file in UTF-8. Raises InputError as ``read`` does, and for what is no text."""
    try:
        return read(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text: {error}") from error


def toml(document: str, where: str) -> dict[str, Any]:
    """A TOML document. Raises InputError that begins with ``where``."""
    try:
        return tomllib.loads(document)
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        raise InputError(f"{where}: not TOML: {error}") from error
