"""The graph as it grows: what each name of the file stands for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Arrangement, Node, Op, Tensor
from ...ir.ops import Requantize, Reshape
from ...numeric import Overflow, QType, Rounding, type_for_range
from ..affine import Affine, exact
from ..limits import check_elements
from ..permutation import moved
from .file import OxModel, OxNode
from .real import FloatStep, Quantizer, as_affine, quantized

ONE = np.ones(1, np.float32)


@dataclass(frozen=True, eq=False)
class Codes:
    """Integers behind a constant: ``(codes - zero) * scale``, all three of one shape or broadcast;
    ``type`` says how many bits they have."""

    codes: Array
    scale: Array
    zero: Array
    type: QType


@dataclass(frozen=True, eq=False)
class Const:
    """An array known while reading; ``quant`` its integers where a quantizer made it."""

    array: Array
    quant: Codes | None = None


@dataclass(frozen=True)
class Group:
    """An operator that sums, as ONNX Runtime sees it: the stored ``type`` of its input, and whether
    its sums are ``exact`` in float32 as long as they have 24 bits."""

    type: QType
    exact: bool


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that depends on the input: real numbers behind the integers of an edge.

    ``where`` has the file's shape and holds each element's position in the edge, flattened: the
    edge is channels last, whatever the file's order. The real number is ``(integer - zero) *
    scale`` (float32; one, or one a channel), and then ``steps``. ``sums`` says that the integers
    are accumulators, which no runtime stores; with a ``count`` they are still to be divided by it,
    before the steps, and are those of a ``whole`` image or of windows.

    ``codes`` says that the file's tensor is the integers themselves, between QuantizeLinear and
    DequantizeLinear. What is for ONNX Runtime's QDQ rules alone (see fusion): ``apart`` why an
    operator that reads it, or the one that gave these sums, is not computed in integers; ``group``
    of sums; ``moved`` sums that a pool or a reshape has handled already.
    """

    edge: Tensor
    where: Array
    scale: Array = field(default_factory=lambda: ONE)
    zero: int = 0
    steps: tuple[FloatStep, ...] = ()
    sums: bool = False
    count: int | None = None
    whole: bool = False
    codes: bool = False
    apart: str = ""
    group: Group | None = None
    moved: bool = False

    def then(self, *steps: FloatStep) -> Value:
        """This value and more operations."""
        return replace(self, steps=(*self.steps, *steps))

    def divided(self) -> Value:
        """This value with the division by ``count`` as its first step."""
        if self.count is None:
            return self
        first = FloatStep("div", np.array([self.count], np.float32))
        return replace(self, steps=(first, *self.steps), count=None)

    @property
    def pending(self) -> bool:
        """Whether an operator gave it that ONNX Runtime may compute in integers."""
        return self.sums or any(step.stored is not None for step in self.steps)

    @property
    def plain(self) -> bool:
        """Whether it is nothing but an edge's quantized numbers."""
        return not self.steps and not self.sums and self.scale.size == 1


@dataclass(frozen=True, eq=False)
class Joined:
    """Several values joined by ``kind`` (add, mul or concat), whose quantizer is still to come;
    ``axis`` of a concatenation; ``steps`` behind it; ``apart`` as of a Value."""

    kind: str
    parts: tuple[Value, ...]
    axis: int = 0
    steps: tuple[FloatStep, ...] = ()
    apart: str = ""

    def then(self, *steps: FloatStep) -> Joined:
        """This and more operations."""
        return replace(self, steps=(*self.steps, *steps))


