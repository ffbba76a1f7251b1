#!/usr/bin/env python3
"""Makes the ONNX test models: small networks in each of the format's quantized dialects.

Weights and scales are random, but of the sizes that a trained network has. What the runtimes
compute with the models is frozen by freeze_onnx.py, which needs the extra ``oracle``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "importers" / "fixtures"
SEED = 41
QONNX = "qonnx.custom_op.general"
MICROSOFT = "com.microsoft"


class Builder:
    """A graph as it grows: ``shapes`` and ``sizes`` (about the root mean square) of its tensors."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A stored array."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """An operator; gives the name of its output."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [out], f"{kind}_{len(self.nodes)}",
                             domain=domain, **attributes)
        )  # fmt: skip
        return out

    def scale(self, size: float = 0.02) -> np.float32:
        """A scale that is no power of two."""
        return np.float32(size * self.rng.uniform(0.6, 1.5))

    def model(
        self, x: str, shape: list[int], dtype: int, out: str, out_dtype: int, opset: int = 17
    ) -> Any:
        """The finished model."""
        inputs = [helper.make_tensor_value_info(x, dtype, shape)]
        outputs = [helper.make_tensor_value_info(out, out_dtype, None)]
        graph = helper.make_graph(self.nodes, "fixture", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid(*o) for o in (("", opset), (MICROSOFT, 1), (QONNX, 2))]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9 if opset < 21 else 10)


class Qdq(Builder):
    """QuantizeLinear and DequantizeLinear around operators on real numbers."""

    def __init__(self, seed: int, dtype: Any) -> None:
        super().__init__(seed)
        self.dtype = dtype

    def type(self, scale: float, zero: int) -> tuple[str, str]:
        """The constants of a tensor's type."""
        return self.constant(scale), self.constant(zero, self.dtype)

    def quantize(self, x: str, scale: float, zero: int) -> str:
        """QuantizeLinear, DequantizeLinear."""
        s, z = self.type(scale, zero)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, s, z), s, z)

    def stored(self, x: str, scale: float, zero: int) -> str:
        """QuantizeLinear alone, at the end."""
        return self.node("QuantizeLinear", x, *self.type(scale, zero))

    def weights(self, shape: tuple[int, ...], axis: int, zero: int = 0) -> tuple[str, Any]:
        """Dequantized weights; a scale for each output channel, or one and a zero point."""
        kind = np.int8 if zero == 0 else np.uint8
        low, high = (-127, 128) if zero == 0 else (0, 256)
        codes = self.rng.integers(low, high, shape)
        if zero:
            scale: Any = self.scale(0.004)
            return self.node("DequantizeLinear", self.constant(codes, kind), self.constant(scale),
                             self.constant(zero, kind)), scale  # fmt: skip
        scale = np.array([self.scale(0.004) for _ in range(shape[axis])], np.float32)
        zeros = self.constant(np.zeros(len(scale)), kind)
        return self.node("DequantizeLinear", self.constant(codes, kind), self.constant(scale),
                         zeros, axis=axis), scale  # fmt: skip

    def bias(self, scale: Any, outputs: int) -> str:
        """A dequantized bias of the products' scales."""
        codes = self.rng.integers(-3000, 3000, outputs)
        zeros = self.constant(np.zeros(np.shape(scale)), np.int32)
        return self.node("DequantizeLinear", self.constant(codes, np.int32),
                         self.constant(scale), zeros, axis=0)  # fmt: skip

    def conv(self, x: str, x_scale: float, cin: int, cout: int, kernel: int = 3, *,
             axes: int = 2, weight_zero: int = 0, **attributes: Any) -> str:  # fmt: skip
        """Conv with a bias, its output still real."""
        group, size = attributes.get("group", 1), [kernel] * axes
        weights, scale = self.weights((cout, cin // group, *size), 0, weight_zero)
        bias = self.bias(np.float32(x_scale) * scale, cout)
        return self.node("Conv", x, weights, bias, kernel_shape=size, **attributes)


def qdq_residual() -> Any:
    """int8: residual block, strides, global average, Gemm."""
    b = Qdq(SEED, np.int8)
    s = [b.scale(0.02) for _ in range(6)]
    x = b.quantize("x", s[0], -3)
    y = b.node("Relu", b.conv(x, s[0], 3, 6, pads=[1, 1, 1, 1]))
    y = b.quantize(y, s[1], -128)
    z = b.conv(y, s[1], 6, 6, pads=[1, 1, 1, 1])
    z = b.quantize(z, s[2], 5)
    z = b.node("Relu", b.node("Add", y, z))
    z = b.quantize(z, s[3], -128)
    z = b.conv(z, s[3], 6, 8, 3, strides=[2, 2], pads=[0, 1, 1, 0])
    z = b.quantize(z, s[4], -7)
    z = b.quantize(b.node("GlobalAveragePool", z), s[4] / 3, -7)
    z = b.node("Reshape", z, b.constant([1, -1], np.int64))
    weights, scale = b.weights((5, 8), 0)
    z = b.node("Gemm", z, weights, b.bias(s[4] / 3 * scale, 5), transB=1)
    zs, zz = b.type(s[5] / 4, 4)
    return b.model("x", [1, 3, 9, 8], TensorProto.FLOAT, b.node("QuantizeLinear", z, zs, zz),
                   TensorProto.INT8)  # fmt: skip


def qdq_unsigned() -> Any:
    """uint8 with zero points in weights: depthwise, pools, a concatenation, a flattened image."""
    b = Qdq(SEED + 1, np.uint8)
    s = [b.scale(0.02) for _ in range(7)]
    x = b.quantize("x", s[0], 120)
    y = b.conv(x, s[0], 4, 4, 3, group=4, pads=[1, 1, 1, 1], weight_zero=131)
    y = b.quantize(y, s[1] / 2, 100)
    z = b.conv(x, s[0], 4, 5, 1, weight_zero=120)
    z = b.quantize(b.node("LeakyRelu", b.quantize(z, s[2], 90), alpha=0.1), s[2], 30)
    z = b.quantize(b.node("Concat", y, z, axis=1), s[3], 99)
    z = b.node("MaxPool", z, kernel_shape=[2, 2], strides=[2, 2])
    z = b.quantize(b.node("AveragePool", z, kernel_shape=[2, 1], strides=[1, 1]), s[4], 110)
    z = b.quantize(b.node("Sigmoid", z), 1 / 256, 0)
    z = b.node("Reshape", z, b.constant([1, -1], np.int64))
    weights, _ = b.weights((9 * 3 * 5, 6), 1, zero=128)
    z = b.node("MatMul", z, weights)
    zs, zz = b.type(s[6] / 2, 127)
    return b.model("x", [1, 4, 8, 10], TensorProto.FLOAT, b.node("QuantizeLinear", z, zs, zz),
                   TensorProto.UINT8)  # fmt: skip


def qdq_channels() -> Any:
    """Arithmetic with a constant for each channel, real and stored, before a quantizer."""
    b = Qdq(SEED + 5, np.int8)
    s = [b.scale(0.02) for _ in range(6)]
    column = (4, 1, 1)
    x = b.quantize("x", s[0], -3)
    # One channel falls.
    z = b.node("Mul", x, b.constant(np.array([0.7, -1.3, 2.1, 0.4]).reshape(column)))
    z = b.quantize(z, s[1], 5)
    z = b.node("Add", z, b.constant(b.rng.normal(0, 0.5, column)))
    z = b.quantize(b.node("Div", z, b.constant([[[0.8]], [[1.7]], [[0.9]], [[1.1]]])), s[2], -9)
    gamma, beta, mean, variance = (
        b.constant(v) for v in (b.rng.uniform(0.5, 1.5, 4), b.rng.normal(0, 0.3, 4),
                                b.rng.normal(0, 0.3, 4), b.rng.uniform(0.5, 2, 4))
    )  # fmt: skip
    z = b.node("BatchNormalization", z, gamma, beta, mean, variance)
    z = b.quantize(b.node("Clip", z, b.constant(-1.7), b.constant(1.9)), s[3], 7)
    codes = (b.constant(b.rng.integers(-100, 100, column), np.int8) for _ in range(2))
    add, mul = (b.node("DequantizeLinear", c, *b.type(s[4], 3)) for c in codes)
    z = b.quantize(b.node("Add", z, add), 1.5 * s[5], -11)
    z = b.stored(b.node("Mul", z, mul), 2 * s[5], 9)
    return b.model("x", [1, 4, 4, 5], TensorProto.FLOAT, z, TensorProto.INT8)


def qdq_rows() -> Any:
    """What has rows alone: convolutions, pools, an average, a matrix of the flattened rows."""
    b = Qdq(SEED + 6, np.int8)
    s = [b.scale(0.02) for _ in range(6)]
    x = b.quantize("x", s[0], -3)
    y = b.quantize(b.conv(x, s[0], 3, 6, axes=1, pads=[1, 1]), s[1], 5)
    y = b.node("MaxPool", y, kernel_shape=[2], strides=[2])
    z = b.conv(y, s[1], 6, 4, axes=1, strides=[2], auto_pad="SAME_UPPER")
    z = b.quantize(b.node("Relu", z), s[2], -128)
    # Wider padding than the kernel.
    w = b.quantize(b.conv(y, s[1], 6, 4, 1, axes=1, strides=[2], pads=[1, 2]), s[3], 4)
    w = b.quantize(b.node("AveragePool", w, kernel_shape=[2], strides=[1]), s[4] / 2, 4)
    w = b.node("Reshape", w, b.constant([1, -1], np.int64))
    weights, scale = b.weights((5, 16), 0)
    w = b.quantize(b.node("Gemm", w, weights, b.bias(s[4] / 2 * scale, 5), transB=1), s[5], 4)
    z = b.quantize(b.node("GlobalAveragePool", z), s[2] / 2, -7)
    z = b.node("Reshape", z, b.constant([1, -1], np.int64))
    weights, scale = b.weights((4, 5), 1)
    z = b.quantize(b.node("MatMul", z, weights), s[5], 4)
    z = b.stored(b.node("Add", z, w), s[0], 1)
    return b.model("x", [1, 3, 14], TensorProto.FLOAT, z, TensorProto.INT8)


def qdq_ties() -> Any:
    """Scales whose sums and products fall between two integers again and again; bounds inside of a
    type, which ONNX Runtime does not take into its integer operators."""
    b = Qdq(SEED + 7, np.int8)
    x = b.quantize("x", 2**-5, 3)
    codes = b.constant(b.rng.integers(-15, 16, (6, 3, 3, 3)), np.int8)
    w = b.node("DequantizeLinear", codes, *b.type(2**-4, 0))
    y = b.node("Relu", b.node("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    y = b.quantize(y, 0.05, -5)
    z = b.node("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    z = b.quantize(b.node("Clip", z, b.constant(-1.0), b.constant(2.0)), 2**-5, 7)
    t = b.quantize(b.node("Add", y, z), 0.1, 9)
    u = b.quantize(b.node("Relu", b.node("Add", t, y)), 0.2, -15)
    v = b.quantize(b.node("Mul", t, y), 0.0375, 1)
    z = b.quantize(b.node("Mul", u, z), 0.0375, -3)
    z = b.quantize(b.node("Add", v, z), 2**-4, 11)
    z = b.stored(b.node("AveragePool", z, kernel_shape=[2, 2], strides=[2, 2]), 2**-5, 5)
    return b.model("x", [1, 3, 6, 8], TensorProto.FLOAT, z, TensorProto.INT8)


class QLinear(Builder):
    """QLinear operators, each with the types of its inputs and output."""

    def typed(self, x: str, scale: float, zero: int, dtype: Any = np.int8) -> tuple[str, str, str]:
        """A tensor with its scale and zero point."""
        return x, self.constant(scale), self.constant(zero, dtype)

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[str, str, str]:
        """Weights with scales of output channels."""
        codes = self.rng.integers(-127, 128, shape)
        scale = [self.scale(0.004) for _ in range(shape[axis])]
        return (self.constant(codes, np.int8), self.constant(scale),
                self.constant(np.zeros(len(scale)), np.int8))  # fmt: skip


def qlinear() -> Any:
    """QLinearConv, -Add, -GlobalAveragePool, -MatMul, QGemm; integers at input and output."""
    b = QLinear(SEED + 2)
    s = [b.scale(0.02) for _ in range(7)]
    x = b.typed("x", s[0], 4)
    y1 = b.typed("", s[1], -9)
    bias = b.constant(b.rng.integers(-3000, 3000, 6), np.int32)
    y = b.node("QLinearConv", *x, *b.weights((6, 3, 3, 3), 0), *y1[1:], bias, pads=[1, 1, 1, 1])
    y2 = b.typed("", s[2], 11)
    z = b.node("QLinearConv", y, *y1[1:], *b.weights((6, 3, 3, 3), 0), *y2[1:], group=2,
               pads=[2, 2, 2, 2], dilations=[2, 2])  # fmt: skip
    y3 = b.typed("", s[3], 0)
    z = b.node("QLinearAdd", y, *y1[1:], z, *y2[1:], *y3[1:], domain=MICROSOFT)
    z = b.node("MaxPool", z, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0])
    y4 = b.typed("", s[4] / 3, -20)
    z = b.node("QLinearGlobalAveragePool", z, *y3[1:], *y4[1:], domain=MICROSOFT)
    z = b.node("Flatten", z)
    y5 = b.typed("", s[5] / 2, 3)
    bias = b.constant(b.rng.integers(-3000, 3000, 8), np.int32)
    z = b.node("QGemm", z, *y4[1:], *b.weights((8, 6), 0), bias, *y5[1:], transB=1,
               domain=MICROSOFT)  # fmt: skip
    z = b.node("QLinearMatMul", z, *y5[1:], *b.weights((8, 5), 1), *b.typed("", s[6] / 3, 1)[1:])
    return b.model("x", [1, 3, 7, 8], TensorProto.INT8, z, TensorProto.INT8)


class Quant(Builder):
    """QONNX quantizers."""

    def quant(self, x: str, scale: Any, bits: int, *, zero: float = 0, signed: int = 1,
              narrow: int = 0, mode: str = "ROUND") -> str:  # fmt: skip
        """Quant."""
        return self.node("Quant", x, self.constant(scale), self.constant(zero),
                         self.constant(bits), domain=QONNX, signed=signed, narrow=narrow,
                         rounding_mode=mode)  # fmt: skip

    def real(self, *shape: int, size: float = 0.5) -> str:
        """Real weights."""
        return self.constant(self.rng.normal(0, size, shape))

    def norm(self, x: str, channels: int, falling: bool = False) -> str:
        """A batch normalization; ``falling``: some scales are negative."""
        gamma = self.rng.uniform(0.5, 1.5, channels)
        if falling:
            gamma[::3] *= -1
        parts = [gamma, self.rng.normal(0, 0.3, channels), self.rng.normal(0, 0.5, channels),
                 self.rng.uniform(0.5, 2, channels)]  # fmt: skip
        return self.node("BatchNormalization", x, *map(self.constant, parts))


def qonnx_po2() -> Any:
    """Scales that are powers of two, all roundings, a residual block, averages."""
    b = Quant(SEED + 3)
    x = b.quant("x", 2**-5, 8)
    w = b.quant(b.real(6, 3, 3, 3), 2**-4, 5, narrow=1)
    y = b.node("Conv", x, w, b.quant(b.real(6), 2**-7, 9), pads=[1, 1, 1, 1])
    y = b.quant(b.node("Relu", y), 2**-4, 7, signed=0, mode="HALF_UP")
    w = b.quant(b.real(6, 1, 3, 3), 2**-3, 4, mode="CEIL")
    z = b.node("Conv", y, w, group=6, pads=[1, 1, 1, 1])
    z = b.quant(z, 2**-4, 8, narrow=1, mode="FLOOR")
    z = b.quant(b.node("Add", y, z), 2**-3, 7, mode="HALF_DOWN")
    z = b.node("MaxPool", z, kernel_shape=[2, 2], strides=[2, 2])
    w = b.quant(b.real(7, 6, 1, 1), 2**-3, 4, mode="DOWN")
    z = b.quant(b.node("Conv", z, w), 2**-3, 8, mode="UP")
    z = b.quant(b.node("GlobalAveragePool", z), 2**-4, 8, mode="HALF_EVEN")
    z = b.node("Flatten", z)
    z = b.node("MatMul", z, b.quant(b.real(7, 5), 2**-4, 6))
    z = b.quant(b.node("Add", z, b.quant(b.real(5), 2**-6, 8)), 2**-4, 10)
    return b.model("x", [1, 3, 8, 6], TensorProto.FLOAT, z, TensorProto.FLOAT)


def qonnx_scaled() -> Any:
    """Signs, real scales, batch norms that fall, functions, truncation, zero points."""
    b = Quant(SEED + 4)
    x = b.quant("x", 2**-5, 8)
    w = b.node("BipolarQuant", b.real(6, 3, 3, 3), b.constant(0.25), domain=QONNX)
    y = b.norm(b.node("Conv", x, w, pads=[1, 1, 1, 1]), 6, falling=True)
    y = b.quant(y, 0.3, 3)
    # Weights of two bits with real scales of channels.
    w = b.quant(b.real(8, 6, 3, 3), b.rng.uniform(0.3, 0.6, (8, 1, 1, 1)), 2, narrow=1)
    z = b.norm(b.node("Conv", y, w, strides=[2, 2]), 8)
    z = b.quant(b.node("Relu", z), 0.11, 4, signed=0, zero=2)
    w = b.quant(b.real(4, 8, 1, 1), 0.25, 3, narrow=1)
    z = b.quant(b.node("Tanh", b.norm(b.node("Conv", z, w), 4)), 2**-7, 8)
    z = b.node("Trunc", z, *map(b.constant, (2**-7, 0, 8, 2**-4, 5)), domain=QONNX, signed=1,
               narrow=0, rounding_mode="FLOOR")  # fmt: skip
    z = b.node("Flatten", z)
    z = b.node("Mul", b.node("MatMul", z, b.quant(b.real(24, 5), 2**-2, 3)), b.constant(0.37))
    z = b.node("BipolarQuant", b.node("Sub", z, b.constant(0.11)), b.constant(1.0), domain=QONNX)
    w = b.quant(b.real(5, 5), 2**-2, 4)
    return b.model("x", [1, 3, 8, 6], TensorProto.FLOAT, b.node("MatMul", z, w), TensorProto.FLOAT)


MODELS: dict[str, Callable[[], Any]] = {
    "qdq_channels": qdq_channels,
    "qdq_residual": qdq_residual,
    "qdq_rows": qdq_rows,
    "qdq_ties": qdq_ties,
    "qdq_unsigned": qdq_unsigned,
    "qlinear": qlinear,
    "qonnx_po2": qonnx_po2,
    "qonnx_scaled": qonnx_scaled,
}


def main() -> None:
    """Write all models."""
    for name, make in MODELS.items():
        path = FIXTURES / f"onnx_{name}.onnx"
        onnx.save(make(), path)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
