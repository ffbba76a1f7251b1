"""TensorFlow Lite files: what the flatbuffer holds, checked, as plain values.

The generated reader (package ``tflite``) follows any offset that a file states. Here every vector
is held against the file's size before it is walked, and whatever the reader raises on damaged
bytes becomes one message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ..limits import check_elements, check_unpacked

IDENTIFIER = b"TFL3"
_DAMAGED = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    AttributeError,
    KeyError,
)
"""What the generated reader raises where offsets and lengths make no sense."""

_DTYPES = {
    "FLOAT32": np.float32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


@dataclass(frozen=True, eq=False)
class TfTensor:
    """A tensor: its shape (batch first) and type's name; where quantized, one scale and zero
    point, or one for each index along ``axis``; where constant, its ``data``."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: Array | None

    @property
    def scale(self) -> float:
        """The only scale. Raises UserError where there is not one."""
        self._check_single()
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The only zero point. Raises UserError where there is not one."""
        self._check_single()
        return self.zero_points[0]

    def _check_single(self) -> None:
        if len(self.scales) != 1:
            raise UserError(
                f"tensor {self.name!r} ({self.dtype.lower()}) has {len(self.scales)} scales, one "
                "is needed",
                hint="quantize the model to int8",
            )


@dataclass(frozen=True, eq=False)
class TfOperator:
    """An operator: ``kind`` is its name in the schema, ``options`` its union's table, if any.

    ``inputs`` are indices of tensors, -1 where an optional one is absent.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any

    @property
    def name(self) -> str:
        """A name for messages and nodes: the kind and the place in the file."""
        return f"{self.kind.lower()}_{self.index}"


