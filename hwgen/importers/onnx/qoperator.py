"""QLinear operators: each is its counterpart on real numbers between two quantizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import UserError
from . import spatial
from .elementwise import with_constant
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


def conv_integer(work: OnnxImport, node: OxNode) -> None:
    """ConvInteger: its sums as they are."""
    value, codes = _integers(work, node), _integer_weights(work, node, axis=0)
    _give_sums(work, node, convolution(work, node, value, codes, None))


def matmul_integer(work: OnnxImport, node: OxNode) -> None:
    """MatMulInteger by a constant: its sums as they are."""
    value, codes = _integers(work, node), _integer_weights(work, node, axis=-1)
    _give_sums(work, node, product(work, node, value, codes, None))


def _integers(work: OnnxImport, node: OxNode) -> Value:
    """The first input, whose integers less a zero point are numbers. Raises UserError."""
    value, zero = work.value(node), 0
    if not value.codes or not value.plain:
        raise UserError("its input is no tensor of integers", hint="put a QuantizeLinear before it")
    if work.has(node, 2):
        if work.const(node, 2).array.size != 1:
            raise UserError("zero points of rows are supported in weights only")
        zero = work.whole(node, 2)
    bare = replace(value, zero=zero, codes=False)
    return Value(work.centered(f"{node.name}_in", bare), value.where)


def _integer_weights(work: OnnxImport, node: OxNode, axis: int) -> Codes:
    """Constant weights and their zero points, one or one along an axis. Raises UserError."""
    array, zero = work.const(node, 1).array, np.zeros(1, np.int64)
    if work.has(node, 3):
        zero = work.const(node, 3).array.astype(np.int64).reshape(-1)
    if zero.size > 1:
        if not array.ndim or zero.size != array.shape[axis]:
            raise UserError(f"{zero.size} zero points do not fit weights {list(array.shape)}")
        zero = zero.reshape([-1 if n == axis % array.ndim else 1 for n in range(array.ndim)])
    return Codes(array.astype(np.int64), np.ones(1, np.float32), zero, integer_type(array))


def _give_sums(work: OnnxImport, node: OxNode, sums: Value) -> None:
    """Sums that the runtime stores as int32."""
    work.give(node, Value(sums.edge, sums.where, codes=True))


def dynamic(work: OnnxImport, node: OxNode) -> None:
    """Raises UserError: the scale of each frame is computed from the frame."""
    raise UserError(
        f"{node.kind} computes a scale anew for every frame, which hardware does not do",
        hint="quantize statically: onnxruntime.quantization.quantize_static with a calibration",
    )


def joined(kind: str) -> Callable[[OnnxImport, OxNode], None]:
    """The handler of QLinearAdd or QLinearMul of ONNX Runtime."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        constants = [isinstance(work.get(node, n), Const) for n in (0, 3)]
        if any(constants) and not all(constants):
            parts = [
                _constant(work, node, n) if constant else replace(_input(work, node, n), apart="")
                for n, constant in zip((0, 3), constants, strict=True)
            ]
            result = with_constant(work, node.name, kind.capitalize(), parts[0], parts[1])
        else:
            result = Joined(kind, (_input(work, node, 0), _input(work, node, 3)))
        _give(work, node, result, 6)

    return handler


def _constant(work: OnnxImport, node: OxNode, position: int) -> Const:
    """A constant operand, its integers, and the numbers behind them."""
    array = work.const(node, position).array
    scale, zero = scale_and_zero(work, node, position + 1, position + 2)
    codes, zeros = array.astype(np.int64), zero.astype(np.int64).reshape(1)
    real = (codes - zeros).astype(np.float32) * scale
    return Const(real, Codes(codes, scale.reshape(1), zeros, integer_type(array)))


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


def curve(step: Callable[[OxNode], FloatStep]) -> Callable[[OnnxImport, OxNode], None]:
    """The handler of QLinearSigmoid or QLinearLeakyRelu of ONNX Runtime."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        _give(work, node, _input(work, node, 0).then(step(node)), 3)

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
