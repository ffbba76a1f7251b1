"""Biases that a file keeps as real numbers, which ONNX Runtime makes integers of.

Where an operator of quantized inputs leads straight to QuantizeLinear, its float32 bias becomes
integers of the products' scale, rounded (a quotient in float32, ties to even), before anything else
is decided. A MatMul and the constant that is added to it are a Gemm then.
"""

from __future__ import annotations

import numpy as np

from ...aliases import Array
from ...errors import UserError
from .file import OxNode
from .fusion import BIAS_AXES, BIAS_STORED, is_old_pool, is_redundant
from .qdq import integer_type, scale_and_zero
from .real import FloatStep
from .shape import PASSED
from .work import Const, OnnxImport, Value, check_finite

MOVING = ("MaxPool", *PASSED)
"""Operators before which a QuantizeLinear behind them is put."""
_LIMIT = 1 << 31


def rounded(work: OnnxImport, node: OxNode, bias: Const, scales: Array) -> Array | None:
    """The integers of a float32 bias; None where real numbers stay what they are, because the
    node's output does not lead to a quantizer. Raises UserError where they have over 32 bits."""
    if kept_real(bias, scales) or not leads_to_quantizer(work, node):
        return None
    check_finite(bias)
    numbers = bias.array.astype(np.float32).reshape(-1)
    codes = np.rint(numbers / scales.astype(np.float32)).astype(np.float64)
    if not np.all((codes >= -_LIMIT) & (codes < _LIMIT)):
        raise UserError("its bias has more than 32 bits in the scale of its products")
    return codes.astype(np.int64)


def kept_real(bias: Const, scales: Array) -> str:
    """Why ONNX Runtime makes no integers of the products' scale of a bias, which it then adds in
    float32; empty where it makes or has them."""
    if bias.quant is not None:
        given = np.asarray(bias.quant.scale, np.float64).reshape(-1)
        whole = bias.quant.type.width == 32 and not np.any(bias.quant.zero)
        fits = given.size in (1, scales.size) and np.allclose(given, scales, rtol=1e-3, atol=0)
        return "" if whole and fits else BIAS_STORED
    fits = bias.array.ndim == 1 and scales.size in (1, bias.array.size)
    return "" if fits else BIAS_AXES


def leads_to_quantizer(work: OnnxImport, node: OxNode) -> bool:
    """Whether a quantizer is the only reader, behind nothing but moves and bounds that it has
    anyway."""
    steps: list[FloatStep] = []
    while True:
        name = node.outputs[0]
        readers = [other for other in work.model.nodes if name in other.inputs]
        if work.readers[name] != 1 or not readers:
            return False
        node = readers[0]
        if node.kind == "QuantizeLinear":
            scale, zero = scale_and_zero(work, node, 1, 2)
            qtype = integer_type(zero, float(scale), int(zero))
            return all(is_redundant(step, qtype) for step in steps)
        if node.kind in ("Relu", "Clip"):
            steps += bounds_of(work, node)
        elif node.kind not in MOVING or is_old_pool(node, work.model.opset):
            return False


def bounds_of(work: OnnxImport, node: OxNode) -> list[FloatStep]:
    """What a Relu or Clip does. Raises UserError where its bounds are no constants."""
    if node.kind == "Relu":
        return [FloatStep("max", np.zeros(1, np.float32))]
    steps = []
    for position, kind, key in ((1, "max", "min"), (2, "min", "max")):
        bound = node.get(key)
        if work.has(node, position):
            bound = work.number(node, position)
        if bound is not None:
            steps.append(FloatStep(kind, np.array([bound], np.float32)))
    return steps


def added_behind(
    work: OnnxImport, node: OxNode, value: Value, columns: int
) -> tuple[OxNode, Const] | None:
    """The Add of a constant that a MatMul of a matrix leads to, and the constant, one a column.

    None where ONNX Runtime makes no Gemm of integers of them.
    """
    if value.where.ndim != 2 or work.readers[node.outputs[0]] != 1:
        return None
    for other in work.model.nodes:
        if other.kind == "Add" and node.outputs[0] in other.inputs:
            operand = other.inputs[other.inputs[0] == node.outputs[0]]
            const = work.known.get(operand)
            if not isinstance(const, Const) or const.array.shape[-1:] != (columns,) or (
                const.array.size != columns
            ):  # fmt: skip
                return None
            stored = const.quant is not None and const.quant.type.width == 32
            return (other, const) if stored or leads_to_quantizer(work, other) else None
    return None
