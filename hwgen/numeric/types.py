"""Fixed-point types: what an integer on an edge means.

Modes and their meaning follow ac_fixed, the algorithmic C types (AC Datatypes reference
manual, sections "Quantization and Overflow"); the names are this project's own because
"round half up" means three different things in this field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..validation import fields, integer

MAX_TENSOR_WIDTH = 32
"""Widest type of a tensor that is stored or streamed; only accumulators may be wider."""

_MAX_WIDTH = 128
_MAX_FRAC = 256


class Rounding(StrEnum):
    """How a value between two representable ones is resolved. ac_fixed's name in brackets."""

    FLOOR = "floor"
    """toward minus infinity (AC_TRN)"""
    CEIL = "ceil"
    """toward plus infinity"""
    TO_ZERO = "to_zero"
    """toward zero (AC_TRN_ZERO)"""
    FROM_ZERO = "from_zero"
    """away from zero"""
    HALF_UP = "half_up"
    """nearest, ties toward plus infinity (AC_RND)"""
    HALF_DOWN = "half_down"
    """nearest, ties toward minus infinity (AC_RND_MIN_INF)"""
    HALF_TO_ZERO = "half_to_zero"
    """nearest, ties toward zero (AC_RND_ZERO)"""
    HALF_AWAY = "half_away"
    """nearest, ties away from zero (AC_RND_INF)"""
    HALF_EVEN = "half_even"
    """nearest, ties to the even integer, convergent (AC_RND_CONV)"""
    HALF_ODD = "half_odd"
    """nearest, ties to the odd integer (AC_RND_CONV_ODD)"""


class Overflow(StrEnum):
    """What becomes of a value outside the range of its type. ac_fixed's name in brackets."""

    WRAP = "wrap"
    """keep the low bits (AC_WRAP)"""
    SATURATE = "saturate"
    """the nearest representable value (AC_SAT)"""
    SATURATE_ZERO = "saturate_zero"
    """zero (AC_SAT_ZERO)"""
    SATURATE_SYMMETRIC = "saturate_symmetric"
    """as saturate, with the lower bound -max when signed (AC_SAT_SYM)"""


@dataclass(frozen=True)
class QType:
    """The type of a quantized tensor.

    Parameters
    ----------
    signed : two's complement if true.
    width : bits, 1 to 32 for tensors, more for accumulators.
    frac : fractional bits, any integer; the least significant bit weighs ``2**-frac``.
    rounding, overflow : always stated; there are no defaults.
    scale : instead of ``frac`` (then 0), the weight of the least significant bit: one number,
        or a tuple with one a channel.
    zero_point : the integer that means zero; only together with ``scale``.

    Raises ValueError when a parameter is out of range.
    """

    signed: bool
    width: int
    frac: int
    rounding: Rounding
    overflow: Overflow
    scale: float | tuple[float, ...] | None = None
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.width <= _MAX_WIDTH:
            raise ValueError(f"width {self.width} is outside 1..{_MAX_WIDTH}")
        if not -_MAX_FRAC <= self.frac <= _MAX_FRAC:
            raise ValueError(f"frac {self.frac} is outside -{_MAX_FRAC}..{_MAX_FRAC}")
        object.__setattr__(self, "rounding", Rounding(self.rounding))
        object.__setattr__(self, "overflow", Overflow(self.overflow))
        if self.scale is None:
            if self.zero_point:
                raise ValueError("a zero_point needs a scale")
            return
        if self.frac:
            raise ValueError("a type has a frac or a scale, not both")
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        if not scales or not all(0.0 < s < float("inf") for s in scales):
            raise ValueError("every scale must be positive and finite")
        if not self.min <= self.zero_point <= self.max:
            raise ValueError(f"zero_point {self.zero_point} is outside {self.min}..{self.max}")

    @property
    def min(self) -> int:
        """Smallest integer of the bit pattern."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest integer of the bit pattern."""
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def low(self) -> int:
        """Smallest integer that overflow handling lets through."""
        if self.overflow is Overflow.SATURATE_SYMMETRIC and self.signed:
            return -self.max
        return self.min

    def __str__(self) -> str:
        """As JSON files of reports have it; people read ``type_text``."""
        sign = "s" if self.signed else "u"
        if self.scale is None:
            return f"{sign}{self.width}.{self.frac}"
        per = "channel" if isinstance(self.scale, tuple) else f"{self.scale:g}"
        return f"{sign}{self.width}*{per}" + (f"+{self.zero_point}" if self.zero_point else "")

    def to_json(self) -> dict[str, Any]:
        """The type as a JSON object; ``from_json`` is its inverse."""
        out: dict[str, Any] = {"signed": self.signed, "width": self.width}
        if self.scale is None:
            out["frac"] = self.frac
        else:
            out["scale"] = list(self.scale) if isinstance(self.scale, tuple) else self.scale
            out["zero_point"] = self.zero_point
        out["rounding"] = self.rounding.value
        out["overflow"] = self.overflow.value
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> QType:
        """Read what ``to_json`` wrote.

        obj : an object that ``TYPE_SCHEMA`` allows.
        Raises ValueError for what a schema does not say: parameters that do not go together.
        """
        if ("frac" in obj) == ("scale" in obj):
            raise ValueError("give either frac or scale")
        return cls(
            signed=obj["signed"],
            width=obj["width"],
            frac=obj.get("frac", 0),
            rounding=obj["rounding"],
            overflow=obj["overflow"],
            scale=_scale(obj["scale"]) if "scale" in obj else None,
            zero_point=obj.get("zero_point", 0),
        )


