"""The graph as it grows, and what every operator's handler asks of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...errors import UserError
from ...ir import Node, Op, Tensor
from ...ir.ops import Rescale
from ...numeric import Overflow, QType, Rounding
from .file import TfModel, TfOperator, TfTensor, enumerated
from .meaning import Multipliers, Runtime, activation_bounds

_SIGNED = {"INT8": True, "UINT8": False}
_FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")


@dataclass
class TfliteImport:
    """Nodes so far; ``edges`` are those of the file's tensors, by index."""

    model: TfModel
    runtime: Runtime
    inputs: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    edges: dict[int, Tensor] = field(default_factory=dict)
    layer: str | None = None
    """The layer that the operator read now is a part of, by the name that the file has for it."""

    def edge(self, op: TfOperator, position: int) -> Tensor:
        """The edge of an operator's input. Raises UserError where it is a constant or absent."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise UserError(f"input {position} is absent")
        index = op.inputs[position]
        if index not in self.edges:
            tensor = self.model.tensors[index]
            if tensor.data is not None:
                raise UserError(f"input {tensor.name!r} is a constant, which is not supported here")
            if tensor.index in self.model.inputs:
                raise UserError(f"input {tensor.name!r} is read as it can not be")
            raise UserError(
                f"input {tensor.name!r} has no value: no operator before gives it, and no data "
                "are stored",
                hint="the file is damaged, or its operators are not in order",
            )
        return self.edges[index]

    def constant(self, op: TfOperator, position: int) -> TfTensor:
        """A constant input. Raises UserError where it has no data."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise UserError(f"input {position} is absent")
        tensor = self.model.tensors[op.inputs[position]]
        if tensor.data is None:
            raise UserError(f"input {tensor.name!r} must be a constant, but has no data")
        return tensor

    def integers(self, op: TfOperator, position: int) -> np.ndarray:
        """The integers of a constant input: axes, sizes, amounts. Raises UserError for others."""
        tensor = self.constant(op, position)
        data = tensor.data
        assert data is not None
        if data.dtype.kind not in "iu" or not data.size:
            raise UserError(f"input {tensor.name!r} is {tensor.dtype.lower()} of shape "
                            f"{list(tensor.shape)}, integers are needed")  # fmt: skip
        return data.astype(np.int64)

    def optional(self, op: TfOperator, position: int) -> TfTensor | None:
        """A constant input that may be absent."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            return None
        return self.constant(op, position)

    def check_new(self, op: TfOperator) -> None:
        """Raises UserError where an output has a value already: the last one would count."""
        for index in op.outputs:
            if index >= 0 and (index in self.edges or self.model.tensors[index].data is not None):
                raise UserError(
                    f"tensor {self.model.tensors[index].name!r} is given a second time",
                    hint="the file is damaged",
                )

    def keep_meaning(self, op: TfOperator) -> None:
        """Raises UserError where an operator that only moves elements changes their type."""
        if not same_meaning(self.model.tensors[op.inputs[0]], self.output(op)):
            raise UserError("input and output must have one type, scale and zero point")

    def output(self, op: TfOperator) -> TfTensor:
        """The only output of an operator."""
        if len(op.outputs) != 1 or op.outputs[0] < 0:
            raise UserError(f"has {len(op.outputs)} outputs, one is supported")
        return self.model.tensors[op.outputs[0]]

    def add(self, name: str, op: Op, *inputs: Tensor) -> Tensor:
        """Append a node; returns its edge. Raises UserError where it does not fit."""
        try:
            edge = op.infer(name, inputs)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.nodes.append(Node(name, op, tuple(x.name for x in inputs), self.layer))
        return edge

    def give(self, op: TfOperator, edge: Tensor) -> None:
        """An edge as an operator's output. Raises UserError where it is not what the file says."""
        tensor = self.output(op)
        if edge.shape != frame_shape(tensor):
            raise UserError(
                f"gives shape {edge.shape}, the file says {frame_shape(tensor)}",
                hint="the file is damaged",
            )
        self.edges[tensor.index] = edge

    def rescale(
        self,
        name: str,
        x: Tensor,
        by: Multipliers,
        out: TfTensor,
        activation: str = "NONE",
        center: bool = False,
    ) -> Tensor:
        """An accumulator (or a tensor, with ``center`` less its zero point) as a tensor's type."""
        qtype = quantized(out)
        low, high = activation_bounds(activation, out.scale, out.zero_point, qtype.min, qtype.max)
        op = Rescale(
            by.scaling,
            by.mult,
            by.shift,
            qtype,
            bias=np.array([-x.type.zero_point if center else 0]),
            offset=out.zero_point,
            clip=None if (low, high) == (qtype.min, qtype.max) else (low, high),
        )
        return self.add(name, op, x)


def frame_shape(tensor: TfTensor) -> tuple[int, ...]:
    """The shape of one frame: without the batch. Raises UserError for a batch of several."""
    shape = tensor.shape
    if len(shape) > 1:
        if shape[0] != 1:
            raise UserError(f"tensor {tensor.name!r} has a batch of {shape[0]}, 1 is supported")
        shape = shape[1:]
    if len(shape) > 3:
        raise UserError(f"tensor {tensor.name!r} has {len(tensor.shape)} axes, at most 4 are")
    return shape or (1,)


def quantized(tensor: TfTensor) -> QType:
    """The type of a tensor between layers. Raises UserError where it is none that is supported.

    Real numbers become its integers as TensorFlow Lite's QUANTIZE does: ties away from zero.
    """
    if tensor.dtype not in _SIGNED:
        what = f"tensor {tensor.name!r} is {tensor.dtype.lower()}"
        if tensor.dtype in _FLOATS:
            raise UserError(f"{what}: the model is not quantized", hint="quantize it to int8")
        raise UserError(f"{what}, int8 and uint8 are supported", hint="quantize it to int8")
    scale, zero = tensor.scale, tensor.zero_point
    try:
        return QType(
            _SIGNED[tensor.dtype], 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale, zero
        )
    except ValueError as error:
        raise UserError(f"tensor {tensor.name!r}: {error}") from None


def axis_of(value: int, tensor: TfTensor) -> int:
    """An axis counted from the first one. Raises UserError where the tensor has no such axis."""
    rank = len(tensor.shape)
    if not -rank <= value < rank:
        raise UserError(f"axis {value} of {list(tensor.shape)} does not exist")
    return value % rank


def padding(value: int) -> str:
    """A value of the schema's Padding as an op's attribute. Raises UserError."""
    name = enumerated("Padding", value)
    if name not in ("SAME", "VALID"):
        raise UserError(f"padding {name} is not supported")
    return name.lower()


def same_meaning(a: TfTensor, b: TfTensor) -> bool:
    """Whether two tensors' integers mean the same numbers."""
    return (a.dtype, a.scales, a.zero_points) == (b.dtype, b.scales, b.zero_points)
