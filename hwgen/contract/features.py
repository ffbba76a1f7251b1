"""What an engine can be built without, and what asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from .isa import Operand, Reduction, Round


class Feature(StrEnum):
    """A part of every tile unit that networks may do without."""

    SOFTMAX = "softmax"
    """A softmax over channels. It reads the second operand, and its exponentials from a table."""
    PRODUCT = "product"
    """Products of two tensors: a multiplier before each requantizer."""
    SECOND = "second"
    """The second operand: sums of tensors, products of tensors, softmax."""
    TABLES = "tables"
    """The two tables behind the requantizers: functions of a byte, sums of tensors."""
    MAXPOOL = "maxpool"
    """The largest value instead of a sum."""
    WINDOW = "window"
    """A window of 3 x 3 a cycle for depthwise layers; without it a tap a cycle."""
    TAP_ROWS = "tap_rows"
    """Steps that take values of several rows; without them steps take those of one."""
    WIDE = "wide"
    """Results of 32 bits."""
    FLOAT = "float"
    """Rounding as float32 does: ONNX Runtime, XNNPACK."""
    DOUBLE = "double"
    """Two roundings in a row, as TensorFlow Lite Micro's."""


_ASKED: dict[Feature, Callable[[Any], Any]] = {
    Feature.SOFTMAX: lambda d: d["softmax"],
    Feature.PRODUCT: lambda d: d["product"],
    Feature.SECOND: lambda d: d["second"],
    Feature.TABLES: lambda d: d["tables"],
    Feature.MAXPOOL: lambda d: d["reduction"] == Reduction.MAX,
    Feature.WINDOW: lambda d: d["operand"] == Operand.DEPTHWISE_WINDOW,
    Feature.TAP_ROWS: lambda d: d["tap_rows"] != 0,
    Feature.WIDE: lambda d: d["wide"],
    Feature.FLOAT: lambda d: d["rounding"] == Round.FLOAT,
    Feature.DOUBLE: lambda d: d["rounding"] == Round.DOUBLE,
}
_PARTS = {
    Feature.SOFTMAX: (Feature.SECOND, Feature.TABLES),
    Feature.PRODUCT: (Feature.SECOND,),
}
"""What a feature takes others for."""


def asks(descriptor: Any, feature: Feature) -> Any:
    """Whether a COMPUTE descriptor asks for a feature: a number, or a bit of hardware.

    descriptor : the values of its fields by their names, or a view of them in hardware. A softmax
    asks for itself alone (see ``with_parts``).
    """
    return _ASKED[feature](descriptor)


def with_parts(needed: Iterable[Feature]) -> set[Feature]:
    """These features, and those that they are made of."""
    given = set(needed)
    return given.union(*(_PARTS.get(feature, ()) for feature in given))


def left_out(given: Iterable[str]) -> tuple[Feature, ...]:
    """All that an engine lacks that is built without these features: those that are made of them
    too, and a second operand that nothing reads. Raises ValueError for what is no feature."""
    gone = {Feature(name) for name in given}
    gone |= {whole for whole, parts in _PARTS.items() if gone.intersection(parts)}
    if {Feature.PRODUCT, Feature.TABLES} <= gone:
        gone.add(Feature.SECOND)
    return tuple(feature for feature in Feature if feature in gone)
