"""Exact integer matrix products on a floating-point BLAS, and multiply-accumulate typing.

A float matrix product of integers is exact when every partial sum, in any order, is below
2**24 (float32) or 2**53 (float64): the bound is the largest sum of absolute products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import UserError
from ...numeric import QType, apply_overflow, int_array, round_shift, type_for_range, type_text
from ..fields import Accumulator
from ..tensor import Tensor

IntArray = np.ndarray[Any, Any]


def exact_matmul(x: IntArray, w: IntArray, x_bound: int) -> IntArray:
    """``x @ w`` in integers; x (rows, taps) with values up to ``x_bound``, w (taps, outputs)."""
    bound = x_bound * int(np.abs(w.astype(object)).sum(axis=0).max()) if w.size else 0
    if bound < 1 << 24:
        return (x.astype(np.float32) @ w.astype(np.float32)).astype(np.int64)
    if bound < 1 << 53:
        return (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
    return int_array(x, bound) @ int_array(w, bound)


def accumulate(x: IntArray, w: IntArray, x_bound: int, acc: Accumulator | None, frac: int) -> Any:
    """Sums of products, exact or in a given accumulator (see Accumulator), group by group.

    ``frac`` is the number of fractional bits of the products.
    """
    if acc is None:
        return exact_matmul(x, w, x_bound)
    drop = frac - acc.type.frac
    total: IntArray = np.zeros((len(x), w.shape[1]), np.int64)
    for start in range(0, len(w), acc.group):
        taps = slice(start, start + acc.group)
        part = exact_matmul(x[:, taps], w[taps], x_bound)
        wide = max(acc.type.width + drop + 1, int(np.abs(part).max(initial=0)).bit_length() + 2)
        part, total = int_array(part, 1 << wide), int_array(total, 1 << wide)
        total = round_shift((total << drop) + part, drop, acc.type.rounding)
        total = apply_overflow(total, acc.type)
    return total


def subtracted(x: QType, raw: bool) -> int:
    """What is taken from an input before it is multiplied: its zero point, unless raw."""
    return 0 if raw else x.zero_point


def factor_range(x: Tensor, raw: bool, padded: Sequence[int] = ()) -> tuple[int, int]:
    """Smallest and largest factor of the weights; ``padded`` are integers beside the input's."""
    values = [bound - subtracted(x.type, raw) for bound in (*x.range, *padded)]
    return min(values), max(values)


def sum_ranges(w: IntArray, factors: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Smallest and largest sum that these weights (taps, outputs) can give, of each output."""
    w = w.astype(object)
    at_low, at_high = (w * bound for bound in factors)
    return np.minimum(at_low, at_high).sum(axis=0), np.maximum(at_low, at_high).sum(axis=0)


def product_scale(x: QType, w: QType) -> dict[str, Any]:
    """``frac`` or ``scale`` of a product of these types, as arguments of QType."""
    if x.scale is None and w.scale is None:
        return {"frac": x.frac + w.frac}
    sx = np.asarray(2.0**-x.frac if x.scale is None else x.scale)
    sw = np.asarray(2.0**-w.frac if w.scale is None else w.scale)
    scale = sx * sw
    return {"frac": 0, "scale": tuple(scale.tolist()) if scale.ndim else float(scale)}


def accumulated(
    name: str,
    shape: tuple[int, ...],
    x: QType,
    factors: tuple[int, int],
    w: IntArray,
    w_type: QType,
    acc: Accumulator | None,
) -> Tensor:
    """The accumulator edge of a conv or dense without its bias. Raises UserError."""
    if isinstance(x.scale, tuple):
        raise UserError("channels with different scales can not be summed")
    if w_type.zero_point:
        raise UserError("weights with a zero point are not supported")
    scale = product_scale(x, w_type)
    smallest, largest = sum_ranges(w, factors)
    low, high = int(min(smallest)), int(max(largest))
    if acc is None:
        return Tensor(name, shape, replace(type_for_range(low, high), **scale), low, high)
    if "scale" in scale:
        raise UserError("a given accumulator needs weights with fractional bits, not a scale")
    drop = scale["frac"] - acc.type.frac
    if drop < 0:
        raise UserError(
            f"the accumulator has {acc.type.frac} fractional bits, its products {scale['frac']}",
            hint="give it as many or fewer",
        )
    return Tensor(name, shape, acc.type)


def check_codes(codes: IntArray, qtype: QType, what: str) -> None:
    """Raise UserError unless every integer is within the type."""
    if codes.size and (codes.min() < qtype.min or codes.max() > qtype.max):
        raise UserError(
            f"{what} {int(codes.min())}..{int(codes.max())} are outside {type_text(qtype)} "
            f"({qtype.min}..{qtype.max})"
        )
    if isinstance(qtype.scale, tuple) and len(qtype.scale) != codes.shape[-1]:
        raise UserError(f"{len(qtype.scale)} scales for {codes.shape[-1]} channels of {what}")


def add_bias(acc: Tensor, bias: IntArray | None, bias_frac: int | None) -> tuple[Tensor, int, int]:
    """The edge after the bias, and the left shifts of accumulator and bias that align them."""
    if bias is None:
        return acc, 0, 0
    up_acc = up_bias = 0
    frac = acc.type.frac
    if bias_frac is not None:
        if acc.type.scale is not None:
            raise UserError("bias_frac needs products with fractional bits, not a scale")
        if abs(bias_frac) > 256:
            raise UserError(f"bias_frac {bias_frac} is outside -256..256")
        frac = max(acc.type.frac, bias_frac)
        up_acc, up_bias = frac - acc.type.frac, frac - bias_frac
    shifted = bias.astype(object) << up_bias
    low = (acc.range[0] << up_acc) + int(min(shifted))
    high = (acc.range[1] << up_acc) + int(max(shifted))
    qtype = replace(
        type_for_range(low, high, frac), scale=acc.type.scale, zero_point=acc.type.zero_point
    )
    return Tensor(acc.name, acc.shape, qtype, low, high), up_acc, up_bias


def biased(total: IntArray, acc: Tensor, bias: IntArray | None, bias_frac: int | None) -> IntArray:
    """The sums with the bias added, as add_bias says of their edge."""
    if bias is None:
        return total
    out, up_acc, up_bias = add_bias(acc, bias, bias_frac)
    wide = max(abs(b) for b in (*out.range, *(r << up_acc for r in acc.range)))
    return (int_array(total, wide) << up_acc) + (int_array(bias, wide) << up_bias)
