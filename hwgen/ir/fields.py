"""Kinds of attributes: what each is in JSON, how it is read from there and written to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..numeric import TYPE_SCHEMA, Overflow, QType, Rounding, Scaling
from ..validation import Schema, fields, integer, list_of

_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64")
MAX_LENGTH = 1 << 24
"""Length of an axis, and of anything that is counted along one."""
_MAX_INT64 = (1 << 63) - 1


@dataclass(frozen=True)
class Codec:
    """How an attribute is read and written.

    schema : what it is in JSON. decode : makes the attribute of a value that the schema allows;
    raises ValueError, TypeError or OverflowError with the reason where a schema could not see that
    it is wrong. encode : the inverse.
    """

    schema: dict[str, Any]
    decode: Callable[[Any], Any] = lambda value: value
    encode: Callable[[Any], Any] = lambda value: value

    def read(self, value: Any) -> Any:
        """The attribute of any value. Raises UserError or ValueError."""
        Schema(self.schema).check(value)
        return self.decode(value)


@dataclass(frozen=True)
class Accumulator:
    """A given accumulator: its type, and how many products are summed exactly at a time.

    Products of one group (consecutive in kernel row, kernel column, input channel order) are
    summed exactly; then the sum is added, rounded to the accumulator's fraction by its rounding,
    and brought into range by its overflow.
    """

    type: QType
    group: int


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _pads(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    (top, bottom), (left, right) = value
    return (top, bottom), (left, right)


def _array(value: Any, integral: bool) -> np.ndarray[Any, Any]:
    if isinstance(value, dict):
        array = _packed(value)
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            raise ValueError("rows of different lengths") from None
        # NumPy takes true for 1 where there are numbers beside it.
        if bool in _types_in(value):
            raise ValueError("expected numbers, got true or false")
    if array.dtype == object or array.dtype.kind not in "iuf":
        raise ValueError("expected numbers in nested lists of equal lengths")
    if integral:
        if array.dtype.kind == "f":
            raise ValueError("expected integers, got a number with a fraction")
        if array.dtype == np.uint64 and array.size and int(array.max()) > _MAX_INT64:
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


def _types_in(value: Any) -> set[type]:
    """Types of the elements of nested lists."""
    if value and isinstance(value[0], (list, tuple)):
        return set().union(*map(_types_in, value))
    return set(map(type, value))


def _packed(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    shape = value["shape"]
    dtype = np.dtype(value["dtype"]).newbyteorder("<")
    try:
        raw = base64.b64decode(value["base64"], validate=True)
    except ValueError:
        raise ValueError("base64 text is damaged") from None
    if prod(shape) * dtype.itemsize != len(raw):
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
    low, high = value
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    return low, high


def _accumulator(value: Any) -> Accumulator:
    qtype = QType(
        signed=True,
        width=value["width"],
        frac=value["frac"],
        # Only used when the accumulator has fewer fractional bits than the products.
        rounding=value.get("rounding", Rounding.FLOOR),
        overflow=value["overflow"],
    )
    return Accumulator(qtype, value["group"])


def _encode_accumulator(acc: Accumulator) -> dict[str, Any]:
    return {
        "width": acc.type.width,
        "frac": acc.type.frac,
        "overflow": Overflow(acc.type.overflow).value,
        "rounding": Rounding(acc.type.rounding).value,
        "group": acc.group,
    }


def _encode_pads(value: Any) -> Any:
    return value if isinstance(value, str) else [list(pair) for pair in value]


def optional(codec: Codec) -> Codec:
    """The same codec, or null."""
    schema = codec.schema
    if "anyOf" in schema:
        schema = one_of(f"{schema['description']}, or null", {"type": "null"}, *schema["anyOf"])
    else:
        schema = schema | {"type": [schema["type"], "null"]}
    return Codec(
        schema,
        lambda value: None if value is None else codec.decode(value),
        lambda value: None if value is None else codec.encode(value),
    )


def one_of(described: str, *schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of what one of several describes."""
    return {"description": described, "anyOf": list(schemas)}


LENGTH = integer(1, MAX_LENGTH)
_POSITION = integer(0, MAX_LENGTH)
_TWO = {"minItems": 2, "maxItems": 2}
_PADS = list_of(list_of(_POSITION, **_TWO), **_TWO)
_PACKED = fields(
    {
        "dtype": {"enum": list(_DTYPES)},
        "shape": list_of(_POSITION),
        "base64": {"type": "string"},
    }
)
_ARRAY = one_of("nested lists of numbers, or a packed array", {"type": "array"}, _PACKED)
_WIDE = integer(-(1 << 127), (1 << 128) - 1)
"""An integer of the widest accumulator."""
_INT64 = integer(-(1 << 63), _MAX_INT64)

INT = Codec(_WIDE)
COUNT = Codec(LENGTH)
OFFSET = Codec(integer(-(1 << 32), 1 << 32))
FRAC = Codec(integer(-256, 256))
BOOL = Codec({"type": "boolean"})
PAIR = Codec(
    one_of("[rows, columns], or one number for both", LENGTH, list_of(LENGTH, **_TWO)), _pair, list
)
SHAPE = Codec(list_of(LENGTH, minItems=1), tuple, list)
START = Codec(list_of(_POSITION, minItems=1), tuple, list)
PADDING = Codec(
    one_of(
        '"valid", "same" or [[top, bottom], [left, right]]',
        {"type": "string", "enum": ["valid", "same"]},
        _PADS,
    ),
    lambda value: value if isinstance(value, str) else _pads(value),
    _encode_pads,
)
PADS = Codec(_PADS, _pads, _encode_pads)
INTS = Codec(_ARRAY, lambda value: _array(value, True), _encode_array)
REALS = Codec(_ARRAY, lambda value: _array(value, False), _encode_array)
PER_CHANNEL = Codec(
    one_of("an integer, a list with one a channel, or a packed array", _INT64, *_ARRAY["anyOf"]),
    lambda value: _array([value] if isinstance(value, int) else value, True),
    _encode_array,
)
WIDE_PER_CHANNEL = Codec(
    one_of(
        "an integer of any size, a list with one a channel, or a packed array",
        {"type": "integer"},
        *_ARRAY["anyOf"],
    ),
    lambda value: _wide_integers([value] if isinstance(value, int) else value),
    _encode_array,
)
SCALING = Codec({"enum": [rule.value for rule in Scaling]}, Scaling, lambda value: value.value)
TYPE = Codec(TYPE_SCHEMA, QType.from_json, lambda value: value.to_json())
TYPES = Codec(
    list_of(TYPE_SCHEMA, minItems=1),
    lambda value: tuple(map(QType.from_json, value)),
    lambda value: [t.to_json() for t in value],
)
CLIP = Codec(list_of(_WIDE, **_TWO), _clip, list)
ACCUMULATOR = Codec(
    # Rounding is needed where it has fewer fractional bits than the products.
    fields(
        {
            **{key: TYPE_SCHEMA["properties"][key] for key in ("width", "frac", "overflow")},
            "group": LENGTH,
            "rounding": TYPE_SCHEMA["properties"]["rounding"],
        },
        required=("width", "frac", "overflow", "group"),
    ),
    _accumulator,
    _encode_accumulator,
)
