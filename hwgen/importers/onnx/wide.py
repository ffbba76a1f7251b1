"""Sums and products of integers of more than 8 bits, which ONNX Runtime computes in float32.

Where all scales are powers of two a sum that has 24 bits is exact there, and a product is rounded
to float32 once. Others have too many pairs to be looked at.
"""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Mul, Rescale
from ...numeric import QType, Scaling, multiplier_of
from ..sums import added, times
from .fusion import EXACT, is_power_of_two, scale_of
from .real import FloatStep, Quantizer, line, slope_of
from .work import OnnxImport, Value

_EXACT = 1 << 24


def is_wide(parts: tuple[Value, Value]) -> bool:
    """Whether there are too many pairs of integers for a table of them."""
    return any(part.edge.type.width > 8 for part in parts)


def make(
    work: OnnxImport, name: str, kind: str, parts: tuple[Value, Value], by: Quantizer,
    steps: tuple[FloatStep, ...],
) -> Tensor:  # fmt: skip
    """The integers of a sum or a product. Raises UserError where they are not known."""
    scales = [*(float(part.scale[0]) for part in parts), scale_of(by.type)]
    plain = all(part.plain for part in parts) and is_power_of_two(np.array(scales))
    if plain and kind == "mul" and not steps:
        return _product(work, name, parts, by.type)
    if plain and kind == "add":
        unit = min(scales[:2])
        factors = [int(scale / unit) for scale in scales[:2]]
        ends = [
            [(end - part.zero) * factor for end in part.edge.range]
            for part, factor in zip(parts, factors, strict=True)
        ]
        low, high = (sum(end[n] for end in ends) for n in (0, 1))
        if max(-low, high) < _EXACT:
            sums = np.arange(low, high + 1)
            reals = sums.astype(np.float32) * np.float32(unit)
            for step in steps:
                reals = step(reals)
            operands = [
                (part.edge, times(factor, part.zero))
                for part, factor in zip(parts, factors, strict=True)
            ]
            slope = slope_of(unit, steps) / scale_of(by.type)
            last = line(sums, by.codes(reals), by.type, slope)
            if last is not None:
                return added(work.add, name, operands, last)
    what = {"add": "sum", "mul": "product"}[kind]
    raise UserError(f"a {what} of integers of more than 8 bits is not supported with these scales",
                    hint=f"quantize its inputs to 8 bits; or {EXACT}")  # fmt: skip


def _product(work: OnnxImport, name: str, parts: tuple[Value, Value], qtype: QType) -> Tensor:
    a, b = parts
    mult, shift = multiplier_of(
        float(a.scale[0]) * float(b.scale[0]) / scale_of(qtype), Scaling.FP32_HALF_EVEN
    )
    op = Rescale(Scaling.FP32_HALF_EVEN, np.array([mult]), np.array([shift]), qtype,
                 offset=qtype.zero_point)  # fmt: skip
    return work.add(name, op, work.add(f"{name}_product", Mul(), a.edge, b.edge))
