"""Values that a user gives, each checked to be of its kind before any work is done.

Every function takes a value's name first, as the command line has it where it has one. What is
wrong raises OptionError, which says the name, the value and what there is to give.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import TypeVar

import numpy as np

from .errors import OptionError, UserError, shown

F = TypeVar("F", bound=Callable[..., object])

LARGEST_SEED = 10**9
"""Seeds, and sums of a few of them, fit 32 bits."""
_TOO_LARGE = 10**18
"""No option has so large a value, and Python prints no integers of thousands of digits."""


def one_of(name: str, value: object, choices: Sequence[str], whose: str = "") -> str:
    """One of a few texts. ``whose`` they are, where others have more: ``" of a tiled design"``."""
    if isinstance(value, str) and value in choices:
        return choices[choices.index(value)]
    several = len(choices) > 1
    there = f"is not one of {', '.join(choices)}" if several else f"can be {choices[0]} only"
    raise OptionError(f"{name} {shown(value)}{whose} {there}")


def integer(
    name: str, value: object, low: int | None = None, high: int | None = None, unit: str = ""
) -> int:
    """An integer, one of NumPy's too, from ``low`` to ``high`` of a unit."""
    try:
        if isinstance(value, bool):
            raise TypeError
        whole = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError(f"{name} {shown(value)}: give an integer") from None
    if abs(whole) >= _TOO_LARGE:
        raise OptionError(f"{name}: give an integer of at most 18 digits")
    if low is not None and high is not None and not low <= whole <= high:
        raise OptionError(f"{name} {whole}: give {_bounds(low, high, unit)}")
    return whole


def number(name: str, value: object, low: float, high: float, unit: str) -> float:
    """A real number from ``low`` to ``high`` of a unit; integers stay integers."""
    real: float = math.nan
    if isinstance(value, Integral) and not isinstance(value, bool):
        real = index(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        real = float(value)
    if not low <= real <= high:  # NaN is nowhere
        raise OptionError(f"{name} {shown(value)}: give {_bounds(low, high, unit)}")
    return real


def truth(name: str, value: object) -> bool:
    """True or False: a text or a number is neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name} {shown(value)}: give True or False")
    return bool(value)


def function(name: str, value: F | None) -> F | None:
    """A function that is called during the work, or None."""
    if value is not None and not callable(value):
        raise OptionError(f"{name} {shown(value)}: give a function")
    return value


def path_of(step: str, value: object) -> Path:
    """The path of a file that a step of the Python API takes. Raises UserError where it is none."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise UserError(f"{step}() takes the path of a file, not {kind(value)}")
    if "\0" in text:
        raise UserError(f"{step}() takes the path of a file, which has no NUL: {shown(value)}")
    return Path(text)


def kind(value: object) -> str:
    """What a value is, for a message."""
    return "None" if value is None else f"{shown(value)} ({type(value).__name__})"


def _bounds(low: float, high: float, unit: str) -> str:
    return f"{low} to {high} {unit}".rstrip()
