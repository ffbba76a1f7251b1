"""Writes small TensorFlow Lite files operator by operator, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

_VERSION = 3
"""Of the schema."""

_DTYPES = {
    "INT4": np.int8, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FLOAT32": np.float32,
}  # fmt: skip


class TfFile:
    """A file with one subgraph; tensors are named by their index."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[dict[str, Any]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.signature: dict[str, int] = {}
        """Names that a signature gives inputs and outputs."""

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "INT8",
        scale: float | Sequence[float] | None = None,
        zero: int = 0,
        data: Any = None,
        axis: int = 0,
    ) -> int:
        """A tensor; constant where it has data. Returns its index."""
        scales = [] if scale is None else [float(s) for s in np.atleast_1d(np.asarray(scale))]
        raw = None if data is None else np.asarray(data, _DTYPES[dtype]).reshape(tuple(shape))
        if dtype == "INT4" and raw is not None:
            raw = _nibbles(raw)
        self.tensors.append({
            "shape": list(shape), "dtype": dtype, "scales": scales, "zeros": [zero] * len(scales),
            "data": raw, "axis": axis,
        })  # fmt: skip
        return len(self.tensors) - 1

    def integers(self, values: Any) -> int:
        """A constant of int32: axes, sizes, bounds."""
        return self.tensor(np.shape(values), "INT32", data=values)

    def input(self, *tensor: Any, **more: Any) -> int:
        """A tensor that is an input of the model."""
        self.inputs.append(self.tensor(*tensor, **more))
        return self.inputs[-1]

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        output: int | Sequence[int],
        table: str = "",
        version: int = 2,
        **options: Any,
    ) -> int:
        """An operator, with the fields of its options' table. Returns its (last) output."""
        outputs = [output] if isinstance(output, int) else list(output)
        self.operators.append({
            "kind": kind, "inputs": list(inputs), "outputs": outputs, "table": table,
            "version": version, "options": options,
        })  # fmt: skip
        return outputs[-1]

    def write(self, path: Path) -> Path:
        """The file; its outputs are those of ``outputs``, else the last operator's."""
        outputs = self.outputs or self.operators[-1]["outputs"]
        b = flatbuffers.Builder(1024)
        buffers = [self._buffer(b, None)] + [self._buffer(b, t["data"]) for t in self.tensors]
        tensors = [self._tensor(b, n, t) for n, t in enumerate(self.tensors)]
        codes = [self._code(b, op) for op in self.operators]
        operators = [self._operator(b, n, op) for n, op in enumerate(self.operators)]
        parts = {
            "Tensors": _offsets(b, tensors), "Inputs": _ints(b, self.inputs),
            "Outputs": _ints(b, outputs), "Operators": _offsets(b, operators),
        }  # fmt: skip
        graph = _table(b, "SubGraph", parts)
        root = {
            "Version": _VERSION, "OperatorCodes": _offsets(b, codes),
            "Subgraphs": _offsets(b, [graph]), "Buffers": _offsets(b, buffers),
        }  # fmt: skip
        if self.signature:
            root["SignatureDefs"] = _offsets(b, [self._signature(b)])
        b.Finish(_table(b, "Model", root), b"TFL3")
        path.write_bytes(b.Output())
        return path

    def _signature(self, b: Any) -> int:
        maps: dict[str, list[int]] = {"Inputs": [], "Outputs": []}
        for name, tensor in self.signature.items():
            kind = "Inputs" if tensor in self.inputs else "Outputs"
            fields = {"Name": b.CreateString(name), "TensorIndex": tensor}
            maps[kind].append(_table(b, "TensorMap", fields))
        return _table(b, "SignatureDef", {kind: _offsets(b, all_) for kind, all_ in maps.items()})

    @staticmethod
    def _buffer(b: Any, data: Any) -> int:
        content = {} if data is None else {"Data": b.CreateByteVector(data.tobytes())}
        return _table(b, "Buffer", content)

    @staticmethod
    def _tensor(b: Any, index: int, tensor: dict[str, Any]) -> int:
        fields = {"Shape": _ints(b, tensor["shape"]), "Buffer": index + 1}
        fields |= {"Type": getattr(tflite.TensorType, tensor["dtype"])}
        fields |= {"Name": b.CreateString(f"t{index}")}
        if tensor["scales"]:
            fields["Quantization"] = _table(b, "QuantizationParameters", {
                "Scale": b.CreateNumpyVector(np.array(tensor["scales"], np.float32)),
                "ZeroPoint": b.CreateNumpyVector(np.array(tensor["zeros"], np.int64)),
                "QuantizedDimension": tensor["axis"],
            })  # fmt: skip
        return _table(b, "Tensor", fields)

    @staticmethod
    def _code(b: Any, op: dict[str, Any]) -> int:
        number = getattr(tflite.BuiltinOperator, op["kind"])
        old = min(number, 127)
        return _table(b, "OperatorCode", {
            "BuiltinCode": number, "DeprecatedBuiltinCode": old, "Version": op["version"],
        })  # fmt: skip

    @staticmethod
    def _operator(b: Any, index: int, op: dict[str, Any]) -> int:
        fields = {"OpcodeIndex": index, "Inputs": _ints(b, op["inputs"])}
        fields |= {"Outputs": _ints(b, op["outputs"])}
        if op["table"]:
            fields["BuiltinOptions"] = _table(b, op["table"], op["options"])
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op["table"])
        return _table(b, "Operator", fields)


def _nibbles(codes: np.ndarray) -> np.ndarray:
    """Two integers of four bits in a byte, the first one in its lower half."""
    flat = codes.reshape(-1)
    low, high = np.concatenate([flat, np.zeros(len(flat) % 2, np.int8)]).reshape(-1, 2).T
    return (low & 15 | high << 4).astype(np.int8)


def _table(b: Any, name: str, fields: dict[str, Any]) -> int:
    getattr(tflite, f"{name}Start")(b)
    for field, value in fields.items():
        getattr(tflite, f"{name}Add{field}")(b, value)
    return getattr(tflite, f"{name}End")(b)


def _ints(b: Any, values: Sequence[int]) -> int:
    return b.CreateNumpyVector(np.array(values, np.int32))


def _offsets(b: Any, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependUOffsetTRelative(value)
    return b.EndVector()
