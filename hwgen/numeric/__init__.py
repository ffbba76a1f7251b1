"""The number system: fixed-point types and exact integer arithmetic on NumPy arrays."""

from .arith import (
    apply_overflow,
    dequantize,
    int_array,
    magnitude,
    quantize,
    requantize,
    round_shift,
)
from .powers import PowerCode
from .types import MAX_TENSOR_WIDTH, Overflow, QType, Rounding, parse_type, type_for_range

__all__ = [
    "MAX_TENSOR_WIDTH",
    "Overflow",
    "PowerCode",
    "QType",
    "Rounding",
    "apply_overflow",
    "dequantize",
    "int_array",
    "magnitude",
    "parse_type",
    "quantize",
    "requantize",
    "round_shift",
    "type_for_range",
]
