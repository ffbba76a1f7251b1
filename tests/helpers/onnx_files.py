"""Writes small ONNX files operator by operator, and runs them in ONNX Runtime where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]


class OnnxFile:
    """A graph as it grows; its one input is "x"."""

    def __init__(self, seed: int = 1) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rng = np.random.default_rng(seed)

    def const(self, value: Any) -> str:
        """A stored array's name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def wholes(self, *values: int) -> str:
        """A stored list of int64."""
        return self.const(np.array(values, np.int64))

    def real(self, value: Any) -> str:
        """A stored float32 number or array."""
        return self.const(np.float32(value))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operator's output."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [out], f"{kind}_{out}", **attributes)
        )
        return out

    def pair(self, x: str, scale: float, zero: int = 0, dtype: Any = np.int8) -> str:
        """QuantizeLinear and DequantizeLinear."""
        numbers = self.real(scale), self.const(dtype(zero))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *numbers), *numbers)

    def weights(self, *shape: int, scale: float = 0.004) -> str:
        """Random int8 weights behind a DequantizeLinear."""
        codes = self.const(self.rng.integers(-127, 128, shape).astype(np.int8))
        return self.op("DequantizeLinear", codes, self.real(scale), self.const(np.int8(0)))

    def save(
        self, path: Path, shape: tuple[int, ...], *outputs: str, opset: int = 13,
        dtype: int = TensorProto.FLOAT, results: tuple[int, ...] = (),
    ) -> Path:  # fmt: skip
        """The file; ``results`` are types of outputs that are no float."""
        kinds = (*results, *[TensorProto.FLOAT] * len(outputs))
        x = helper.make_tensor_value_info("x", dtype, shape)
        ends = [helper.make_tensor_value_info(o, k, None)
                for o, k in zip(outputs, kinds, strict=False)]  # fmt: skip
        graph = helper.make_graph(self.nodes, "made", [x], ends, self.constants)
        opsets = [helper.make_opsetid("", opset)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        return path


def runtime(path: Path, x: Array) -> list[Array]:
    """What ONNX Runtime makes of frames (frame, 1, ...), one after the other: the outputs."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    results = [session.run(None, {"x": frame}) for frame in x]
    return [np.stack(column) for column in zip(*results, strict=True)]
