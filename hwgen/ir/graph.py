"""Graph: nodes and typed edges; verification and golden execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from ..numeric import MAX_TENSOR_WIDTH, type_text
from ..tables import html_table
from .arrangement import Arrangement
from .op import IntArray, Op
from .tensor import Shape, Tensor


@dataclass(frozen=True, eq=False)
class Node:
    """One operation in a graph. Its output edge bears the node's name.

    layer : the layer of the user's file that it is a part of, by the name that it has there; None:
    its own name says it. It is for the reader alone, and passes keep it.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    layer: str | None = None

    @property
    def title(self) -> str:
        """What a reader knows it by."""
        return self.name if self.layer is None else self.layer


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A quantized network: inputs, nodes in topological order, names of the output edges.

    Graphs are values: passes make new ones. ``notes`` are sentences for the reader about what
    the importer did (a dropped softmax, an assumed input type). ``without_reals`` are outputs whose
    real numbers the types do not say: arithmetic behind them was left out. ``arrays`` says of
    inputs and outputs how the model file has their elements, where it is another order than the
    edge's. ``unstated`` are inputs whose type the model does not say: it was given, or assumed.
    ``inverted`` are inputs whose real numbers the model's runtime multiplies by the inverse of
    their scale, where others divide: in float32 that is not the same.
    """

    COLUMNS: ClassVar = ("layer", "op", "output", "type", "MACs")
    """Heads of ``table``."""

    name: str
    inputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    without_reals: tuple[str, ...] = field(default=())
    arrays: Mapping[str, Arrangement] = field(default_factory=dict)
    unstated: tuple[str, ...] = field(default=())
    inverted: tuple[str, ...] = field(default=())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every edge by name, with shape and type inferred.

        Raises UserError naming the layer where something does not fit.
        """
        edges: dict[str, Tensor] = {}
        for tensor in self.inputs:
            # Anything that the bits can hold may arrive, whatever the overflow of the type.
            low = tensor.type.min if tensor.low is None else tensor.low
            _add(edges, tensor.name, replace(tensor, low=low))
        for node in self.nodes:
            _check_width(edges, node)
            try:
                operands = [edges[name] for name in node.inputs]
            except KeyError as missing:
                raise UserError(
                    f"input {missing} is not an edge that comes before", layer=node.name
                ) from None
            try:
                _add(edges, node.name, node.op.infer(node.name, operands))
            except UserError as error:
                raise UserError(error.reason, layer=node.name, hint=error.hint) from None
            except ValueError as error:
                raise UserError(str(error), layer=node.name) from None
        for name in self.outputs:
            if name not in edges:
                raise UserError(f"output {name!r} is not an edge of the graph")
            if edges[name].type.width > MAX_TENSOR_WIDTH:
                raise UserError(
                    f"the output has {edges[name].type.width} bits, at most {MAX_TENSOR_WIDTH} "
                    "can be streamed",
                    layer=name,
                    hint="quantize it",
                )
        return edges

    def operands(self, node: Node) -> list[Tensor]:
        """The input edges of a node."""
        return [self.tensors[name] for name in node.inputs]

    def arrangement(self, name: str) -> Arrangement:
        """How arrays of users have the elements of an edge: as the model file does."""
        return self.arrays.get(name) or Arrangement.same(self.tensors[name].shape)

    def inward(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of inputs in the file's order, by name, as those of the edges.

        Raises UserError for an input that is missing, unknown, or no array, and for a shape that is
        not the file's.
        """
        known = {tensor.name: tensor.shape for tensor in self.inputs}
        if unknown := [name for name in inputs if name not in known]:
            raise UserError(f"no input {unknown[0]!r}; there is {', '.join(known)}")
        result = self.framed(inputs)
        for name, arrangement in self.arrays.items():
            if name in result:
                result[name] = arrangement.inward(result[name], known[name])
        return result

    def framed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of inputs by name, each with a frames axis and the shape that the file has.

        Raises UserError where one is missing, or of another shape.
        """
        shapes = {tensor.name: self.arrangement(tensor.name).shape for tensor in self.inputs}
        return {name: with_frames(name, inputs.get(name), s) for name, s in shapes.items()}

    def outward(self, arrays: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Arrays of edges by name, those of inputs and outputs in the file's order."""
        return {name: self.arrangement(name).outward(array) for name, array in arrays.items()}

    def assumptions(self) -> list[str]:
        """A sentence for each input whose type the model does not say."""
        return [
            f"{name}: type {type_text(self.tensors[name].type)} assumed: the model does not say it "
            "(set --input-type)"
            for name in self.unstated
        ]

    def left_out(self) -> list[str]:
        """A sentence for each output behind which real arithmetic of the model is left out."""
        return [
            f"{name}: the output is integers: the same increasing arithmetic on all of them is "
            "left out"
            for name in self.without_reals
        ]

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each edge."""
        readers: dict[str, list[Node]] = {t.name: [] for t in self.inputs}
        for node in self.nodes:
            readers.setdefault(node.name, [])
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return sum(node.op.macs(self.operands(node)) for node in self.nodes)

    @property
    def parameters_bits(self) -> int:
        """Bits of all stored parameters."""
        return sum(node.op.parameters_bits for node in self.nodes)

    def title_of(self, names: Iterable[str]) -> str | None:
        """The layer of the user's file that nodes carry out together: that of the first one that
        multiplies, else of the first one. None where no name is a node's."""
        wanted = set(names)
        nodes = [node for node in self.nodes if node.name in wanted]
        macs = (node for node in nodes if node.op.macs(self.operands(node)))
        first = next(macs, nodes[0] if nodes else None)
        return None if first is None else first.title

    def layers(self) -> list[dict[str, Any]]:
        """The layers in topological order, each as a JSON value.

        ``shape`` and ``type`` are those of the output, ``macs`` those of a frame.
        """
        return [
            {
                "name": node.name,
                "op": node.op.op_name,
                "inputs": list(node.inputs),
                "shape": list(self.tensors[node.name].shape),
                "type": str(self.tensors[node.name].type),
                "macs": node.op.macs(self.operands(node)),
                "parameters_bits": node.op.parameters_bits,
            }
            for node in self.nodes
        ]

    def __repr__(self) -> str:
        ends = [self.tensors[name] for name in (*(x.name for x in self.inputs), *self.outputs)]
        shapes = ["x".join(map(str, tensor.shape)) for tensor in ends]
        count = len(self.inputs)
        return (
            f"<Graph {self.name!r}: {len(self.nodes)} layers, {self.macs:,} MACs, "
            f"{', '.join(shapes[:count])} -> {', '.join(shapes[count:])}>"
        )

    def _repr_html_(self) -> str:
        return html_table(repr(self), self.COLUMNS, self.table())

    def table(self) -> list[list[Any]]:
        """The layers as people read them, a cell for each of ``COLUMNS``."""
        return [
            [row["name"], row["op"], "x".join(map(str, row["shape"])),
             type_text(self.tensors[row["name"]].type), row["macs"]]
            for row in self.layers()
        ]  # fmt: skip

    def verify(self) -> Graph:
        """Check the whole graph; returns itself. Raises UserError with the layer's name."""
        if not self.inputs or not self.outputs:
            raise UserError("a network needs at least one input and one output")
        if not self.nodes:
            raise UserError("the network has no layers")
        if len(set(self.outputs)) < len(self.outputs):
            raise UserError("an output is named twice")
        _ = self.tensors
        ends = {*self.outputs, *(tensor.name for tensor in self.inputs)}
        for name, arrangement in self.arrays.items():
            if name not in ends:
                raise UserError(f"arrays: {name!r} is neither an input nor an output")
            arrangement.check(name, self.tensors[name].shape)
        return self


def _add(edges: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    if name in edges:
        raise UserError("two edges have this name", layer=name)
    if not tensor.shape or min(tensor.shape) < 1:
        raise UserError(f"shape {tensor.shape} is empty", layer=name)
    scale = tensor.type.scale
    if isinstance(scale, tuple) and len(scale) != tensor.channels:
        raise UserError(f"{len(scale)} scales for {tensor.channels} channels", layer=name)
    edges[name] = tensor


def _check_width(edges: Mapping[str, Tensor], node: Node) -> None:
    """Only accumulators are wider than a tensor may be, and they are read by few ops."""
    if node.op.reads_accumulators:
        return
    for name in node.inputs:
        if name in edges and edges[name].type.width > MAX_TENSOR_WIDTH:
            raise UserError(
                f"input {name!r} has {edges[name].type.width} bits, "
                f"{node.op.op_name} takes at most {MAX_TENSOR_WIDTH}",
                layer=node.name,
                hint="quantize it first",
            )


FrameProgress = Callable[[int, int], None]
"""Takes the frames that are done, and how many there are."""

CHUNK_ELEMENTS = 1 << 21
"""Elements of the widest edge worked on at a time; keeps the working set near the caches."""


def execute(
    graph: Graph,
    inputs: Mapping[str, IntArray],
    edges: Iterable[str] | None = None,
    progress: FrameProgress | None = None,
) -> dict[str, IntArray]:
    """Golden integers of a graph.

    Parameters
    ----------
    inputs : for each input edge, integers of shape (frames, *shape) within the edge's type.
    edges : names of the edges to return; the outputs when None.
    progress : called with (frames done, frames in all).

    Raises UserError when an input is missing, of another shape, not integral or out of range.
    """
    wanted = list(dict.fromkeys(graph.outputs if edges is None else edges))
    if unknown := [name for name in wanted if name not in graph.tensors]:
        raise UserError(f"{unknown[0]!r} is not an edge of the graph")
    checked, total = check_inputs(graph, inputs)
    step = max(1, CHUNK_ELEMENTS // max(t.size for t in graph.tensors.values()))
    parts: dict[str, list[IntArray]] = {name: [] for name in wanted}
    for start in range(0, total, step):
        values = {name: a[start : start + step] for name, a in checked.items()}
        for node in graph.nodes:
            arrays = [values[name] for name in node.inputs]
            values[node.name] = node.op.golden(arrays, graph.operands(node))
        for name in wanted:
            parts[name].append(values[name])
        if progress is not None:
            progress(min(start + step, total), total)
    return {
        name: np.concatenate(chunks)
        if chunks
        else np.zeros((0, *graph.tensors[name].shape), np.int64)
        for name, chunks in parts.items()
    }


def check_inputs(
    graph: Graph, inputs: Mapping[str, IntArray | None]
) -> tuple[dict[str, IntArray], int]:
    """All inputs of a graph as check_input gives them, and how many frames they have.

    Raises UserError, also where inputs have different numbers of frames.
    """
    checked = {t.name: check_input(t, inputs.get(t.name)) for t in graph.inputs}
    frames = {len(a) for a in checked.values()}
    if len(frames) != 1:
        raise UserError(f"inputs have different numbers of frames: {sorted(frames)}")
    return checked, frames.pop()


def as_array(name: str, value: Any) -> Any:
    """What is given for an input as an array. Raises UserError where it is none, or missing."""
    if value is None:
        raise UserError(f"no array given for input {name!r}")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # others' arrays raise what they like
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"input {name!r} is no array ({reason})", hint="give numbers, in rows of one length"
        ) from None


def with_frames(name: str, array: Any, shape: Shape) -> Any:
    """The array of an input with a frames axis, and a frame of the input's shape.

    One of exactly that shape is one frame. Of a frame's axes those of length 1 may be left out, or
    there may be more of them: what remains says the order of the elements. Raises UserError where
    an array has another shape.
    """
    array = as_array(name, array)
    if array.shape == shape:
        return array[np.newaxis]
    if not array.ndim or not _same_but_for_ones(array.shape[1:], shape):
        raise UserError(
            f"input {name!r} has shape {array.shape}",
            hint=f"give (frames, {', '.join(map(str, shape))}), in the axis order of the model "
            "file; only axes of length 1 may be left out or added",
        )
    return array.reshape(len(array), *shape)


def _same_but_for_ones(given: Shape, shape: Shape) -> bool:
    """Whether a shape becomes another by axes of length 1 alone, all added or all left out.

    One that is added while another is left out is moved, as that of another order of axes is.
    """
    fewer, more = sorted((given, shape), key=len)
    rest = iter(more)
    in_order = all(length in rest for length in fewer)
    return in_order and prod(given) == prod(shape)


def check_input(tensor: Tensor, array: Any) -> IntArray:
    """The array as int64 with a frames axis, or UserError.

    An array of exactly the edge's shape is one frame.
    """
    array = with_frames(tensor.name, array, tensor.shape)
    if array.dtype.kind not in "iu":
        raise UserError(
            f"input {tensor.name!r} has type {array.dtype}, integers of "
            f"{type_text(tensor.type)} are needed",
            hint="give the model's integers, or real values with --float",
        )
    low, high = tensor.type.min, tensor.type.max
    if array.size and (array.min() < low or array.max() > high):
        raise UserError(
            f"input {tensor.name!r} holds values {array.min()}..{array.max()}, "
            f"its type {type_text(tensor.type)} has {low}..{high}"
        )
    return array.astype(np.int64)
