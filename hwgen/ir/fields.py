"""Kinds of attributes: how each is checked, read from JSON and written to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..numeric import Overflow, QType, Rounding, Scaling

_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64")


@dataclass(frozen=True)
class Codec:
    """How an attribute is read and written.

    doc : one line. decode : raises ValueError with the reason.
    """

    doc: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Accumulator:
    """A given accumulator: its type, and how many products are summed exactly at a time.

    Products of one group (consecutive in kernel row, kernel column, input channel order) are
    summed exactly; then the sum is added, rounded to the accumulator's fraction by its rounding,
    and brought into range by its overflow.
    """

    type: QType
    group: int


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, got {value!r}")
    return value


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value, value]
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"expected [rows, columns], got {value!r}")
    pair = (_int(value[0]), _int(value[1]))
    if min(pair) < 1:
        raise ValueError(f"expected numbers of at least 1, got {value!r}")
    return pair


def _padding(value: Any) -> Any:
    if value in ("valid", "same"):
        return value
    return _pads(value, '"valid", "same" or ')


def _pads(value: Any, others: str = "") -> tuple[tuple[int, int], tuple[int, int]]:
    try:
        (top, bottom), (left, right) = value
        pads = ((_int(top), _int(bottom)), (_int(left), _int(right)))
    except (TypeError, ValueError):
        raise ValueError(
            f"expected {others}[[top, bottom], [left, right]], got {value!r}"
        ) from None
    if min(min(p) for p in pads) < 0:
        raise ValueError(f"padding must not be negative, got {value!r}")
    return pads


def _array(value: Any, integral: bool) -> np.ndarray[Any, Any]:
    if isinstance(value, dict):
        array = _packed(value)
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            raise ValueError("rows of different lengths") from None
    if array.dtype == object or array.dtype.kind not in "iuf":
        raise ValueError("expected numbers in nested lists of equal lengths")
    if integral:
        if array.dtype.kind == "f":
            raise ValueError("expected integers, got a number with a fraction")
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{int(array.max())} does not fit in 64 bits with a sign")
        return array.astype(np.int64)
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError("NaN or infinity among the values")
    return array


def _wide_integers(value: Any) -> np.ndarray[Any, Any]:
    """A list of integers of any size: int64 if all fit, else Python integers."""
    listed = isinstance(value, list) and all(type(v) is int for v in value)
    if listed and any(not -(1 << 63) <= v < 1 << 63 for v in value):
        return np.array(value, object)
    return _array(value, True)


def _packed(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    if set(value) != {"dtype", "shape", "base64"}:
        raise ValueError("a packed array has the keys dtype, shape, base64")
    if value["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {value['dtype']!r} is not one of {', '.join(_DTYPES)}")
    shape = [_int(n) for n in value["shape"]]
    dtype = np.dtype(value["dtype"]).newbyteorder("<")
    try:
        raw = base64.b64decode(value["base64"], validate=True)
    except (ValueError, TypeError):
        raise ValueError("base64 text is damaged") from None
    if any(n < 0 for n in shape) or prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw)} bytes do not fill shape {shape} of {value['dtype']}")
    return np.frombuffer(raw, dtype).reshape(shape)


_INLINE = 64
"""Arrays of up to so many elements are written as lists, for the reader's sake."""


def _encode_array(array: np.ndarray[Any, Any]) -> Any:
    if array.size <= _INLINE:
        return array.tolist()
    if array.dtype.kind in "iu":
        low, high = int(array.min()), int(array.max())
        fits = (t for t in _DTYPES[:6] if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
        dtype = np.dtype(next(fits)).newbyteorder("<")
    elif array.dtype == object:
        return array.tolist()
    else:
        dtype = np.dtype("<f8")
    return {
        "dtype": dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii"),
    }


def _clip(value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"expected [low, high], got {value!r}")
    low, high = _int(value[0]), _int(value[1])
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    return low, high


def _accumulator(value: Any) -> Accumulator:
    keys = {"width", "frac", "overflow", "group", "rounding"}
    if not isinstance(value, dict) or set(value) - keys or keys - {"rounding"} - set(value):
        raise ValueError("an accumulator has width, frac, overflow, group (and rounding)")
    qtype = QType.from_json(
        {
            "signed": True,
            "width": value["width"],
            "frac": value["frac"],
            # Only used when the accumulator has fewer fractional bits than the products.
            "rounding": value.get("rounding", Rounding.FLOOR.value),
            "overflow": value["overflow"],
        }
    )
    group = _int(value["group"])
    if group < 1:
        raise ValueError(f"group must be at least 1, got {group}")
    return Accumulator(qtype, group)


def _encode_accumulator(acc: Accumulator) -> dict[str, Any]:
    return {
        "width": acc.type.width,
        "frac": acc.type.frac,
        "overflow": Overflow(acc.type.overflow).value,
        "rounding": Rounding(acc.type.rounding).value,
        "group": acc.group,
    }


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"expected a list of lengths, got {value!r}")
    shape = tuple(_int(n) for n in value)
    if min(shape) < 1:
        raise ValueError(f"every length must be at least 1, got {list(shape)}")
    return shape


def _start(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"expected a list of positions, got {value!r}")
    start = tuple(_int(n) for n in value)
    if min(start) < 0:
        raise ValueError(f"positions count from 0, got {list(start)}")
    return start


def _types(value: Any) -> tuple[QType, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"expected a list of types, got {value!r}")
    return tuple(QType.from_json(item) for item in value)


def optional(codec: Codec) -> Codec:
    """The same codec, or null."""
    return Codec(
        f"{codec.doc}, or null",
        lambda value: None if value is None else codec.decode(value),
        lambda value: None if value is None else codec.encode(value),
    )


INT = Codec("integer", _int)
REAL = Codec("number", _real)
BOOL = Codec("true or false", _bool)
PAIR = Codec("[rows, columns], or one number for both", _pair, list)
SHAPE = Codec("list of lengths", _shape, list)
START = Codec("list of positions, from 0", _start, list)
PADDING = Codec(
    '"valid", "same" or [[top, bottom], [left, right]]',
    _padding,
    lambda value: value if isinstance(value, str) else [list(p) for p in value],
)
PADS = Codec("[[top, bottom], [left, right]]", _pads, lambda value: [list(p) for p in value])
INTS = Codec("integers, nested lists or packed", lambda v: _array(v, True), _encode_array)
WIDE_INTS = Codec("integers of any size, a list or packed", _wide_integers, _encode_array)
REALS = Codec("numbers, nested lists or packed", lambda v: _array(v, False), _encode_array)
SCALING = Codec(
    f"one of {', '.join(rule.value for rule in Scaling)}", Scaling, lambda value: value.value
)
TYPE = Codec("type object", QType.from_json, lambda value: value.to_json())
TYPES = Codec("list of type objects", _types, lambda value: [t.to_json() for t in value])
CLIP = Codec("[low, high]", _clip, list)
ACCUMULATOR = Codec(
    "{width, frac, overflow, group} and, with fewer fractional bits than the products, rounding",
    _accumulator,
    _encode_accumulator,
)
