"""How the engine is compiled: all of it into one entry point, which is kept on disk.

Numba keeps a compiled function until the file that *it* is in changes, and does not look at the
files of the functions that it calls. So only the entry point is kept, everything that it calls
being compiled into it, and it is made a closure over a digest of all sources here: a closure's
values are part of what Numba looks it up by.

Almost every call is inlined (``compiled``): the functions are small and share one record, so that
most of what a call would cost is saving registers and loading again what the caller had loaded
(1.6 times faster). The exception (``called``) is what is long and called from many places: inlined
everywhere, it would drive the rest of the engine out of the instruction cache.

An index into a table of a state is never counted from the end, so our functions are compiled
without Numba's check for that (1.2 times faster); it stays in the functions of other packages.
"""

import operator
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

from numba import njit, types
from numba.core import cgutils
from numba.core.cgutils import true_bit
from numba.extending import intrinsic, lower_builtin
from numba.np import arrayobj

_Numba: TypeAlias = Any  # what Numba and LLVM hand around has no types
checked_get: _Numba = arrayobj.getitem_arraynd_intp
checked_set: _Numba = arrayobj.setitem_array
lowers: _Numba = lower_builtin
item_pointer: _Numba = cgutils.get_item_pointer

PACKAGE = "envs3sim"
"""How this package is called in the names of compiled functions."""

compiled = njit(nogil=True, error_model="numpy", forceinline=True)
called = njit(nogil=True, error_model="numpy")
kept = njit(nogil=True, error_model="numpy", cache=True)


@intrinsic
def _lowest(_context: _Numba, _bits: _Numba) -> tuple[_Numba, Callable[..., _Numba]]:
    def emit(_context: _Numba, builder: _Numba, _signature: _Numba, arguments: _Numba) -> _Numba:
        return builder.cttz(arguments[0], true_bit)

    return types.int64(types.int64), emit


lowest = cast("Callable[[int], int]", _lowest)
"""The index of the lowest bit of a set that is not empty: one instruction, when compiled."""


@intrinsic
def _bits(_context: _Numba, _value: _Numba) -> tuple[_Numba, Callable[..., _Numba]]:
    def emit(_context: _Numba, builder: _Numba, signature: _Numba, arguments: _Numba) -> _Numba:
        return builder.bitcast(arguments[0], _context.get_value_type(signature.return_type))

    return types.int64(types.float64), emit


bits = cast("Callable[[float], int]", _bits)
"""The bits of a float: its exponent, and below it the 52 of its mantissa."""


@lowers(operator.getitem, types.NestedArray, types.Integer)
def _item(context: _Numba, builder: _Numba, signature: _Numba, arguments: _Numba) -> _Numba:
    """An item of a table in a record, in our functions without looking at the index's sign."""
    if PACKAGE not in builder.function.name:
        return checked_get(context, builder, signature, arguments)
    kind = signature.args[0]
    return context.unpack_value(builder, kind.dtype, _place(context, builder, kind, arguments))


@lowers(operator.setitem, types.NestedArray, types.Integer, types.Any)
def _set_item(context: _Numba, builder: _Numba, signature: _Numba, arguments: _Numba) -> _Numba:
    """Set an item of a table in a record, likewise."""
    if PACKAGE not in builder.function.name:
        return checked_set(context, builder, signature, arguments)
    kind, _, given = signature.args
    value = context.cast(builder, arguments[2], given, kind.dtype)
    context.pack_value(builder, kind.dtype, value, _place(context, builder, kind, arguments))
    return context.get_dummy_value()


def _place(context: _Numba, builder: _Numba, kind: _Numba, arguments: _Numba) -> _Numba:
    table = context.make_array(kind)(context, builder, arguments[0])
    return item_pointer(context, builder, kind, table, [arguments[1]], wraparound=False)


def digest(folder: Path = Path(__file__).parent, value: int = 0) -> int:
    """A checksum of a package's sources, this one's if none is given, and of ``value``."""
    for file in sorted(folder.glob("*.py")):
        value = zlib.crc32(file.read_bytes(), value)
    return value