@dataclass(frozen=True, eq=False)
class TfModel:
    """The only subgraph of a file; ``signed`` are the names of inputs and outputs in its signature,
    by their tensors."""

    tensors: tuple[TfTensor, ...]
    operators: tuple[TfOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signed: dict[int, str] = field(default_factory=dict)


def read_model(path: Path) -> TfModel:
    """Read a file. Raises UserError where it is damaged, or holds what no importer could use."""
    content = path.read_bytes()
    with _named_damage():
        return _Reader(content).model()


@contextmanager
def _named_damage() -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise UserError(
            f"is damaged: it does not follow the TensorFlow Lite schema ({error})",
            hint="copy or convert it again",
        ) from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        import tflite

        self.schema: Any = tflite
        self.content, self.taken = content, 0
        self.root: Any = tflite.Model.GetRootAsModel(content, 0)
        self.kinds = _names(tflite.BuiltinOperator)
        self.types = _names(tflite.TensorType)

    def model(self) -> TfModel:
        if self.length(self.root.SubgraphsLength()) != 1:
            raise UserError(
                f"has {self.root.SubgraphsLength()} subgraphs, one is supported",
                hint="convert the model without control flow",
            )
        graph: Any = self.root.Subgraphs(0)
        tensors = [self.tensor(graph, i) for i in range(self.length(graph.TensorsLength()))]
        operators = [
            self.operator(graph, i, len(tensors))
            for i in range(self.length(graph.OperatorsLength()))
        ]
        inputs = self.indices(graph.InputsAsNumpy(), len(tensors), "the inputs")
        outputs = self.indices(graph.OutputsAsNumpy(), len(tensors), "the outputs")
        return TfModel(tuple(tensors), tuple(operators), inputs, outputs, self.signed())

    def signed(self) -> dict[int, str]:
        """Names in the first signature, empty where there is none."""
        if not self.length(self.root.SignatureDefsLength()):
            return {}
        signature: Any = self.root.SignatureDefs(0)
        maps = [signature.Inputs(n) for n in range(self.length(signature.InputsLength()))]
        maps += [signature.Outputs(n) for n in range(self.length(signature.OutputsLength()))]
        return {
            each.TensorIndex(): (each.Name() or b"").decode("utf-8", "replace") for each in maps
        }

    def length(self, stated: int) -> int:
        """A vector's length: each element takes four bytes or more."""
        if not 0 <= stated <= len(self.content) // 4:
            raise ValueError(f"a list of {stated} elements in {len(self.content)} bytes")
        return stated

    def array(self, values: Any) -> Array:
        """A vector of the generated reader, which gives 0 for an absent one; a view of the file.

        Many tensors may name one vector: what is taken in all is held against the file's size.
        """
        vector = values if isinstance(values, np.ndarray) else np.zeros(0, np.int64)
        self.taken += vector.nbytes
        check_unpacked(self.taken, len(self.content), "lists that it states")
        return vector

    def indices(self, values: Any, count: int, what: str) -> tuple[int, ...]:
        out = tuple(self.array(values).tolist())
        if any(not -1 <= i < count for i in out):
            raise ValueError(f"{what} name tensors {list(out)} of {count}")
        return out

    def tensor(self, graph: Any, index: int) -> TfTensor:
        raw = graph.Tensors(index)
        name = (raw.Name() or b"").decode("utf-8", "replace")
        dtype = self.types.get(raw.Type(), f"type {raw.Type()}")
        shape = tuple(self.array(raw.ShapeAsNumpy()).tolist())
        # A signature marks what may change from call to call with -1.
        signature = self.array(raw.ShapeSignatureAsNumpy()).tolist()
        if any(n < 0 for n in shape) or any(n < 0 for n in signature[1:]):
            raise UserError(
                f"tensor {name!r} has a shape that is not fixed: {signature or list(shape)}",
                hint="convert the model with static shapes",
            )
        quantization = raw.Quantization()
        scales: tuple[float, ...] = ()
        zeros: tuple[int, ...] = ()
        axis = 0
        if quantization is not None:
            scales = tuple(self.array(quantization.ScaleAsNumpy()).tolist())
            given = self.array(quantization.ZeroPointAsNumpy()).tolist()
            zeros = tuple(given) or (0,) * len(scales)
            axis = quantization.QuantizedDimension()
        if len(zeros) != len(scales) or not all(0.0 < s < np.inf for s in scales):
            raise UserError(
                f"tensor {name!r} has {len(scales)} scales and {len(zeros)} zero points; as many "
                "are needed, and each scale positive and finite"
            )
        if raw.Sparsity() is not None:
            raise UserError(f"tensor {name!r} is sparse", hint="store it densely")
        data = self.data(raw.Buffer(), shape, dtype, name)
        if data is None:  # else the file has as many
            check_elements(shape, f"tensor {name!r}")
        return TfTensor(index, name, shape, dtype, scales, zeros, axis, data)

    def data(self, number: int, shape: tuple[int, ...], dtype: str, name: str) -> Array | None:
        if not 0 <= number < self.length(self.root.BuffersLength()):
            raise ValueError(f"buffer {number} does not exist")
        buffer: Any = self.root.Buffers(number)
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise UserError(f"tensor {name!r} is stored outside of the flatbuffer")
        if not buffer.DataLength() or dtype not in (*_DTYPES, "INT4"):
            return None
        raw: Any = buffer.DataAsNumpy()  # a view: tensors may share a buffer
        if dtype == "INT4":
            return _nibbles(raw, shape, name)
        kind = np.dtype(_DTYPES[dtype]).newbyteorder("<")
        if len(raw) != prod(shape) * kind.itemsize:
            raise UserError(
                f"tensor {name!r} has {len(raw)} bytes of data, shape {list(shape)} of {dtype} "
                f"needs {prod(shape) * kind.itemsize}"
            )
        return raw.view(kind).reshape(shape)

    def operator(self, graph: Any, index: int, tensors: int) -> TfOperator:
        raw = graph.Operators(index)
        number = raw.OpcodeIndex()
        if not 0 <= number < self.length(self.root.OperatorCodesLength()):
            raise ValueError(f"operator code {number} does not exist")
        code: Any = self.root.OperatorCodes(number)
        # Codes above 127 did not fit the schema's first field.
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self.kinds.get(kind, f"OPERATOR {kind}")
        if name == "CUSTOM":
            custom = (code.CustomCode() or b"").decode("utf-8", "replace")
            raise UserError(f"custom operator {custom!r} is not supported", layer=f"custom_{index}")
        return TfOperator(
            index,
            name,
            self.indices(raw.InputsAsNumpy(), tensors, f"the inputs of {name} {index}"),
            self.indices(raw.OutputsAsNumpy(), tensors, f"the outputs of {name} {index}"),
            raw.BuiltinOptions(),
        )


def _nibbles(raw: Array, shape: tuple[int, ...], name: str) -> Array:
    """Integers of four bits, two in a byte, the first one in its lower half. Raises UserError."""
    count = prod(shape)
    if len(raw) != (count + 1) // 2:
        raise UserError(
            f"tensor {name!r} has {len(raw)} bytes of data, shape {list(shape)} of INT4 needs "
            f"{(count + 1) // 2}"
        )
    codes = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(codes > 7, codes - 16, codes).reshape(shape)


def options(operator: TfOperator, table: str, *fields: str) -> SimpleNamespace:
    """Fields of an operator's options, read as a table of the schema.

    Without options every field has the schema's default, which is 0 (and for a dilation 1).
    Raises UserError where they are damaged.
    """
    import tflite

    if operator.options is None:
        return SimpleNamespace(**{f: int(f.startswith("Dilation")) for f in fields})
    out = getattr(tflite, table)()
    with _named_damage():
        out.Init(operator.options.Bytes, operator.options.Pos)
        return SimpleNamespace(**{field: getattr(out, field)() for field in fields})


def enumerated(enumeration: str, value: int) -> str:
    """The name of a value of an enumeration of the schema."""
    import tflite

    return _names(getattr(tflite, enumeration)).get(value, f"number {value}")


def _names(enumeration: Any) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}
