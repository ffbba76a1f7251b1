"""The graph that is made of steps, and what is still to be done to its edges.

Between an accumulator and its quantizer a map (``Affine``: kernel scales, biases that do not fit
the accumulator, clips) may be pending; a quantizer applies all of it with one rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...errors import UserError
from ...ir import Graph, Node, Op, Tensor
from ...ir.ops import MaxPool
from ...numeric import MAX_TENSOR_WIDTH
from ..affine import Affine, exact, nearest
from .flow import INPUT, Flow
from .steps import Clip, Linear, Pooling, Quantize, Shape, SoftmaxStep


@dataclass(frozen=True)
class Words:
    """What a source calls things, for messages: its own name, the layer that quantizes its input,
    and how scales become ones that are exact."""

    name: str
    quantizer: str
    plain_scales: str | None = None


QKERAS = Words("QKeras", "QActivation", 'use alpha=1 or "auto_po2"')


@dataclass(frozen=True, eq=False)
class Value:
    """A step's result: an edge and what is still to be done to it.

    ``name`` is that of the layer whose output it is once nothing is pending.
    """

    name: str
    edge: Tensor
    pending: Affine

    @classmethod
    def done(cls, name: str, edge: Tensor) -> Value:
        """An edge to which nothing is left to do."""
        return cls(name, edge, Affine.identity(edge.channels))


@dataclass
class KerasImport:
    """The graph so far. ``values`` : of the steps done, and of the inputs. ``words``: for messages.

    ``unscaled`` are nodes whose edges lack what is pending, ``wanted`` names of nodes; until the
    end a node is named by its number.
    """

    inputs: tuple[Tensor, ...]
    flow: Flow
    words: Words
    notes: list[str]
    nodes: list[Node] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    settled: dict[Value, Value] = field(default_factory=dict)
    unscaled: list[int] = field(default_factory=list)
    layer: str | None = None
    """The layer that is lowered now."""

    def __post_init__(self) -> None:
        for n, tensor in enumerate(self.inputs):
            self.values[INPUT - n] = Value.done(tensor.name, tensor)

    def graph(self, name: str) -> Graph:
        """The finished graph, its nodes under their layers' names."""
        self.layer = None
        results = [self.finish(self.values[output]).edge for output in self.flow.outputs]
        names = self._names()
        if self.unscaled:
            self.notes.append(
                f"{', '.join(names[str(i)] for i in self.unscaled)}: raw sums; scales, biases or "
                "bounds that are not integers there are applied by the next quantizer"
            )
        names |= {tensor.name: tensor.name for tensor in self.inputs}
        nodes = tuple(
            replace(node, name=names[node.name], inputs=tuple(names[name] for name in node.inputs))
            for node in self.nodes
        )
        outputs = tuple(names[result.name] for result in results)
        return Graph(name, self.inputs, nodes, outputs, tuple(self.notes)).verify()

    def _names(self) -> dict[str, str]:
        """Final names: the last node of a layer takes its name, those before it NAME_acc."""
        inputs = {tensor.name for tensor in self.inputs}
        taken, names = set(inputs), {}
        for key, wanted in reversed(list(enumerate(self.wanted))):
            name, ending = wanted, "_out" if wanted in inputs else "_acc"
            if name in taken:
                name += ending
            while name in taken:
                name += "_"
            taken.add(name)
            names[str(key)] = name
        return names

    def add(self, name: str, op: Op, *edges: Tensor) -> Tensor:
        """Append a node that reads these edges; gives its own."""
        key = str(len(self.nodes))
        self.nodes.append(Node(key, op, tuple(edge.name for edge in edges), self.layer or name))
        self.wanted.append(name)
        return op.infer(key, list(edges))

    def settle(self, value: Value) -> Value:
        """Apply what is pending, exactly, for a reader that is no quantizer."""
        if value.pending.is_identity:
            return value
        if value not in self.settled:
            try:
                op = exact(value.pending, value.edge)
            except UserError as error:
                more = f", or {scales}" if (scales := self.words.plain_scales) else ""
                hint = f"put a {self.words.quantizer} after it{more}"
                raise UserError(error.reason, layer=value.name, hint=hint) from None
            edge = self.add(value.name, op, value.edge)
            self.settled[value] = Value.done(value.name, edge)
        return self.settled[value]

    def narrow(self, value: Value) -> Tensor:
        """The edge of a value once nothing is pending, for a reader of at most 32 bits."""
        edge = self.settle(value).edge
        if edge.type.width <= MAX_TENSOR_WIDTH:
            return edge
        steps = [s for s in self.flow.steps if s.name == value.name and isinstance(s, Linear)]
        floats = any(s.layer.config.get("bias_quantizer", "none") is None for s in steps)
        why = ", because its bias has no quantizer and is a float32" if floats else ""
        raise UserError(
            f"its exact sums take {edge.type.width} bits{why}; at most {MAX_TENSOR_WIDTH} can be "
            "read by the next layer",
            layer=value.name,
            hint=f"{'give it a bias_quantizer, or ' if floats else ''}put a "
            f"{self.words.quantizer} after it",
        )

    def finish(self, value: Value) -> Value:
        """A result of the network: exact where 32 bits hold it, else rounded to as many."""
        if fits(value):
            return self.settle(value)
        op = nearest(value.pending, value.edge)
        edge = self.add(value.name, op, value.edge)
        self.notes.append(
            f"{value.name}: the exact values of the output take more than {MAX_TENSOR_WIDTH} bits, "
            "because scales or biases are not multiples of a common power of two; it is rounded "
            f"to multiples of 2**{-edge.type.frac}"
        )
        return Value.done(value.name, edge)

    def ends(self, index: int) -> bool:
        """Whether behind a step the elements are only seen under other shapes."""
        steps = [index, *self.flow.following(index)]
        only = all(isinstance(self.flow.steps[n], (Shape, SoftmaxStep)) for n in steps[1:])
        return only and steps[-1] in self.flow.outputs and not self.flow.readers(steps[-1])

    def next_quantizer(self, index: int) -> tuple[int | None, list[int]]:
        """The next quantizer that only monotone steps separate from a step, and those steps."""
        between: list[int] = []
        for following in self.flow.following(index):
            step = self.flow.steps[following]
            if isinstance(step, Quantize):
                return following, between
            maximum = isinstance(step, Pooling) and step.op is MaxPool
            if not (maximum or isinstance(step, (Clip, Shape))):
                break
            between.append(following)
        return None, between


def fits(value: Value) -> bool:
    """Whether 32 bits hold a value once what is pending is done."""
    try:
        done = exact(value.pending, value.edge).type
    except UserError:
        return False
    return (value.edge.type if value.pending.is_identity else done).width <= MAX_TENSOR_WIDTH
