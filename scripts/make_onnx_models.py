#!/usr/bin/env python3
"""Makes the shipped ONNX models from the shipped QKeras CNN, and freezes what runtimes compute.

``cnn_qonnx.onnx`` has the same weights and types as QONNX quantizers. ``cnn_qdq.onnx`` has them as
int8 with QuantizeLinear and DequantizeLinear: one scale for each output channel, activations
calibrated on the shipped digits. Each ``NAME_oracle.npz`` holds ``y``, what the runtime of the
dialect (QONNX, ONNX Runtime) gives for the first DIGITS of mnist_digits.npz. Needs the extra
``oracle``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from freeze_onnx import runner  # noqa: E402
from make_onnx_fixtures import Qdq, Quant  # noqa: E402

import hwgen  # noqa: E402

Array = np.ndarray[Any, Any]
MODELS = ROOT / "hwgen" / "models"
DIGITS = 300
LAYERS = ("conv1", "conv2", "dense1", "dense2")


def digits() -> tuple[Array, Array]:
    """The shipped digits as numbers below 1, channels first, and their labels."""
    with np.load(MODELS / "mnist_digits.npz") as data:
        return (data["x"][:DIGITS, None] / 256).astype(np.float32), data["y"][:DIGITS]


def layers() -> tuple[Any, dict[str, tuple[Array, Array]]]:
    """The QKeras model's graph and its real weights, as ONNX orders them, and biases."""
    graph = hwgen.load(MODELS / "mnist_cnn.h5")
    found = {}
    for node in graph.nodes:
        if node.name in LAYERS:
            op: Any = node.op
            weights = op.weights / 2.0**op.weight_type.frac
            if weights.ndim == 4:
                weights = weights.transpose(3, 2, 0, 1)
            elif node.name == "dense1":  # reads the flattened image, whose channels come first here
                rows, columns, channels = graph.tensors["pool2"].shape
                weights = weights.reshape(rows, columns, channels, -1).transpose(2, 0, 1, 3)
                weights = weights.reshape(op.weights.shape)
            found[node.name] = (weights, op.bias / 2.0**op.bias_frac)
    return graph, found


def qonnx_model() -> Any:
    """The CNN with QONNX quantizers."""
    graph, parts = layers()
    b = Quant(0)
    x = b.quant("x", 2.0**-8, 8, signed=0)
    for name, relu in zip(LAYERS, ("relu1", "relu2", "relu3", None), strict=True):
        weights, bias = parts[name]
        stored = b.quant(b.constant(weights), 2.0**-5, 6, narrow=1)
        added = b.quant(b.constant(bias), 2.0**-8, 10)
        if weights.ndim == 4:
            x = b.node("Conv", x, stored, added, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            if name == "dense1":
                x = b.node("Flatten", x)
            x = b.node("Add", b.node("MatMul", x, stored), added)
        if relu:
            x = b.quant(b.node("Relu", x), 2.0 ** -graph.tensors[relu].type.frac, 8, signed=0)
        if weights.ndim == 4:
            x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return b.model("x", [1, 1, 28, 28], TensorProto.FLOAT, x, TensorProto.FLOAT)


def qdq_model() -> Any:
    """The CNN in int8, its activations' scales from the digits."""
    graph, parts = layers()
    images, _ = digits()
    edges = hwgen.run(graph, {graph.inputs[0].name: images.transpose(0, 2, 3, 1)},
                      real=True, edges=True)  # fmt: skip
    b = Qdq(0, np.int8)
    scale = np.float32(1 / 256)
    x = b.quantize("x", float(scale), -128)
    for name, after in zip(LAYERS, ("relu1", "relu2", "relu3", None), strict=True):
        weights, bias = parts[name]
        axis = 0 if weights.ndim == 4 else 1
        others = tuple(a for a in range(weights.ndim) if a != axis)
        steps = (np.abs(weights).max(axis=others) / 127).astype(np.float32)
        shape = [-1 if a == axis else 1 for a in range(weights.ndim)]
        codes = np.clip(np.rint(weights / steps.reshape(shape)), -127, 127)
        zeros = b.constant(np.zeros(len(steps)), np.int8)
        stored = b.node("DequantizeLinear", b.constant(codes, np.int8), b.constant(steps), zeros,
                        axis=axis)  # fmt: skip
        sums = (scale * steps).astype(np.float32)
        offsets = b.constant(np.rint(bias / sums), np.int32)
        none = b.constant(np.zeros(len(sums)), np.int32)
        added = b.node("DequantizeLinear", offsets, b.constant(sums), none, axis=0)
        if weights.ndim == 4:
            x = b.node("Conv", x, stored, added, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            if name == "dense1":  # not a Flatten: behind one ONNX Runtime has no integer Gemm
                x = b.node("Reshape", x, b.constant([1, -1], np.int64))
            x = b.node("Gemm", x, stored, added)
        if after is None:
            reach = np.abs(edges[name]).max()
            out = b.node("QuantizeLinear", x, *b.type(float(np.float32(reach / 127)), 0))
            return b.model("x", [1, 1, 28, 28], TensorProto.FLOAT, out, TensorProto.INT8)
        scale = np.float32(edges[after].max() / 255)
        x = b.quantize(b.node("Relu", x), float(scale), -128)
        if weights.ndim == 4:
            x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    raise AssertionError("the last layer has no activation")


def main() -> None:
    """Write both models and their oracles."""
    images, labels = digits()
    for name, make in (("cnn_qonnx", qonnx_model), ("cnn_qdq", qdq_model)):
        path = MODELS / f"{name}.onnx"
        onnx.save(make(), path)
        run = runner(path)
        y = np.concatenate([run({"x": image[None]}) for image in images])
        np.savez_compressed(MODELS / f"{name}_oracle.npz", y=y)
        right = (y.argmax(axis=1) == labels).mean()
        print(f"{path.name}: {path.stat().st_size} bytes, {right:.2%} of {len(labels)} digits")


if __name__ == "__main__":
    main()
