"""The number system: fixed-point types and exact integer arithmetic on NumPy arrays."""

from . import gemmlowp
from .arith import (
    apply_overflow,
    dequantize,
    int_array,
    magnitude,
    quantize,
    requantize,
    round_shift,
    to_integers,
)
from .bits import packed, unpacked
from .division import ceil_div
from .powers import PowerCode
from .scaling import SCALED_WIDTH, Scaling, apply_scaling, left_shift, multiplier_of
from .types import (
    MAX_TENSOR_WIDTH,
    TYPE_SCHEMA,
    Overflow,
    QType,
    Rounding,
    parse_type,
    type_for_range,
    type_text,
)

__all__ = [
    "MAX_TENSOR_WIDTH",
    "SCALED_WIDTH",
    "TYPE_SCHEMA",
    "Overflow",
    "PowerCode",
    "QType",
    "Rounding",
    "Scaling",
    "apply_overflow",
    "apply_scaling",
    "ceil_div",
    "dequantize",
    "gemmlowp",
    "int_array",
    "left_shift",
    "magnitude",
    "multiplier_of",
    "packed",
    "parse_type",
    "quantize",
    "requantize",
    "round_shift",
    "to_integers",
    "type_for_range",
    "type_text",
    "unpacked",
]
