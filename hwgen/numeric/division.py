"""Division that counts parts."""

from __future__ import annotations

from typing import Any, overload

import numpy as np


@overload
def ceil_div(length: int, step: int) -> int: ...
@overload
def ceil_div(length: np.ndarray[Any, Any], step: Any) -> np.ndarray[Any, Any]: ...
@overload
def ceil_div(length: int, step: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
def ceil_div(length: Any, step: Any) -> Any:
    """How many steps cover a length, the last one perhaps in part: beats of so many lanes, say.

    Both are integers or arrays of them.
    """
    return -(-length // step)
