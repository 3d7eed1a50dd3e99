"""How the engine is compiled: all of it into one entry point, which is kept on disk.

Numba keeps a compiled function until the file that *it* is in changes, and does not look at the
files of the functions that it calls. So only the entry point is kept, everything that it calls
being compiled into it, and it is made a closure over a digest of all sources here: a closure's
values are part of what Numba looks it up by.

Every call is inlined: the functions are small and share one record, so that most of what a call
would cost is saving registers and loading again what the caller had loaded (1.6 times faster).
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from numba import njit, types
from numba.core.cgutils import true_bit
from numba.extending import intrinsic

compiled = njit(nogil=True, error_model="numpy", forceinline=True)
kept = njit(nogil=True, error_model="numpy", cache=True)


@intrinsic
def _lowest(_context: object, _bits: object) -> tuple[object, Callable[..., object]]:
    def emit(_context: object, builder: Any, _signature: object, arguments: Any) -> object:  # noqa: ANN401 - LLVM's
        return builder.cttz(arguments[0], true_bit)

    return types.int64(types.int64), emit


lowest = cast("Callable[[int], int]", _lowest)
"""The index of the lowest bit of a set that is not empty: one instruction, when compiled."""


def digest() -> int:
    """A checksum of this package's sources."""
    value = 0
    for file in sorted(Path(__file__).parent.glob("*.py")):
        value = zlib.crc32(file.read_bytes(), value)
    return value
