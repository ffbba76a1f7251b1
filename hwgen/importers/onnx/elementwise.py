"""Operators on each element: arithmetic with constants, activations, and joins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir.ops import Requantize
from ..limits import check_elements
from .biases import bounds_of
from .file import OxNode
from .joins import concatenated, summed
from .operands import flat, is_of_pixels, operand
from .real import FloatStep, StoredOperand
from .work import Const, Joined, OnnxImport, Value

Handler = Callable[[OnnxImport, OxNode], None]

_FOLDED: dict[str, Callable[..., Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
}  # fmt: skip


def arithmetic(kind: str) -> Handler:
    """The handler of Add, Sub, Mul, Div or Pow: of constants, of one with a constant, of two."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        a, b = work.get(node, 0), work.get(node, 1)
        if isinstance(a, Const) and isinstance(b, Const):
            check_elements(np.broadcast_shapes(a.array.shape, b.array.shape), "a constant")
            with np.errstate(all="ignore"):
                work.give(node, Const(np.asarray(_FOLDED[kind](a.array, b.array))))
            return
        if isinstance(a, Const) or isinstance(b, Const):
            work.give(node, with_constant(work, node.name, kind, a, b))
            return
        if kind not in ("Add", "Mul", "Sub"):
            raise UserError(f"{kind} of two tensors is not supported, Add, Sub and Mul are")
        if isinstance(a, Joined) or isinstance(b, Joined):
            raise UserError("its inputs are not quantized", hint="put a quantizer before it")
        if kind == "Sub":  # In float32 a difference is the sum with the negative, to the bit.
            b = b.then(FloatStep("mul", np.array([-1], np.float32)))
        joined = Joined("mul" if kind == "Mul" else "add", (a, b))
        work.give(node, _bare_sum(work, node, joined) if work.integer else joined)

    return handler


def _bare_sum(work: OnnxImport, node: OxNode, joined: Joined) -> Value:
    """A sum where the file's numbers are integers: nothing follows that rounds it."""
    if node.kind != "Add":
        raise UserError(f"{node.kind} of two tensors of integers is not supported")
    return summed(work, node.name, joined)


def with_constant(
    work: OnnxImport, name: str, kind: str,
    a: Const | Value | Joined, b: Const | Value | Joined,
) -> Value:  # fmt: skip
    """A value and the step that an operator with one constant is. Raises UserError."""
    value, const, reverse = (b, a, True) if isinstance(a, Const) else (a, b, False)
    assert isinstance(const, Const)
    if isinstance(value, (Joined, Const)):
        raise UserError("its input is not quantized", hint="put a quantizer before it")
    if kind == "Pow" or (reverse and kind == "Div"):
        what = "a constant divided by a tensor" if kind == "Div" else "Pow of a tensor"
        raise UserError(f"{what} is not supported")
    pixels = is_of_pixels(const.array, value)
    if pixels:
        value = flat(work, name, value)
    numbers = operand(const.array, value)
    # A mask is zero somewhere; zero alone would leave nothing to compute.
    zero = (kind == "Div" and np.any(numbers == 0)) or (kind == "Mul" and not np.any(numbers))
    if zero or not np.all(np.isfinite(numbers)):
        raise UserError("a constant that is zero or not finite is not supported")
    if reverse and kind == "Sub":
        return value.then(FloatStep("mul", np.array([-1], np.float32)),
                          FloatStep("add", numbers, pixels=pixels))  # fmt: skip
    # ONNX Runtime has no Sub or Div of integers.
    stored = _stored(const, value, reverse) if kind in ("Add", "Mul") else None
    return value.then(FloatStep(kind.lower(), numbers, stored=stored, pixels=pixels))


def _stored(const: Const, value: Value, first: bool) -> StoredOperand | None:
    """A constant's integers, where it has one scale."""
    quant = const.quant
    if quant is None or np.size(quant.scale) != 1 or np.size(quant.zero) != 1 or value.steps:
        return None
    codes = operand(quant.codes, value).astype(np.int64)
    zero = int(np.reshape(quant.zero, -1)[0])
    first = first and not _is_repeated(const.array.shape, value.where.shape)
    return StoredOperand(codes, np.reshape(quant.scale, -1), zero, quant.type, first)


