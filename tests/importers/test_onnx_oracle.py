"""Random networks of quantizers against a live ONNX Runtime: which operators it takes, and ties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.ir import execute

pytestmark = pytest.mark.oracle
FRAMES = 12
Tensor = tuple[str, int, int]
"""Name, channels, and rows or columns of a square image."""


class Network:
    """A random network as it grows; some tensors go on without a quantizer."""

    def __init__(self, seed: int) -> None:
        self.random, self.rng = Random(seed), np.random.default_rng(seed)
        self.dtype = self.random.choice([np.int8, np.uint8])
        self.unit = np.float32(self.random.choice([2**-5, 2**-5, 0.05, 0.0437, 1 / 255]))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.tensors: list[Tensor] = [(self.quantized("x"), 3, 6)]

    def constant(self, value: Any) -> str:
        """A stored array."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operator's output."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def quantized(self, x: str, bounded: bool = False) -> str:
        """QuantizeLinear and DequantizeLinear with a scale that ties with others."""
        limits = np.iinfo(self.dtype)
        scale = self.constant(self.unit * np.float32(self.random.choice([0.5, 1, 2, 3, 4])))
        least = bounded and self.random.random() < 0.8
        code = limits.min if least else self.random.randint(limits.min // 2, limits.max // 2)
        zero = self.constant(self.dtype(code))
        return self.node(
            "DequantizeLinear", self.node("QuantizeLinear", x, scale, zero), scale, zero
        )

    def grow(self) -> None:
        """One more operator."""
        kinds = (self.conv, self.conv, self.pair, self.pair, self.moved, self.moved, self.average,
                 self.joined)  # fmt: skip
        self.random.choice(kinds)(*self.random.choice(self.tensors[-3:]))

    def keep(self, name: str, channels: int, size: int, bounded: bool = False) -> None:
        """Quantize a tensor and have it."""
        self.tensors.append((self.quantized(name, bounded), channels, size))

    def conv(self, x: str, channels: int, size: int) -> None:
        """A convolution, with or without a bound."""
        codes = self.constant(self.rng.integers(-9, 10, (4, channels, 3, 3)).astype(np.int8))
        scale = self.constant(np.float32(self.random.choice([2**-5, 0.0131])))
        weights = self.node("DequantizeLinear", codes, scale, self.constant(np.int8(0)))
        y = self.node("Conv", x, weights, pads=[1, 1, 1, 1])
        bounded = self.random.random() < 0.4
        self.keep(self.node("Relu", y) if bounded else y, 4, size, bounded)

    def pair(self, x: str, channels: int, size: int) -> None:
        """A sum or product of two tensors, or of one with itself."""
        others = [t for t in self.tensors if t[1:] == (channels, size)]
        kind = self.random.choice(["Add", "Mul"])
        y = self.node(kind, x, self.random.choice(others)[0])
        bounded = self.random.random() < 0.3
        self.keep(self.node("Relu", y) if bounded else y, channels, size, bounded)

    def moved(self, x: str, channels: int, size: int) -> None:
        """Elements moved, often without a quantizer."""
        kind = self.random.choice(["MaxPool", "Reshape", "Pad", "LeakyRelu", "Resize"])
        if kind == "MaxPool" and size > 2:
            y, size = self.node(kind, x, kernel_shape=[2, 2], strides=[2, 2]), size // 2
        elif kind == "Reshape":
            y = self.node(kind, x, self.constant(np.array([1, channels, size, size])))
        elif kind == "Pad":
            y, size = self.node(kind, x, self.constant(np.array([0, 0, 1, 1] * 2))), size + 2
        elif kind == "Resize" and size < 8:
            by = self.constant(np.array([1, 1, 2, 2], np.float32))
            y, size = self.node(kind, x, "", by, nearest_mode="floor",
                                coordinate_transformation_mode="asymmetric"), 2 * size  # fmt: skip
        else:
            self.keep(self.node("LeakyRelu", x, alpha=0.1), channels, size)
            return
        if self.random.random() < 0.4:
            self.tensors.append((y, channels, size))
        else:
            self.keep(y, channels, size)

    def average(self, x: str, channels: int, size: int) -> None:
        """An average of the image or of windows."""
        if size < 2 or self.random.random() < 0.6:
            self.keep(self.node("GlobalAveragePool", x), channels, 1)
        else:
            y = self.node("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1])
            self.keep(y, channels, size - 1)

    def joined(self, x: str, channels: int, size: int) -> None:
        """Two tensors' channels."""
        y, more, _ = self.random.choice([t for t in self.tensors if t[2] == size])
        self.keep(self.node("Concat", x, y, axis=1), channels + more, size)

    def model(self) -> Any:
        """The network that leads to the last quantizer."""
        last = [n for n in self.nodes if n.op_type == "QuantizeLinear"][-1].output[0]
        needed, kept = {last}, []
        for node in reversed(self.nodes):
            if node.output[0] in needed:
                kept.insert(0, node)
                needed.update(node.input)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])
        stored = TensorProto.INT8 if self.dtype is np.int8 else TensorProto.UINT8
        y = helper.make_tensor_value_info(last, stored, None)
        constants = [c for c in self.constants if c.name in needed]
        graph = helper.make_graph(kept, "random", [x], [y], constants)
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.fixture(scope="module")
def session() -> Callable[[Path], Any]:
    """What runs a file in ONNX Runtime."""
    ort = pytest.importorskip("onnxruntime")

    def opened(path: Path) -> Any:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    return opened


@pytest.mark.parametrize("block", range(8))
def test_networks_equal_the_runtime(
    block: int, tmp_path: Path, session: Callable[[Path], Any]
) -> None:
    loaded = 0
    path = tmp_path / "m.onnx"
    for seed in range(50 * block, 50 * block + 50):
        network = Network(seed)
        for _ in range(network.random.randint(2, 6)):
            network.grow()
        onnx.save(network.model(), path)
        try:
            graph = load(path)
        except UserError:
            continue
        loaded += 1
        (edge,) = graph.inputs
        codes = network.rng.integers(edge.type.min, edge.type.max + 1, (FRAMES, *edge.shape))
        real = (codes - edge.type.zero_point).astype(np.float32) * np.float32(edge.type.scale)
        run = session(path)
        wanted = [run.run(None, {"x": x.transpose(2, 0, 1)[np.newaxis]})[0] for x in real]
        got = execute(graph, {edge.name: codes})[graph.outputs[0]]
        assert np.array_equal(got, np.concatenate(wanted).transpose(0, 2, 3, 1)), seed
    assert loaded > 30
