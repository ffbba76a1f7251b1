"""The graph as it grows, and what every operator's handler asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import UserError
from ...ir import Node, Op, Tensor
from ...ir.ops import Requantize, Rescale
from ...numeric import Overflow, QType, Rounding
from .file import TfModel, TfOperator, TfTensor, enumerated
from .meaning import Multipliers, Runtime, activation_bounds

_BITS = {"INT8": (True, 8), "UINT8": (False, 8), "INT16": (True, 16)}
"""Types between layers: whether they have a sign, and their width."""
_OF_ROWS = frozenset({
    "ADD", "DEQUANTIZE", "EXPAND_DIMS", "FULLY_CONNECTED", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC",
    "MUL", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "SOFTMAX", "SQUEEZE", "SUB",
    "TANH",
})  # fmt: skip
"""Operators for which an axis that stands in the batch's place is a row as any other."""
_FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")


@dataclass(frozen=True)
class Moved:
    """Elements of ``x`` in another order, not yet in the graph.

    ``name`` is that of the operator, ``order`` says which element of ``x`` each one is, both
    counted in the order of storage; ``make`` appends the nodes that move them. A fully connected
    layer only reads its weights in that order.
    """

    name: str
    x: Tensor
    order: np.ndarray
    make: Callable[[], Tensor]


@dataclass
class TfliteImport:
    """Nodes so far; ``edges`` are those of the file's tensors, by index; ``moved`` are tensors
    that become edges where something asks for them."""

    model: TfModel
    runtime: Runtime
    inputs: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    edges: dict[int, Tensor] = field(default_factory=dict)
    moved: dict[int, Moved] = field(default_factory=dict)
    inverted: list[str] = field(default_factory=list)
    """Inputs whose real numbers are multiplied by the inverse of their scale."""
    layer: str | None = None
    """The layer that the operator read now is a part of, by the name that the file has for it."""

    def edge(self, op: TfOperator, position: int) -> Tensor:
        """The edge of an operator's input. Raises UserError where it is a constant or absent, and
        where its first axis is not the batch, unless that is all the same to the operator."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise UserError(f"input {position} is absent")
        index = op.inputs[position]
        self.place(index)
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
        shape_for(op, self.model.tensors[index])
        return self.edges[index]

    def place(self, index: int) -> None:
        """Give a tensor whose elements are still to be moved its edge."""
        moved = self.moved.pop(index, None)
        if moved is None:
            return
        try:
            self.edges[index] = moved.make()
        except UserError as error:
            layer = error.layer or moved.name
            raise UserError(error.reason, layer=layer, hint=error.hint) from None

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
            known = index in self.edges or index in self.moved
            if index >= 0 and (known or self.model.tensors[index].data is not None):
                raise UserError(
                    f"tensor {self.model.tensors[index].name!r} is given a second time",
                    hint="the file is damaged",
                )

    def keep_meaning(self, op: TfOperator, position: int = 0) -> None:
        """Raises UserError where an operator that only moves elements changes their type."""
        source = self.model.tensors[op.inputs[position]]
        if not all(same_meaning(source, self.model.tensors[index]) for index in op.outputs):
            raise UserError("input and output must have one type, scale and zero point")

    def output(self, op: TfOperator) -> TfTensor:
        """The only output of an operator."""
        return self.outputs(op, 1)[0]

    def outputs(self, op: TfOperator, count: int) -> list[TfTensor]:
        """An operator's outputs. Raises UserError where it has not so many."""
        if len(op.outputs) != count or min(op.outputs) < 0:
            wanted = "one is supported" if count == 1 else f"{count} are needed"
            raise UserError(f"has {len(op.outputs)} outputs, {wanted}")
        return [self.model.tensors[index] for index in op.outputs]

    def add(self, name: str, op: Op, *inputs: Tensor) -> Tensor:
        """Append a node; returns its edge. Raises UserError where it does not fit."""
        while any(name == tensor.name for tensor in self.inputs):
            name += "_"
        try:
            edge = op.infer(name, inputs)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.nodes.append(Node(name, op, tuple(x.name for x in inputs), self.layer))
        return edge

    def give(self, op: TfOperator, edge: Tensor) -> None:
        """An edge as an operator's output. Raises UserError where it is not what the file says."""
        tensor = self.output(op)
        self._give(tensor, edge, shape_for(op, tensor))

    def give_tensor(self, tensor: TfTensor, edge: Tensor) -> None:
        """An edge as a tensor of the file, as give."""
        self._give(tensor, edge, frame_shape(tensor))

    def _give(self, tensor: TfTensor, edge: Tensor, wanted: tuple[int, ...]) -> None:
        if edge.shape != wanted:
            raise UserError(
                f"gives shape {edge.shape}, the file says {wanted}", hint="the file is damaged"
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
        clip = None if (low, high) == (qtype.min, qtype.max) else (low, high)
        zero = -x.type.zero_point if center else 0
        if by.reduced:
            half_up = replace(qtype, rounding=Rounding.HALF_UP)
            bias = zero * by.mult + (out.zero_point << by.shift)
            return self.add(name, Requantize.scaled(half_up, by.mult, bias, by.shift, clip), x)
        op = Rescale(
            by.scaling,
            by.mult,
            by.shift,
            qtype,
            bias=np.array([zero]),
            offset=out.zero_point,
            clip=clip,
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


def shape_for(op: TfOperator, tensor: TfTensor) -> tuple[int, ...]:
    """The shape of one frame of an operator's tensor, whose rows may stand in the batch's place
    where the operator does the same with every row: so converters store a dense layer of several
    pixels. Raises UserError for other batches."""
    of_rows = op.kind in _OF_ROWS and len(tensor.shape) in (2, 3) and tensor.shape[0] > 1
    return tensor.shape if of_rows else frame_shape(tensor)


def quantized(tensor: TfTensor) -> QType:
    """The type of a tensor between layers. Raises UserError where it is none that is supported.

    Real numbers become its integers as TensorFlow Lite's QUANTIZE does: ties away from zero.
    """
    if tensor.dtype not in _BITS:
        what = f"tensor {tensor.name!r} is {tensor.dtype.lower()}"
        if tensor.dtype in _FLOATS:
            raise UserError(f"{what}: the model is not quantized", hint="quantize it to int8")
        raise UserError(f"{what}; int8, uint8 and int16 are supported", hint="quantize it to int8")
    scale, zero = tensor.scale, tensor.zero_point
    if tensor.dtype == "INT16" and zero:
        raise UserError(f"tensor {tensor.name!r} of int16 has a zero point, which it can not have")
    try:
        return QType(*_BITS[tensor.dtype], 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale, zero)
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
