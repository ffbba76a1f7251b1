"""Records of descriptors as hardware sees them."""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from ....contract.engine import EngineShape
from ....contract.features import Feature
from ....contract.isa import COMPUTE, OUTPUT_LEVELS, Record


def layout(record: Record, only: Iterable[str] | None = None) -> data.StructLayout:
    """The record's fields in order, the first at the least significant end.

    Bits behind the last field, if any, are the field ``reserved``: the size is the record's.
    ``only`` : these fields alone, still in the record's order: what a unit keeps of a descriptor.
    """
    kept = None if only is None else set(only)
    unknown = (kept or set()) - {field.name for field in record.fields}
    if unknown:
        raise ValueError(f"{record.name} has no field {sorted(unknown)[0]!r}")
    members = {
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in record.fields
        if kept is None or field.name in kept
    }
    rest = record.size - sum(field.width for field in record.fields)
    if kept is None and rest:
        members["reserved"] = unsigned(rest)
    return data.StructLayout(members)


RESULT = layout(
    COMPUTE,
    (
        *("parameter", "one_word", "rounding", "offset", "low", "high", "wide", "lanes", "groups"),
        *(
            f"out{n}_{field}"
            for n in range(OUTPUT_LEVELS)
            for field in ("group", "count", "position", "row", "second")
        ),
        *(f"y_{field}" for field in ("base", "pitch", "ring", "first")),
        *("tables", "second"),
        *(f"second_{field}" for field in ("base", "pitch", "ring", "first")),
        *(f"second_{field}" for field in ("half_even", "offset", "low", "high")),
        *("softmax", "x_signed"),
        *("product", "product_signed", "product_sum", "product_second"),
    ),
)
"""What a COMPUTE descriptor says of the results of its sums."""

_OF_FEATURES = {
    Feature.SOFTMAX: ("softmax",),
    Feature.PRODUCT: ("product", "product_signed", "product_sum", "product_second"),
    Feature.SECOND: (
        *("second", "second_base", "second_pitch", "second_ring", "second_first"),
        *(f"out{n}_second" for n in range(OUTPUT_LEVELS)),
    ),
    Feature.TABLES: ("tables", "second_half_even", "second_offset", "second_low", "second_high"),
    Feature.WIDE: ("wide",),
}
"""What RESULT says of features."""


def results_kept(shape: EngineShape) -> list[str]:
    """The fields of RESULT that count for an engine: those of what it lacks stay 0."""
    gone = {name for feature in shape.lacks for name in _OF_FEATURES.get(feature, ())}
    return [name for name, _ in RESULT if name not in gone]