@dataclass
class OnnxImport:
    """Nodes so far; ``known`` is what names of the file stand for. ``integer``: the file's real
    numbers are integers (Deeploy's dialect)."""

    model: OxModel
    integer: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    without_reals: list[str] = field(default_factory=list)
    arrays: dict[str, Arrangement] = field(default_factory=dict)
    unstated: list[str] = field(default_factory=list)
    known: dict[str, Const | Value | Joined] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    layer: str | None = None
    """The layer that is read now, by the name that it has in the file."""
    origins: dict[str, str] = field(default_factory=dict)
    """The layer that gives each tensor of the file. One that adds no node (an activation, a
    reshape) is a part of the layer before it."""

    def get(self, node: OxNode, position: int) -> Const | Value | Joined:
        """What an input stands for. Raises UserError where it is absent or not known."""
        if position >= len(node.inputs) or not node.inputs[position]:
            raise UserError(f"input {position} is absent")
        name = node.inputs[position]
        if name not in self.known:
            raise UserError(
                f"input {name!r} has no value: no operator before gives it, and no data are stored",
                hint="the file is damaged, or its operators are not in order",
            )
        return self.known[name]

    def has(self, node: OxNode, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(node.inputs) and bool(node.inputs[position])

    def value(self, node: OxNode, position: int = 0) -> Value:
        """An input that is a tensor of the network. Raises UserError."""
        found = self.get(node, position)
        if isinstance(found, Value):
            return found
        if isinstance(found, Const):
            raise UserError(f"input {position} is a constant, which is not supported here")
        raise UserError(
            f"input {position} is real numbers ({found.kind}) that are not quantized",
            hint="put a quantizer behind it",
        )

    def const(self, node: OxNode, position: int) -> Const:
        """An input that is a constant. Raises UserError."""
        found = self.get(node, position)
        if not isinstance(found, Const):
            raise UserError(f"input {position} ({node.inputs[position]!r}) must be a constant")
        return found

    def number(self, node: OxNode, position: int) -> float:
        """A constant of one element."""
        array = self.const(node, position).array
        if array.size != 1:
            raise UserError(f"input {position} has {array.size} elements, one is supported")
        return array.reshape(-1)[0]

    def whole(self, node: OxNode, position: int) -> int:
        """A constant of one whole number. Raises UserError for another one."""
        return whole(self.number(node, position), f"input {position}")

    def wholes(self, node: OxNode, position: int) -> list[int]:
        """The whole numbers of a constant: a shape, axes, pads. Raises UserError for others."""
        numbers = self.const(node, position).array.reshape(-1)
        return [whole(number, f"input {position}") for number in numbers]

    def give(self, node: OxNode, result: Const | Value | Joined) -> None:
        """The node's only output. Raises UserError where it has several."""
        if len([name for name in node.outputs if name]) != 1:
            raise UserError(f"has {len(node.outputs)} outputs, one is supported")
        self.put(node.outputs[0], result)

    def put(self, name: str, result: Const | Value | Joined) -> None:
        """What a name of the file stands for from now on."""
        pending = isinstance(result, Joined) or (isinstance(result, Value) and result.pending)
        if pending and self.readers[name] > 1:
            result = replace(result, apart="what it gives is read more than once")
        self.known[name] = result

    @cached_property
    def readers(self) -> Counter[str]:
        """How many operators and outputs read each name; equal operators count as one."""
        found = Counter(self.model.outputs)
        different = {
            (name, node.domain, node.kind, node.inputs, repr(node.attributes))
            for node in self.model.nodes
            for name in node.inputs
        }
        found.update(name for name, *_ in different)
        return found

    def add(self, name: str, op: Op, *inputs: Tensor) -> Tensor:
        """Append a node; returns its edge. Raises UserError where it does not fit."""
        while name in self.taken:
            name += "_"
        try:
            edge = op.infer(name, inputs)
        except ValueError as error:
            raise UserError(str(error)) from None
        check_elements(edge.shape, "its output")
        self.taken.add(name)
        self.nodes.append(Node(name, op, tuple(x.name for x in inputs), self.layer))
        return edge

    def arrange(self, name: str, where: Array, shape: tuple[int, ...]) -> None:
        """Say how the file has the elements of an input or output.

        Raises UserError where it is said in two ways.
        """
        found = Arrangement.found(where, shape)
        if found is None:
            raise UserError(f"the order of {name!r} in the file is not supported",
                            hint="leave out what moves its elements")  # fmt: skip
        if self.arrays.get(name, found) != found:
            raise UserError(f"{name!r} is an input or output in two orders, which is not supported")
        self.arrays[name] = found

    def chain(self, name: str, ops: list[Op], edge: Tensor) -> Tensor:
        """Several ops one after the other; the last one bears the name."""
        for n, op in enumerate(ops):
            last = n == len(ops) - 1
            edge = self.add(name if last else f"{name}_{n}", op, edge)
        return edge

    def quantize(self, name: str, value: Value, by: Quantizer) -> Tensor:
        """The integers that a quantizer makes of a value."""
        value = value.divided()
        ops = quantized(value.edge, value.scale, value.zero, value.steps, by)
        return self.chain(name, ops, value.edge)

    def settled(self, name: str, value: Value) -> Value:
        """A value as integers alone, without steps. Raises UserError where they are not exact."""
        if value.plain:
            return value
        value = value.divided()
        affine = as_affine(value.edge, value.scale, value.zero, value.steps)
        if affine is None:
            raise UserError(
                "its input is real numbers that no quantizer brought back to integers",
                hint="put a quantizer before it",
            )
        return self.applied(name, value, affine)

    def applied(self, name: str, value: Value, affine: Affine) -> Value:
        """A value whose exact map is carried out."""
        edge = self.add(f"{name}_in", exact(affine, replace(value.edge, type=_unit(value))),
                        value.edge)  # fmt: skip
        return Value(edge, value.where, np.array([2.0**-edge.type.frac], np.float32),
                     apart="real arithmetic stands before it")  # fmt: skip

    def centered(self, name: str, value: Value) -> Tensor:
        """Integers of a value less its zero point, as whole numbers of its scale."""
        low, high = (end - value.zero for end in value.edge.range)
        if not value.zero and value.edge.type.scale is None and not value.edge.type.frac:
            return value.edge
        exact_type = type_for_range(low, high)
        qtype = QType(exact_type.signed, exact_type.width, 0, Rounding.FLOOR, Overflow.SATURATE)
        return self.add(name, Requantize.scaled(qtype, 1, -value.zero), value.edge)


def _unit(value: Value) -> QType:
    """The type of a value's edge with integers that mean themselves."""
    t = value.edge.type
    return QType(t.signed, t.width, 0, t.rounding, t.overflow)


def whole(number: Any, what: str) -> int:
    """A number of a file that has to be whole; ``what`` it is. Raises UserError."""
    if not np.isfinite(number) or number != int(number):
        raise UserError(f"{what} is {number}, a whole number is needed")
    return int(number)


def check_finite(const: Const) -> None:
    """Raises UserError where a constant holds numbers that are not."""
    if not np.all(np.isfinite(const.array.astype(np.float64))):
        raise UserError("a constant holds numbers that are not finite")


def canonical(shape: tuple[int, ...]) -> Array:
    """Positions of an edge of that shape, in its own order."""
    check_elements(shape, "a tensor")
    # Such arrays are kept for every tensor: four bytes for each of at most 2**24 elements.
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)


