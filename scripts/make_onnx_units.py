#!/usr/bin/env python3
"""Makes tiny ONNX models of single operators, a few of a kind in each, as files of users have them.

What ONNX Runtime computes with them is frozen by freeze_onnx.py, which needs the extra ``oracle``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from make_onnx_fixtures import FIXTURES, MICROSOFT, Builder
from onnx import TensorProto, helper

SEED = 58
Made = tuple[str, list[int], int]
"""The output, the shape of the input, the stored type of the output."""


class Units(Builder):
    """A graph of quantizers around operators."""

    def several(self, kind: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """An operator of several outputs."""
        names = [f"t{len(self.nodes)}_{n}" for n in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def whole(self, *numbers: int) -> str:
        """A constant of whole numbers."""
        return self.constant(numbers, np.int64)

    def stored(self, x: str, scale: float, zero: int = 0, dtype: Any = np.int8) -> str:
        """QuantizeLinear."""
        return self.node("QuantizeLinear", x, self.constant(scale), self.constant(zero, dtype))

    def real(self, x: str, scale: float, zero: int = 0, dtype: Any = np.int8) -> str:
        """DequantizeLinear."""
        return self.node("DequantizeLinear", x, self.constant(scale), self.constant(zero, dtype))

    def qdq(self, x: str, scale: float, zero: int = 0, dtype: Any = np.int8) -> str:
        """Both."""
        return self.real(self.stored(x, scale, zero, dtype), scale, zero, dtype)

    def weights(self, *shape: int, scale: float = 0.004, most: int = 127) -> str:
        """Stored weights."""
        codes = self.rng.integers(-most, most + 1, shape)
        return self.real(self.constant(codes, np.int8), scale)

    def biases(self, count: int) -> str:
        """Real ones."""
        return self.constant(self.rng.normal(0, 0.3, count))


def parts(b: Units) -> Made:
    """Split, Concat along channels and rows, a channel shuffle, Slice and Gather."""
    first, second = b.several("Split", b.qdq("x", 0.03, 3), b.whole(1, 3), count=2, axis=1)
    x = b.qdq(b.node("Concat", b.qdq(second, 0.03, 3), b.qdq(first, 0.03, 3), axis=1), 0.03, 3)
    x = b.node("Transpose", b.node("Reshape", x, b.whole(1, 2, 2, 4, 3)), perm=[0, 2, 1, 3, 4])
    x = b.node("Reshape", x, b.whole(1, 4, 4, 3))
    x = b.qdq(b.node("Conv", x, b.weights(4, 1, 3, 3), group=4, pads=[1] * 4), 0.02, -5)
    rows = b.qdq(b.node("Slice", x, b.whole(1), b.whole(4), b.whole(2), b.whole(2)), 0.02, -5)
    x = b.qdq(b.node("Concat", rows, x, axis=2), 0.02, -5)
    return b.stored(b.node("Gather", x, b.whole(1, 3), axis=1), 0.03, 2), [1, 4, 4, 3], (
        TensorProto.INT8)  # fmt: skip


def space(b: Units) -> Made:
    """SpaceToDepth and DepthToSpace of both modes, an inner Transpose; files with channels last."""
    x = b.qdq(b.node("Transpose", "x", perm=[0, 3, 1, 2]), 0.03, 3)
    x = b.qdq(b.node("SpaceToDepth", x, blocksize=2), 0.03, 3)
    x = b.qdq(b.node("Conv", x, b.weights(8, 12, 1, 1), b.biases(8)), 0.05, -3)
    x = b.qdq(b.node("DepthToSpace", x, blocksize=2, mode="CRD"), 0.05, -3)
    x = b.qdq(b.node("Conv", x, b.weights(4, 2, 1, 1)), 0.04)
    x = b.qdq(b.node("DepthToSpace", x, blocksize=2), 0.04)
    x = b.node("Transpose", x, perm=[0, 3, 2, 1])
    x = b.qdq(b.node("Conv", x, b.weights(3, 8, 3, 1)), 0.03)
    return b.stored(b.node("Transpose", x, perm=[0, 2, 3, 1]), 0.03), [1, 4, 4, 3], TensorProto.INT8


def joins(b: Units) -> Made:
    """One pixel of all channels that is multiplied and added, constants, PRelu."""
    x = b.qdq("x", 0.03, 3)
    pixel = b.qdq(b.node("GlobalAveragePool", x), 0.02, 5)
    gate = b.qdq(b.node("Conv", pixel, b.weights(4, 4, 1, 1, scale=0.05), b.biases(4)), 0.04)
    gate = b.qdq(b.node("Sigmoid", gate), 1 / 256, -128)
    x = b.qdq(b.node("Mul", gate, x), 0.02, 1)
    x = b.qdq(b.node("Add", x, pixel), 0.031, -7)
    slopes = b.constant(np.reshape([0.1, 0.25, 0.5, 0], (4, 1, 1)))
    x = b.qdq(b.node("PRelu", x, slopes), 0.03, -20)
    x = b.node("Add", x, b.real(b.constant(np.reshape([9, -8, 7, 0], (4, 1, 1)), np.int8), 0.05))
    return b.stored(x, 0.03, 4), [1, 4, 4, 3], TensorProto.INT8


def classes(b: Units) -> Made:
    """Float biases behind a convolution and a MatMul, a Flatten first, a softmax at the end."""
    x = b.qdq(b.node("Reshape", "x", b.whole(1, 3, 5, 4)), 0.03, 3)
    x = b.node("Relu", b.node("Conv", x, b.weights(4, 3, 3, 3), b.biases(4)))
    x = b.node("Reshape", b.qdq(x, 0.02, -128), b.whole(1, -1))
    x = b.node("Add", b.node("MatMul", x, b.weights(24, 6)), b.biases(6))
    x = b.node("Softmax", b.qdq(x, 0.04, 2), axis=1)
    return b.stored(x, 1 / 256, -128), [1, 60], TensorProto.INT8


def picks(b: Units) -> Made:
    """Weights that are bounded (QCDQ), activations too; the largest of all channels."""
    x = b.node("Clip", b.stored("x", 0.25), b.constant(-8, np.int8), b.constant(7, np.int8))
    codes = b.constant(b.rng.integers(-127, 128, (24, 3, 3, 3)), np.int8)
    codes = b.node("Clip", codes, b.constant(-7, np.int8), b.constant(7, np.int8))
    y = b.node("Conv", b.real(x, 0.25), b.real(codes, 0.125), b.biases(24))
    most = b.several("TopK", b.qdq(y, 0.0625, 3), b.whole(1), count=2, axis=1)[1]
    return most, [1, 3, 5, 4], TensorProto.INT64


def powers(b: Units) -> Made:
    """What is float32 in the runtime, and exact: ConvTranspose, weights of 4 bits, ReduceMean."""
    x = b.qdq("x", 2**-5, 3)
    up = b.node("ConvTranspose", x, b.weights(3, 4, 3, 3, scale=2**-7), b.biases(4),
                strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])  # fmt: skip
    codes = helper.make_tensor("w4", TensorProto.INT4, [6, 4, 1, 1],
                               b.rng.integers(-8, 8, 24).tolist())  # fmt: skip
    zero = helper.make_tensor("z4", TensorProto.INT4, [], [0])
    b.constants += [codes, zero]
    few = b.node("DequantizeLinear", "w4", b.constant(2**-4), "z4")
    x = b.qdq(b.node("Conv", b.qdq(up, 2**-4, 1), few, b.biases(6)), 2**-4, -4)
    x = b.node("ReduceMean", x, b.whole(2, 3), keepdims=0)
    return b.stored(x, 0.0131, 9), [1, 3, 3, 4], TensorProto.INT8


def odd(b: Units) -> Made:
    """ConvTranspose whose results are no multiples of its strides, of one axis and of two."""
    x = b.qdq("x", 2**-5, 3)
    x = b.node("ConvTranspose", x, b.weights(3, 4, 3, 2, scale=2**-7), b.biases(4),
               strides=[2, 3], pads=[1, 0, 1, 1])  # fmt: skip
    x = b.qdq(b.node("Conv", b.qdq(x, 2**-4, 1), b.weights(2, 4, 3, 3), b.biases(2)), 2**-5, -4)
    x = b.node("Reshape", x, b.whole(1, 2, -1))
    x = b.node("ConvTranspose", x, b.weights(2, 2, 3, scale=2**-7), strides=[2])
    return b.stored(x, 2**-4, 5), [1, 3, 3, 4], TensorProto.INT8


def sums(b: Units) -> Made:
    """ConvInteger and MatMulInteger with zero points, and the real arithmetic behind them."""
    x = b.stored("x", 0.03, 131, np.uint8)
    w = b.constant(b.rng.integers(0, 256, (4, 3, 3, 3)), np.uint8)
    zero = b.constant(121, np.uint8)
    x = b.node("ConvInteger", x, w, b.constant(131, np.uint8), zero, pads=[1] * 4, strides=[2, 1])
    x = b.node("Cast", x, to=TensorProto.FLOAT)
    x = b.node("Mul", x, b.constant(np.reshape(b.rng.uniform(1e-4, 3e-4, 4), (4, 1, 1))))
    x = b.node("Relu", b.node("Add", x, b.constant(b.rng.normal(0, 0.3, (1, 4, 1, 1)))))
    x = b.node("Reshape", b.stored(x, 0.02, -100), b.whole(1, -1))
    w = b.constant(b.rng.integers(-127, 128, (48, 5)), np.int8)
    zeros = b.constant(b.rng.integers(-9, 9, 5), np.int8)
    x = b.node("MatMulInteger", x, w, b.constant(-100, np.int8), zeros)
    x = b.node("Mul", b.node("Cast", x, to=TensorProto.FLOAT), b.constant(0.00013))
    return b.stored(x, 0.03, 3), [1, 3, 5, 4], TensorProto.INT8


def curves(b: Units) -> Made:
    """Functions of one number that rise, and that fall too; a difference; the largest of all."""
    x = b.qdq("x", 0.03, 3)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("Elu", {"alpha": 0.7}), ("Selu", {}), ("Celu", {"alpha": 1.25}), ("Softplus", {}),
        ("Softsign", {}), ("Erf", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}),
        ("HardSwish", {}), ("Mish", {}),
    ]  # fmt: skip
    parts = []
    for kind, more in kinds:
        parts.append(b.qdq(b.node(kind, x, **more), 0.021, -20))
    x = b.qdq(b.node("Concat", *parts, axis=1), 0.021, -20)
    y = b.qdq(b.node("Conv", x, b.weights(4, 20, 1, 1)), 0.02, 5)
    z = b.qdq(b.node("Conv", x, b.weights(4, 20, 1, 1)), 0.027, -3)
    x = b.qdq(b.node("Sub", y, z), 0.031, 7)
    return b.stored(b.node("GlobalMaxPool", x), 0.03, 2), [1, 2, 3, 4], TensorProto.INT8


def operands(b: Units) -> Made:
    """QLinear operators with constants on either side; a Pad of integers."""
    x = b.stored("x", 0.03, 3)
    scales = [b.constant(s) for s in (0.03, 0.02, 0.041, 0.01, 0.025)]
    zeros = [b.constant(z, np.int8) for z in (3, -5, 9, 4, -7)]
    codes = b.constant(b.rng.integers(-100, 100, (1, 4, 3, 1)), np.int8)
    own, other = [x, scales[0], zeros[0]], [codes, scales[1], zeros[1]]
    x = b.node("QLinearAdd", *other, *own, scales[2], zeros[2], domain=MICROSOFT)
    codes = b.constant(b.rng.integers(-100, 100, (4, 1, 1)), np.int8)
    own, other = [x, scales[2], zeros[2]], [codes, scales[3], zeros[3]]
    x = b.node("QLinearMul", *own, *other, scales[4], zeros[4], domain=MICROSOFT)
    x = b.node("Pad", x, b.whole(0, 0, 1, 0, 0, 0, 0, 2), zeros[4])
    w = b.constant(b.rng.integers(-127, 128, (3, 4, 3, 3)), np.int8)
    none = b.constant(0, np.int8)
    x = b.node("QLinearConv", x, scales[4], zeros[4], w, b.constant(0.004), none, scales[1], none)
    return x, [1, 4, 3, 4], TensorProto.INT8


def pixels(b: Units) -> Made:
    """Constants for each pixel: added, subtracted as stored, multiplied, a mask with zeros."""
    x = b.qdq("x", 0.03, 3)
    x = b.qdq(b.node("Add", b.constant(b.rng.normal(0, 0.8, (3, 4))), x), 0.041, -7)
    codes = b.constant(b.rng.integers(-90, 90, (1, 4, 3, 4)), np.int8)
    x = b.qdq(b.node("Sub", x, b.real(codes, 0.02)), 0.05, 9)
    x = b.qdq(b.node("Mul", x, b.real(codes, 0.01)), 0.031, 2)
    mask = b.constant(np.maximum(0, b.rng.normal(0.3, 1, (1, 1, 3, 1))))
    x = b.qdq(b.node("Relu", b.node("Mul", x, mask)), 0.02, -11)
    return b.stored(b.node("Conv", x, b.weights(2, 4, 3, 3)), 0.02, 3), [1, 4, 3, 4], (
        TensorProto.INT8)  # fmt: skip


def wide(b: Units) -> Made:
    """Activations of 16 bits."""
    x = b.qdq("x", 2**-11, 5, np.int16)
    y = b.node("Conv", x, b.weights(3, 3, 1, 1, scale=2**-6, most=60), b.biases(3))
    y = b.qdq(b.node("Relu", b.qdq(y, 2**-10, 0, np.int16)), 2**-10, 0, np.int16)
    x = b.qdq(b.node("Add", x, y), 2**-10, 7, np.int16)
    x = b.qdq(b.node("Mul", x, y), 2**-9, 0, np.int16)
    return b.stored(b.node("Relu", x), 0.05, -100), [1, 3, 3, 4], TensorProto.INT8


UNITS: dict[str, Callable[[Units], Made]] = {
    "parts": parts,
    "space": space,
    "joins": joins,
    "classes": classes,
    "picks": picks,
    "powers": powers,
    "curves": curves,
    "odd": odd,
    "operands": operands,
    "pixels": pixels,
    "sums": sums,
    "wide": wide,
}


def main() -> None:
    """Write the models beside those of the dialects."""
    for name, make in UNITS.items():
        unit = Units(SEED)
        out, shape, dtype = make(unit)
        model = unit.model("x", shape, TensorProto.FLOAT, out, dtype, opset=21)
        onnx.save(model, FIXTURES / f"onnx_unit_{name}.onnx")


if __name__ == "__main__":
    main()
