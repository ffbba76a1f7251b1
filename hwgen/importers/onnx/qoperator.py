"""QLinear operators: each is its counterpart on real numbers between two quantizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from . import spatial
from .file import OxNode
from .linear import check_gemm, convolution, product, transposed
from .qdq import integer_type, scale_and_zero, stored
from .real import FloatStep
from .softmax import normalized
from .work import Codes, Const, Joined, OnnxImport, Value, image

_INT32 = np.zeros(1, np.int32)


def conv(work: OnnxImport, node: OxNode) -> None:
    """QLinearConv."""
    value, codes = _input(work, node, 0), _weights(work, node, 3, axis=0)
    bias = _bias(work, node, 8, value, codes)
    _give(work, node, convolution(work, node, value, codes, bias), 6)


def matmul(work: OnnxImport, node: OxNode) -> None:
    """QLinearMatMul by a constant."""
    value, codes = _input(work, node, 0), _weights(work, node, 3, axis=1)
    _give(work, node, product(work, node, value, codes, None), 6)


def gemm(work: OnnxImport, node: OxNode) -> None:
    """QGemm of ONNX Runtime."""
    check_gemm(node)
    turned = bool(node.get("transB", 0))
    value, codes = _input(work, node, 0), _weights(work, node, 3, axis=0 if turned else 1)
    codes = transposed(codes) if turned else codes
    bias = _bias(work, node, 6, value, codes)
    if not work.has(node, 7):
        raise UserError("a real output is not supported", hint="quantize the output")
    _give(work, node, product(work, node, value, codes, bias), 7)


def joined(kind: str) -> Callable[[OnnxImport, OxNode], None]:
    """The handler of QLinearAdd or QLinearMul of ONNX Runtime."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        parts = (_input(work, node, 0), _input(work, node, 3))
        _give(work, node, Joined(kind, parts), 6)

    return handler


def concat(work: OnnxImport, node: OxNode) -> None:
    """QLinearConcat of ONNX Runtime: output first, then the inputs."""
    parts = tuple(_input(work, node, n) for n in range(2, len(node.inputs), 3))
    _give(work, node, Joined("concat", parts, int(node.get("axis", 1))), 0)


def average(work: OnnxImport, node: OxNode) -> None:
    """QLinearAveragePool and QLinearGlobalAveragePool of ONNX Runtime."""
    if node.get("channels_last", 0):
        raise UserError("channels_last is not supported")
    value = _input(work, node, 0)
    if node.kind == "QLinearGlobalAveragePool":
        value = image(work, node.name, value)
        result = spatial.averaged(work, node, value, list(value.edge.shape[:2]), whole=True)
    else:
        result = spatial.averaged(work, node, value, node.ints("kernel_shape"))
    _give(work, node, result, 3)


def curve(function: Callable[[OxNode, Array], Array]) -> Callable[[OnnxImport, OxNode], None]:
    """The handler of QLinearSigmoid or QLinearLeakyRelu of ONNX Runtime."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        step = FloatStep("curve", curve=lambda x: function(node, x).astype(np.float32))
        _give(work, node, _input(work, node, 0).then(step), 3)

    return handler


def softmax(work: OnnxImport, node: OxNode) -> None:
    """QLinearSoftmax of ONNX Runtime, which states the version of the operator it was."""
    value = _input(work, node, 0)
    _give(work, node, normalized(work, node, value, int(node.get("opset", 13))), 3)


def _input(work: OnnxImport, node: OxNode, position: int) -> Value:
    value = work.value(node, position)
    scale, zero = scale_and_zero(work, node, position + 1, position + 2)
    if not value.plain or value.zero != int(zero) or value.scale[0] != scale:
        raise UserError(f"input {position} has another scale or zero point than it was given")
    return replace(value, codes=False)


def _weights(work: OnnxImport, node: OxNode, position: int, axis: int) -> Codes:
    array = work.const(node, position).array
    parts = []
    for offset in (1, 2):
        numbers = work.const(node, position + offset).array
        if numbers.size not in (1, array.shape[axis] if array.ndim > axis else 1):
            raise UserError(f"{numbers.size} scales or zero points do not fit {list(array.shape)}")
        shape = [1] * array.ndim
        shape[axis] = numbers.size
        parts.append(numbers.reshape(shape))
    scale, zero = parts[0].astype(np.float32), parts[1].astype(np.int64)
    return Codes(array.astype(np.int64), scale, zero, integer_type(array))


def _bias(
    work: OnnxImport, node: OxNode, position: int, value: Value, codes: Codes
) -> Const | None:
    """Integers of the products' scale."""
    if not work.has(node, position):
        return None
    array = work.const(node, position).array
    scale = value.scale.astype(np.float64) * np.asarray(codes.scale, np.float64).reshape(-1)
    quant = Codes(array.astype(np.int64), scale, np.zeros(1, np.int64), integer_type(_INT32))
    return Const(array.astype(np.float32), quant)


def _give(work: OnnxImport, node: OxNode, result: Value | Joined, position: int) -> None:
    scale, zero = scale_and_zero(work, node, position, position + 1)
    qtype = integer_type(zero, float(scale), int(zero))
    work.give(node, replace(stored(work, node.name, result, qtype, fused=True), codes=True))