def _is_repeated(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether a constant's numbers each stand for several elements in a row; ONNX Runtime makes
    such an operand the second one."""
    padded = (1,) * (len(whole) - len(shape)) + tuple(shape)
    run = 1
    for one, all_of in zip(reversed(padded), reversed(whole), strict=True):
        if one > 1:
            break
        run *= all_of
    return run > 1


def batch_normalization(work: OnnxImport, node: OxNode) -> None:
    """BatchNormalization with constants, folded in float32 as ONNX Runtime folds it."""
    value = work.value(node)
    if node.get("training_mode", 0):
        raise UserError("training_mode is not supported", hint="export for inference")
    scale, bias, mean, variance = (
        work.const(node, n).array.astype(np.float32).reshape(-1) for n in range(1, 5)
    )
    epsilon = np.float32(node.get("epsilon", 1e-5))
    if np.any(variance + epsilon <= 0):
        raise UserError("a variance is negative")
    factor = scale / np.sqrt(variance + epsilon)
    offset = bias - mean * factor
    if np.any(factor == 0) or not np.all(np.isfinite(factor) & np.isfinite(offset)):
        raise UserError("a scale that is zero or not finite is not supported")
    rank = value.where.ndim
    shape = (-1, *[1] * (rank - 2))
    work.give(node, value.then(
        FloatStep("mul", operand(factor.reshape(shape), value)),
        FloatStep("add", operand(offset.reshape(shape), value)),
    ))  # fmt: skip


def relu(work: OnnxImport, node: OxNode) -> None:
    """Relu."""
    _then(work, node, *bounds_of(work, node))


def clip(work: OnnxImport, node: OxNode) -> None:
    """Clip between constants (attributes in old files)."""
    found = work.get(node, 0)
    if isinstance(found, Value) and found.codes:
        work.give(node, _clipped_codes(work, node, found))
        return
    _then(work, node, *bounds_of(work, node))


def _clipped_codes(work: OnnxImport, node: OxNode, value: Value) -> Value:
    """Clip of the integers themselves: those of fewer bits, in a type of 8."""
    low, high = value.edge.type.min, value.edge.type.max
    low = max(low, work.whole(node, 1)) if work.has(node, 1) else low
    high = min(high, work.whole(node, 2)) if work.has(node, 2) else high
    if low > high:
        raise UserError(f"bounds {low} and {high} leave nothing")
    edge = work.add(node.name, Requantize.identity(value.edge, (low, high)), value.edge)
    return replace(value, edge=edge)


def curve(function: Callable[[OxNode, Array], Array], rises: bool = True) -> Handler:
    """The handler of a function; ``rises``: it never decreases."""
    return lambda work, node: _then(work, node, curve_step(function, node, rises))


def curve_step(
    function: Callable[[OxNode, Array], Array], node: OxNode, rises: bool = True
) -> FloatStep:
    """A function with a node's attributes, to float32."""
    return FloatStep("curve", curve=lambda x: function(node, x).astype(np.float32), rises=rises)


def sigmoid(node: OxNode, x: Array) -> Array:
    """1 / (1 + exp(-x)), in float64, to float32."""
    return 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -700, 700)))


def sigmoid_step(node: OxNode) -> FloatStep:
    """What a Sigmoid does."""
    return curve_step(sigmoid, node)


def tanh(node: OxNode, x: Array) -> Array:
    """tanh, in float64, to float32."""
    return np.tanh(x.astype(np.float64))


def leaky_relu(work: OnnxImport, node: OxNode) -> None:
    """LeakyRelu: x, or alpha times x below zero."""
    _then(work, node, leaky_step(node))


def leaky_step(node: OxNode) -> FloatStep:
    """What a LeakyRelu does."""
    return _bent(np.array([node.get("alpha", 0.01)], np.float32))


def prelu(work: OnnxImport, node: OxNode) -> None:
    """PRelu: x, or a slope times x below zero; one slope, or one a channel."""
    value = work.value(node)
    _then(work, node, _bent(operand(work.const(node, 1).array, value)))


def _bent(slopes: Array) -> FloatStep:
    if not np.all(np.isfinite(slopes)):
        raise UserError("a slope that is not finite is not supported")

    def bent(x: Array) -> Array:
        return np.where(x >= 0, x, x * slopes).astype(np.float32)

    kept = slopes if slopes.size > 1 else None
    return FloatStep("curve", kept, bent, rises=bool(np.all(slopes >= 0)), bent=True)


def hard_sigmoid(node: OxNode, x: Array) -> Array:
    """clip(alpha * x + beta, 0, 1)."""
    alpha, beta = np.float32(node.get("alpha", 0.2)), np.float32(node.get("beta", 0.5))
    if not (alpha >= 0 and math.isfinite(beta)):
        raise UserError("a negative alpha is not supported")
    return np.clip(x * alpha + beta, np.float32(0), np.float32(1))


def _then(work: OnnxImport, node: OxNode, *steps: FloatStep) -> None:
    found = work.get(node, 0)
    if isinstance(found, Const):
        raise UserError("its input is a constant, which is not supported here")
    if isinstance(found, Value) and found.pending and found.moved:
        found = replace(
            found, apart=found.apart or f"a {node.kind} stands behind a pool or reshape"
        )
    work.give(node, found.then(*steps))


def concat(work: OnnxImport, node: OxNode) -> None:
    """Concat of constants, or of channels."""
    found = [work.get(node, n) for n in range(len(node.inputs))]
    axis = int(node.get("axis", 0))
    consts = [f.array for f in found if isinstance(f, Const)]
    if len(consts) == len(found):
        check_elements((sum(c.size for c in consts),), "a constant")
        work.give(node, Const(np.concatenate(consts, axis)))
        return
    values = [f for f in found if isinstance(f, Value)]
    if len(values) < len(found):
        raise UserError("constants, or tensors that are not quantized, can not be joined")
    first = values[0]
    same = all(
        v.plain and v.edge.type == first.edge.type and v.scale[0] == first.scale[0]
        and v.zero == first.zero for v in values
    )  # fmt: skip
    if not same:
        behind = "a Concat stands behind it"
        parts = (replace(v, apart=v.apart or behind) if v.sums else v for v in values)
        work.give(node, Joined("concat", tuple(parts), axis))
        return
    edge, where = concatenated(work, node.name, values, axis)
    work.give(node, Value(edge, where, first.scale, first.zero, codes=first.codes,
                          apart="a Concat stands before it"))  # fmt: skip
