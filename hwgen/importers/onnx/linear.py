"""Convolutions and matrix products, of real numbers behind integers or of integers."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Tensor, resolve_padding
from ...ir.ops import Conv2D, Dense, Reshape
from ...numeric import Overflow, QType, Rounding, type_for_range
from .. import moves
from . import biases
from .file import OxNode
from .fusion import BEHIND_PAD, OTHER_WEIGHTS, UNSIGNED_WEIGHTS, is_power_of_two
from .operands import operand
from .real import FloatStep
from .work import (
    Codes,
    Const,
    Group,
    OnnxImport,
    Value,
    canonical,
    image,
    in_file_order,
    shaped,
    vector,
)

_NO_PADS = ((0, 0), (0, 0))


def conv(work: OnnxImport, node: OxNode) -> None:
    """Conv: grouped, strided, dilated; of rows and columns, or of rows alone."""
    bias = work.const(node, 2) if work.has(node, 2) else None
    work.give(node, convolution(work, node, work.value(node), weights(work, node, 1), bias))


def matmul(work: OnnxImport, node: OxNode) -> None:
    """MatMul by a constant; with a constant that is added to it, a Gemm."""
    value, codes = work.value(node), weights(work, node, 1)
    behind = biases.added_behind(work, node, value, codes.codes.shape[-1])
    if behind is None:
        work.give(node, product(work, node, value, codes, None))
        return
    last, bias = behind
    result = product(work, replace(node, outputs=last.outputs), value, codes, bias)
    for one in (node, last):
        work.give(one, result)


def gemm(work: OnnxImport, node: OxNode) -> None:
    """Gemm by a constant: the input times ``alpha``, the addend times ``beta`` must be 1."""
    check_gemm(node)
    codes = weights(work, node, 1)
    codes = transposed(codes) if node.get("transB", 0) else codes
    bias = work.const(node, 2) if work.has(node, 2) else None
    work.give(node, product(work, node, work.value(node), codes, bias))


def check_gemm(node: OxNode) -> None:
    """Raises UserError for factors and for a transposed input."""
    if node.get("alpha", 1.0) != 1.0 or node.get("beta", 1.0) != 1.0 or node.get("transA", 0):
        raise UserError("alpha and beta other than 1, or transA, are not supported")


_QUANTIZE = "quantize weights and inputs (QDQ, QOperator, QONNX)"


def weights(work: OnnxImport, node: OxNode, position: int, hint: str = _QUANTIZE) -> Codes:
    """The integers of constant weights. Raises UserError where they are not quantized, with what to
    do then."""
    const = work.const(node, position)
    if const.quant is not None:
        return const.quant
    if work.integer:
        codes = const.array.astype(np.int64)
        if np.all(codes == const.array):
            return Codes(codes, np.ones(1), np.zeros(1, np.int64), _holding(codes))
    raise UserError(
        f"weights {node.inputs[position]!r} are not quantized: {const.array.dtype}",
        hint=hint,
    )


def _holding(codes: Array) -> QType:
    exact = type_for_range(int(codes.min()), int(codes.max()))
    width = max(2, exact.width + (not exact.signed))
    return QType(True, width, 0, Rounding.HALF_EVEN, Overflow.SATURATE)


def transposed(codes: Codes) -> Codes:
    """A matrix of weights and what belongs to it, transposed."""

    def turn(array: Array) -> Array:
        return array.T if array.ndim == 2 else array

    return Codes(codes.codes.T, turn(codes.scale), turn(codes.zero), codes.type)


def convolution(
    work: OnnxImport, node: OxNode, value: Value, codes: Codes, bias: Const | None
) -> Value:
    """The sums of a convolution, still without what follows."""
    value = image(work, node.name, work.settled(node.name, value))
    x = value.edge
    kernel = codes.codes
    axes = value.where.ndim
    if kernel.ndim != axes or 0 in kernel.shape:
        raise UserError(f"weights have shape {list(kernel.shape)}, {axes} axes are needed")
    spatial = axes - 2
    numbers, scale, qtype = numbers_of(codes, axis=0)
    if spatial == 1:
        numbers = numbers[..., np.newaxis]
    strides, dilation = (
        _pair(node.ints(key, [1] * spatial), spatial, key) for key in ("strides", "dilations")
    )
    dilated_kernel = [(k - 1) * d + 1 for k, d in zip(numbers.shape[2:], dilation, strict=True)]
    pads = padding(node, dilated_kernel, strides, x.shape[:2], spatial)
    x, pads = moves.bordered(work.add, f"{node.name}_border", x, pads, dilated_kernel)
    if value.apart == BEHIND_PAD:
        value = replace(value, apart="")
    op = Conv2D(
        numbers.transpose(2, 3, 1, 0), qtype, strides, pads, dilation=dilation,
        groups=int(node.get("group", 1)),
    )  # fmt: skip
    return summed(work, node, op, replace(value, edge=x), codes, scale, bias,
                   lambda edge: shaped(edge, axes))  # fmt: skip


def product(
    work: OnnxImport, node: OxNode, value: Value, codes: Codes, bias: Const | None
) -> Value:
    """The sums of a matrix product of the last axis, still without what follows."""
    value = work.settled(node.name, value)
    numbers, scale, qtype = numbers_of(codes, axis=1)
    if numbers.ndim != 2:
        raise UserError(f"weights have shape {list(numbers.shape)}, a matrix is needed")
    taps, outputs = numbers.shape
    shape = value.where.shape
    if not shape or shape[-1] != taps:
        raise UserError(f"weights take {taps} numbers, the input has shape {list(shape)}")
    if value.where.size == taps:
        edge, where = vector(work, node.name, value)
        ours = np.empty_like(numbers)
        # The file's order of elements becomes the edge's.
        ours[where] = numbers
        op = Dense(ours, qtype)
        out = (*shape[:-1], outputs)
        value = replace(value, edge=edge)
        return summed(work, node, op, value, codes, scale, bias,
                       lambda edge: canonical(edge.shape).reshape(out))  # fmt: skip
    # Rows that each have their own taps: as the file has them, whatever an image would be.
    flat = replace(value, where=value.where.reshape(-1, taps))
    x = in_file_order(work, node.name, flat).edge
    rows = x.size // taps
    if x.shape != (1, rows, taps):
        x = work.add(f"{node.name}_rows", Reshape((1, rows, taps)), x)
    return summed(
        work, node, Conv2D(numbers[np.newaxis, np.newaxis], qtype), replace(value, edge=x),
        codes, scale, bias, lambda edge: canonical(edge.shape).reshape(*shape[:-1], outputs),
    )  # fmt: skip


def numbers_of(codes: Codes, axis: int) -> tuple[Array, Array, QType]:
    """Weights less their zero point; scales, one or one an output channel; their type."""
    numbers = codes.codes - codes.zero
    scale = np.asarray(codes.scale, np.float32)
    outputs = numbers.shape[axis]
    if scale.size > 1:
        moved = np.moveaxis(np.broadcast_to(scale, numbers.shape), axis, 0).reshape(outputs, -1)
        if np.any(moved != moved[:, :1]):
            raise UserError("scales that differ inside of an output channel are not supported")
        scale = moved[:, 0]
    scale = scale.reshape(-1)
    if not np.all((scale > 0) & np.isfinite(scale)):
        raise UserError("scales of weights must be positive numbers")
    width = max(codes.type.width, _holding(numbers).width)
    frac = common_fraction(scale)
    return numbers, scale, QType(
        True, width, 0 if frac is None else frac, Rounding.HALF_EVEN, Overflow.SATURATE,
        None if frac is not None else _scale(scale),
    )  # fmt: skip


def _scale(scale: Array) -> float | tuple[float, ...]:
    return float(scale[0]) if scale.size == 1 else tuple(float(s) for s in scale)


def common_fraction(scale: Array) -> int | None:
    """Fractional bits of integers of that scale, None where it is no power of two."""
    if scale.size != 1:
        return None
    bits = -log2(float(scale[0]))
    return int(bits) if bits == int(bits) and abs(bits) < 200 else None


def summed(
    work: OnnxImport, node: OxNode, op, value: Value, codes: Codes, scale: Array, bias, arranged
) -> Value:
    """The node of a product, its bias inside where that is exact."""
    step = None
    scales = value.scale * scale
    if bias is not None:
        stored = _stored_bias(bias, scales, work)
        if stored is None and value.plain and value.apart in ("", BEHIND_PAD):
            stored = biases.rounded(work, node, bias, scales)
        outputs = op.weights.shape[-1]
        if stored is not None:
            if stored.size not in (1, outputs):
                raise UserError(f"bias has {stored.size} elements, {outputs} are needed")
            op = replace(op, bias=np.broadcast_to(stored.reshape(-1), (outputs,)).copy())
        else:
            step = bias
    edge: Tensor = work.add(f"{node.name}_mac", op, value.edge)
    exact = step is None and is_power_of_two(value.scale) and is_power_of_two(scale)
    apart = value.apart
    if not apart and value.edge.type.signed and not codes.type.signed:
        apart = UNSIGNED_WEIGHTS
    if not apart and codes.type.width != 8:
        apart = OTHER_WEIGHTS
    if not apart and bias is not None:
        apart = biases.kept_real(bias, scales)
    result = Value(edge, arranged(edge), scales.astype(np.float32), 0, (), True,
                   apart=apart, group=Group(value.edge.type, exact))  # fmt: skip
    if step is not None:
        # One a channel is in the order of the edge's channels.
        numbers = step.array.astype(np.float32).reshape(-1)
        ours = numbers if numbers.size == edge.channels else operand(step.array, result)
        result = result.then(FloatStep("add", ours))
    return result


def _stored_bias(bias: Const, scales: Array, work: OnnxImport) -> Array | None:
    """A bias as integers of the products; None where it has to be added behind them."""
    if bias.quant is not None and not biases.kept_real(bias, scales):
        return bias.quant.codes
    real = bias.array.astype(np.float64).reshape(-1) / scales.astype(np.float64)
    codes = np.rint(real)
    exact = np.all(codes * scales == bias.array.reshape(-1)) and np.all(abs(codes) < 1 << 31)
    if exact and (work.integer or all(common_fraction(s.reshape(1)) is not None for s in scales)):
        return codes.astype(np.int64)
    return None


def _pair(numbers: list[int], spatial: int, key: str) -> tuple[int, int]:
    if len(numbers) != spatial or min(numbers) < 1:
        raise UserError(f"{key} {numbers} must be {spatial} positive numbers")
    return (numbers[0], 1) if spatial == 1 else (numbers[0], numbers[1])


def padding(
    node: OxNode, dilated_kernel, strides, size, spatial: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of padding. Raises UserError where they are not supported."""
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        (top, bottom), (left, right) = resolve_padding("same", dilated_kernel, strides, size)
        upper = (top, bottom), (left, right)
        return upper if auto == "SAME_UPPER" else ((bottom, top), (right, left))
    if auto not in ("NOTSET", "VALID"):
        raise UserError(f"auto_pad {auto!r} is not supported")
    if auto == "VALID":
        return _NO_PADS
    numbers = node.ints("pads", [0] * (2 * spatial))
    if len(numbers) != 2 * spatial or min(numbers) < 0:
        raise UserError(f"pads {numbers} must be {2 * spatial} numbers that are not negative")
    if spatial == 1:
        return (numbers[0], numbers[1]), (0, 0)
    return (numbers[0], numbers[2]), (numbers[1], numbers[3])