def image(work: OnnxImport, name: str, value: Value) -> Value:
    """A value whose edge is (rows, columns, channels) of the file's (1, channels, rows, columns);
    what has rows alone has one column. Elements move where they have to.

    Raises UserError where they can not.
    """
    where = value.where[..., np.newaxis] if value.where.ndim == 3 else value.where
    if where.ndim != 4 or where.shape[0] != 1:
        raise UserError(f"its input has shape {list(value.where.shape)}, (1, channels, rows, "
                        "columns) is needed")  # fmt: skip
    ours = where[0].transpose(1, 2, 0)
    if is_in_order(ours, value.edge):
        edge = value.edge
        if edge.shape != ours.shape:
            _keeps_channels(value, ours.shape[-1])
            edge = work.add(f"{name}_image", Reshape(ours.shape), edge)
        return replace(value, edge=edge)
    edge = _moved(work, name, value, ours)
    return replace(value, edge=edge, where=shaped(edge, value.where.ndim))


def reordered(work: OnnxImport, name: str, value: Value, order: Array) -> Tensor:
    """An edge of the shape of ``order``, whose elements are those of the value's edge there."""
    if not is_in_order(order, value.edge):
        return _moved(work, name, value, order)
    if value.edge.shape == order.shape:
        return value.edge
    return work.add(f"{name}_shape", Reshape(order.shape), value.edge)


def in_file_order(work: OnnxImport, name: str, value: Value) -> Value:
    """A value whose edge has the file's elements channels last where the file has an image, else
    as the file has them. Raises UserError where they can not be brought there."""
    where = value.where
    if where.ndim in (3, 4) and where.shape[0] == 1:
        return image(work, name, value)
    if is_in_order(where, value.edge):
        return value
    shape = where.shape[1:] if where.ndim > 1 and where.shape[0] == 1 else where.shape
    shape = shape if 1 <= len(shape) <= 3 else (where.size,)
    edge = _moved(work, name, value, where.reshape(shape))
    return replace(value, edge=edge, where=canonical(edge.shape).reshape(where.shape))


def is_in_order(where: Array, edge: Tensor) -> bool:
    """Whether positions are those of all elements of an edge, one after the other."""
    return where.size == edge.size and bool(np.all(where.reshape(-1) == np.arange(edge.size)))


def _moved(work: OnnxImport, name: str, value: Value, order: Array) -> Tensor:
    if value.scale.size > 1 or any(s.operand is not None and s.operand.size > 1
                                   for s in value.steps):  # fmt: skip
        raise UserError("channels that have scales or constants of their own would have to be put "
                        "in another order", hint="put a quantizer before it")  # fmt: skip
    return moved(work.add, f"{name}_move", value.edge, order)


def _keeps_channels(value: Value, channels: int) -> None:
    per_channel = value.scale.size > 1 or any(
        s.operand is not None and s.operand.size > 1 for s in value.steps
    )
    if per_channel and channels != value.edge.channels:
        raise UserError("reshapes channels that have scales of their own",
                        hint="put a quantizer before it")  # fmt: skip


def vector(work: OnnxImport, name: str, value: Value) -> tuple[Tensor, Array]:
    """A value of one row as a vector; and where the file's elements are in it."""
    if value.where.size < value.edge.size:
        value = in_file_order(work, name, value)
    edge = value.edge
    if len(edge.shape) > 1:
        _keeps_channels(value, edge.size)
        edge = work.add(f"{name}_flat", Reshape((edge.size,)), edge)
    return edge, value.where.reshape(-1)


def shaped(edge: Tensor, axes: int) -> Array:
    """Positions of an image edge (rows, columns, channels) in the file's order, of 3 or 4 axes."""
    where = canonical(edge.shape).transpose(2, 0, 1)[np.newaxis]
    return where[..., 0] if axes == 3 else where
