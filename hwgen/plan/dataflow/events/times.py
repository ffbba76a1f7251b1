"""Lists of event times in one memory, for compiled code.

A list is known by the place of its number of entries, which the entries follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numba.np import arrayobj

Words = np.ndarray[Any, Any]
"""Arrays of int64."""
Pointer = Any
"""The address of int64 words. Arrays would count their users at every call of a compiled function,
which takes longer than a recurrence does."""


def compiled(function: Any) -> Any:
    """Compiled by Numba; kept for later runs where some folder can be written."""
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache
        return njit(function)


def inlined(function: Any) -> Any:
    """Compiled into each caller: a call would take longer than what is done in it."""
    return njit(forceinline=True)(function)


def _address(_: Any, array: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
        return made.data

    return types.CPointer(types.int64)(array), generate


address: Any = intrinsic(_address)
"""The address of an array's first word, in compiled code."""


@inlined
def count(m: Pointer, times: int) -> int:
    """Entries of a list."""
    return m[times]


@inlined
def at(m: Pointer, times: int, n: int) -> int:
    """Entry n of a list."""
    return m[times + 1 + n]


@inlined
def last(m: Pointer, times: int) -> int:
    """The last entry of a list, -1 where it has none."""
    return m[times + m[times]] if m[times] else -1


@inlined
def add(m: Pointer, times: int, time: int) -> None:
    """Append to a list."""
    m[times] += 1
    m[times + m[times]] = time