TYPE_SCHEMA = fields(
    {
        "signed": {"type": "boolean"},
        "width": integer(1, _MAX_WIDTH),
        "frac": integer(-_MAX_FRAC, _MAX_FRAC),
        # One a channel in a list, which may be long: see _scale.
        "scale": {"type": ["number", "array"]},
        "zero_point": integer(-(1 << (_MAX_WIDTH - 1)), (1 << _MAX_WIDTH) - 1),
        "rounding": {"enum": [mode.value for mode in Rounding]},
        "overflow": {"enum": [mode.value for mode in Overflow]},
    },
    required=("signed", "width", "rounding", "overflow"),
)
"""A type in a JSON file. There are no defaults."""


def _scale(value: Any) -> float | tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(s, (int, float)) and not isinstance(s, bool) for s in numbers):
        raise ValueError("scale must be a number or a list of numbers")
    try:
        scales = tuple(float(s) for s in numbers)
    except OverflowError:
        raise ValueError("every scale must be positive and finite") from None
    return scales if isinstance(value, list) else scales[0]


def type_text(qtype: QType, digits: int = 3) -> str:
    """A type as a person reads it: ``s8, scale 0.0394, zero -128``; fixed point as ``u8.7``.

    digits : of the scale.
    """
    if qtype.scale is None:
        return str(qtype)
    sign, several = "s" if qtype.signed else "u", isinstance(qtype.scale, tuple)
    scale = "a scale a channel" if several else f"scale {qtype.scale:.{digits}g}"
    zero = f", zero {qtype.zero_point}" if qtype.zero_point else ""
    return f"{sign}{qtype.width}, {scale}{zero}"


def parse_type(text: str) -> QType:
    """Read the short form of the command line: ``u8.8``, ``s8.4``, ``s8.-1``.

    The letter is the sign, then width, then fractional bits. A type written so rounds half to
    even and saturates, as the quantizers of QKeras do.
    """
    match = re.fullmatch(r"([us])([0-9]+)\.(-?[0-9]+)", text.strip())
    if match is None:
        raise ValueError(
            f"type {text!r} is not understood; write u8.8 (unsigned, 8 bits, 8 of them "
            "fractional) or s8.4"
        )
    width, frac = int(match[2]), int(match[3])
    if not 1 <= width <= MAX_TENSOR_WIDTH:
        raise ValueError(f"type {text!r}: width {width} is outside 1..{MAX_TENSOR_WIDTH}")
    return QType(match[1] == "s", width, frac, Rounding.HALF_EVEN, Overflow.SATURATE)


def type_for_range(low: int, high: int, frac: int = 0) -> QType:
    """The narrowest type that holds every integer in ``low..high``, so that it never overflows.

    Such a type is exact: its rounding and overflow are never exercised (stated as floor, wrap).
    """
    if low > high:
        raise ValueError(f"empty range {low}..{high}")
    signed = low < 0
    width = max(max(high, 0).bit_length() + signed, (~low).bit_length() + 1 if signed else 1, 1)
    return QType(signed, width, frac, Rounding.FLOOR, Overflow.WRAP)
