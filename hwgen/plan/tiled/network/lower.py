"""A legal graph cut into tasks; what the tiled engine can not carry out is refused by name."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatchmethod

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE, Operand, Reduction
from ....errors import UserError
from ....ir import Graph, Node, Op, Tensor, ops
from ...host import way_out
from .fusion import OF_BYTES, RESHAPING, SCALED, Fusion
from .moves import of_image, selection, with_zeros
from .parts import LeftOut, check_features
from .requant import Requant, added_by, product_by
from .softmax import exponentials_of
from .tables import Tables
from .tasks import Pair, Product, Task, TaskGraph
from .widths import OtherWidths, TooNarrow, check_bytes, check_range, check_sums, weight_bits

_OF_BYTES = EngineShape()
"""An engine of 8-bit operands."""


def task_graph_of(graph: Graph, shape: EngineShape = _OF_BYTES) -> TaskGraph:
    """The tasks of a legal graph for an engine, of whose shape only widths of operands, and what it
    is built without, count.

    Raises UserError for what the engine can not carry out, naming the layer as the user does.
    """
    try:
        cut = _cut(graph, shape)
    except UserError as error:
        titles = {node.name: node.title for node in graph.nodes}
        layer = titles.get(error.layer or "", error.layer)
        if isinstance(error, LeftOut):
            raise LeftOut(error.reason, layer, error.features) from None
        wider = _wide_enough(graph, shape, error)
        if wider is not None:
            raise OtherWidths(error.reason, layer, wider.ifmap_bits, wider.weight_bits) from None
        hint = error.hint or "use --arch dataflow, which carries it out"
        raise UserError(error.reason, layer=layer, hint=hint) from None
    if not cut.tasks:
        raise UserError("the network has no layer to build hardware for")
    most = COMPUTE.most("layer") + 1
    if len(cut.tasks) > most:
        raise UserError(
            f"{len(cut.tasks)} layers, the tiled architecture takes {most}",
            hint="use --arch dataflow",
        )
    sources = tuple(tensor.name for tensor in graph.inputs)
    results = tuple(cut.stored[cut.names[name]].place for name in graph.outputs)
    for name, place in zip(graph.outputs, results, strict=True):
        if place in sources:
            raise UserError(
                f"the output {name!r} is the input {place!r} as it is: no layer makes it",
                hint="leave it out of the network's outputs",
            )
    return TaskGraph(cut.tasks, cut.stored, sources, results)


_LINES = ([ops.Requantize], [ops.Rescale])
"""Functions that are requantizations, whatever their numbers."""


def _cut(graph: Graph, shape: EngineShape) -> _Cut:
    """The tasks of all nodes."""
    cut = _Cut(graph, shape)
    for node in graph.nodes:
        if node.name not in cut.done:
            cut.visit(node.op, node)
    check_features(cut.tasks, cut.stored, shape)
    return cut


def _wide_enough(graph: Graph, shape: EngineShape, error: UserError) -> EngineShape | None:
    """The engine with operands as wide as the network needs, where it then can carry it out."""
    while isinstance(error, TooNarrow):
        wider = error.widened(shape)
        if wider is None:
            return None
        try:
            _cut(graph, wider)
        except UserError as following:
            shape, error = wider, following
            continue
        return wider
    return None


class _Cut(Fusion):
    """Walks the graph."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._offsets: dict[str, int] = {}

    @singledispatchmethod
    def visit(self, op: Op, node: Node) -> None:
        """Add the tasks of a node; what follows it may be taken along."""
        raise UserError(f"the tiled architecture does not carry out {op.op_name}", layer=node.name)

    @visit.register
    def _(self, op: ops.Conv2D, node: Node) -> None:
        (x,) = self.graph.operands(node)
        depthwise = 1 < op.groups == x.channels == op.weights.shape[3]
        self._multiply(
            node, op, self.read(x),
            op.weights if depthwise else with_zeros(op.weights, op.groups), op.stride,
            op.pads(x), op.dilation, Operand.DEPTHWISE if depthwise else Operand.DENSE,
        )  # fmt: skip

    @visit.register
    def _(self, op: ops.Dense, node: Node) -> None:
        # In whatever shape its elements are stored, its sums take all of them in their order.
        x = self.stored[self.names[node.inputs[0]]]
        weights = op.weights.reshape(*x.shape, -1)
        none = ((0, 0), (0, 0))
        self._multiply(node, op, x.name, weights, (1, 1), none, (1, 1), Operand.DENSE)

    @visit.register
    def _(self, op: ops.MaxPool, node: Node) -> None:
        (x,) = self.graph.operands(node)
        requant = Requant.identity(x.channels, x.type.min, x.type.max)
        signed = self.stored[self.names[x.name]].signed
        least = self._least(signed)
        self._pool(node, op, node.name, requant, max(least, x.type.min), Reduction.MAX)

    @visit.register
    def _(self, op: ops.SumPool, node: Node) -> None:
        requant, last = self._requant_of_sums(node)
        missing, taps = self._offsets.get(node.inputs[0], 0), op.kernel[0] * op.kernel[1]
        requant = requant.of_sums_plus(missing * taps)
        low, high = self.graph.tensors[node.inputs[0]].range
        check_range(taps * (low - missing), taps * (high - missing), node.name, self.shape)
        self._pool(node, op, last.name, requant, 0, Reduction.SUM)

    @visit.register(ops.Requantize)
    @visit.register(ops.Rescale)
    def _(self, op: ops.Requantize | ops.Rescale, node: Node) -> None:
        if self.of_bytes(node):
            return  # one of the tables of a sum
        (x,) = self.graph.operands(node)
        following = self.only_reader(node)
        summed = following
        while summed is not None and isinstance(summed.op, RESHAPING):
            summed = self.only_reader(summed)
        if summed is not None and _only_adds(op, x) and self._sums(summed, x, int(op.bias[0])):
            # What is added to every value is added to the sums instead: bytes stay bytes.
            self._offsets[node.name] = int(op.bias[0])
            self.names[node.name] = self.names[x.name]
            return
        if following is not None and self._is_too_wide(op, following):
            found = product_by(op, x)
            if found is not None and weight_bits(found[0]) <= self.shape.weight_bits:
                self._times(node, x, *found, following)
                return
        self._each(node, x)

    @visit.register
    def _(self, op: ops.MultiThreshold, node: Node) -> None:
        if not self.of_bytes(node):  # else it is one of the tables of a sum
            self._each(node, *self.graph.operands(node))

    def _each(self, node: Node, x: Tensor) -> None:
        """A function of each number, and those that follow it up to what is stored: a table, or a
        requantization with numbers of each channel."""
        nodes = self.to_stored(node)
        tables = None if [type(n.op) for n in nodes] in _LINES else self.table(nodes)
        windowed = None
        if self.wide(x.name, self.code_bits):
            windowed = self.windowed(self._same(node, x), node)
        if windowed is not None:
            self.add(windowed)
            self.keep(self.graph.tensors[node.name])
            return
        if tables is None:
            requant, last = self.requantization(node)
            self._identity(last, x, requant, last.name)
            return
        self.done.update(n.name for n in nodes)
        requant = Requant.identity(x.channels, x.type.min, x.type.max)
        self._identity(nodes[-1], x, requant, nodes[-1].name, tables)

    @visit.register
    def _(self, op: ops.Add, node: Node) -> None:
        """A sum that no task before it could take along."""
        first, second = self.addends(node)
        edge = self.graph.tensors[first.source]
        requant = Requant.identity(edge.channels, edge.type.min, edge.type.max)
        tables, last = self.sum_of(node, first, second)
        self._identity(node, edge, requant, last, tables)

    @visit.register
    def _(self, op: ops.Mul, node: Node) -> None:
        check_bytes(self.shape, "a product of two tensors", node.name)
        first, second = self.graph.operands(node)
        product, following = self.graph.tensors[node.name], self.only_reader(node)
        requant, last = Requant.identity(product.channels, product.type.min, product.type.max), node
        takes = following is not None and isinstance(following.op, OF_BYTES)
        if following is not None and takes and self.window(following) is None:
            requant, last = self.requantization(following)
        zeros = (first.type.zero_point, second.type.zero_point)
        task = self._plain(node, first, requant, last.name)
        task = replace(task, product=Product(self.read(second), zeros))
        self.finish(replace(task, layers=tuple(dict.fromkeys((node.name, last.name)))), last)

    @visit.register
    def _(self, op: ops.Concat, node: Node) -> None:
        edge = self.graph.tensors[node.name]
        self.keep(edge)
        start, bits = 0, self.stored[edge.name].bits
        for name, tensor in zip(node.inputs, self.graph.operands(node), strict=True):
            if start * bits % 8:
                raise TooNarrow(
                    f"{name!r} would begin within a byte, at channel {start} of {bits} bits each",
                    node.name,
                    ifmap=bits + 1,
                )
            written = [n for n, task in enumerate(self.tasks) if task.y == self.names[name]]
            alone = len(self.graph.consumers[name]) == 1 and name not in self.graph.outputs
            whole = self.stored[edge.name].wide and self.looked_up(name)
            if alone and len(written) == 1 and self.names[name] == name and not whole:
                # What makes it writes it where it belongs.
                self.tasks[written[0]] = replace(self.tasks[written[0]], y=node.name, channel=start)
                del self.stored[name]
                self.names[name] = node.name
            else:
                requant = Requant.identity(tensor.channels, tensor.type.min, tensor.type.max)
                self.add(self._plain(node, tensor, requant, node.name, channel=start))
            start += tensor.channels

    @visit.register
    def _(self, op: ops.Slice, node: Node) -> None:
        (x,) = self.graph.operands(node)
        start, size, step = of_image(op)
        weights = selection(x.channels, start[2], size[2], step[2])
        task = replace(
            self._same(node, x),
            outputs=size[2],
            requant=Requant.identity(size[2], x.type.min, x.type.max),
            stride=(step[0], step[1]),
            pads=((-start[0], 0), (-start[1], 0)),
            operand=Operand.DEPTHWISE if weights is None else Operand.DENSE,
            weights=weights,
        )
        self.finish(task, node)

    @visit.register
    def _(self, op: ops.Pad, node: Node) -> None:
        (x,) = self.graph.operands(node)
        self.finish(replace(self._same(node, x), pads=op.pads, pad=op.value), node)

    @visit.register
    def _(self, op: ops.Upsample, node: Node) -> None:
        (x,) = self.graph.operands(node)
        self.finish(replace(self._same(node, x), repeat=op.factor), node)

    def _least(self, signed: bool) -> int:
        """The smallest ifmap value."""
        return -1 << self.shape.ifmap_bits - 1 if signed else 0

    @visit.register(ops.Flatten)
    @visit.register(ops.Reshape)
    def _(self, op: Op, node: Node) -> None:
        before = node.inputs[0]
        self.names[node.name] = self.names[before]
        if before in self._offsets:
            self._offsets[node.name] = self._offsets[before]

    @visit.register
    def _(self, op: ops.ArgMax, node: Node) -> None:
        raise UserError(
            "the tiled architecture has no unit for argmax",
            layer=node.name,
            hint=f"use --arch dataflow, which computes it, or {way_out(self.graph, node.name)}",
        )

    @visit.register(ops.Softmax)
    @visit.register(ops.SoftmaxTable)
    def _(self, op: Op, node: Node) -> None:
        (x,) = self.graph.operands(node)
        powers = exponentials_of(node, self.graph, self.shape)
        y = self.graph.tensors[node.name]
        requant = Requant.identity(x.channels, y.type.min, y.type.max)
        self.add(replace(self._plain(node, x, requant, node.name), softmax=powers))
        self.keep(y)

    def _sums(self, reader: Node, x: Tensor, missing: int) -> bool:
        """Whether a node sums ``x`` where its ifmap lacks what is ``missing``: a border must then
        be a value of ``x`` too. Averages count it as 0."""
        op = reader.op
        if not isinstance(op, ops.SumPool | ops.Conv2D):
            return isinstance(op, ops.Dense)
        (read,) = self.graph.operands(reader)
        if not any(max(pads) for pads in op.pads(read)):
            return True
        pad = read.type.zero_point - missing - self._least(self.stored[self.names[x.name]].signed)
        return isinstance(op, ops.Conv2D) and 0 <= pad < 1 << self.shape.ifmap_bits

    def _is_too_wide(self, op: ops.Requantize | ops.Rescale, following: Node) -> bool:
        """Whether results can not be stored, and are requantized again."""
        return isinstance(following.op, SCALED) and op.type.width > self.shape.ifmap_bits

    def _times(
        self, node: Node, x: Tensor, factors: np.ndarray, added: np.ndarray, last: Node
    ) -> None:
        """A product with a number a channel, which the array forms, and a requantization."""
        requant = Requant.of(last.name, last.op, self.graph.tensors[node.name])
        requant = requant.of_sums_plus(added)
        requant.check(last.name)
        check_sums(self.graph.tensors[node.name], last.name, self.shape)
        ends = np.multiply.outer(np.array(x.range, object), factors.astype(object))
        check_range(int(ends.min()), int(ends.max()), last.name, self.shape)
        self.done.add(last.name)
        task = replace(
            self._plain(node, x, requant, last.name),
            layers=(node.name, last.name),
            weights=factors.astype(np.int64).reshape(1, 1, 1, -1),
        )
        self.finish(task, last)

    def _multiply(
        self, node: Node, op: ops.Conv2D | ops.Dense, source: str, weights: np.ndarray,
        stride: Pair, pads: tuple[Pair, Pair], dilation: Pair, operand: Operand,
    ) -> None:  # fmt: skip
        if op.accumulator is not None:
            raise UserError(
                "the tiled architecture sums exactly, this layer's accumulator "
                f"{op.accumulator.type} rounds or overflows",
                layer=node.name,
            )
        (x,) = self.graph.operands(node)
        following = self.only_reader(node)
        assert following is not None and isinstance(following.op, SCALED)  # legal.REQUANTIZED
        requant, last = self.requantization(following)
        missing, outputs = self._offsets.get(x.name, 0), weights.shape[3]
        requant = requant.of_sums_plus(missing * weights.sum(axis=(0, 1, 2)).astype(object))
        requant.check(last.name)
        pad = x.type.zero_point - missing
        if missing:
            # The array sums other values than golden.
            values = np.array([x.range[0] - missing, x.range[1] - missing, pad], object)
            products = np.multiply.outer(values, weights.astype(object))
            low, high = (of(products, axis=0).sum(axis=(0, 1, 2)) for of in (np.min, np.max))
            check_range(int(low.min()), int(high.max()), last.name, self.shape)
        task = Task(
            last.name, (node.name, last.name), source, last.name, outputs,
            (weights.shape[0], weights.shape[1]), stride, pads, dilation, operand, weights, requant,
            pad, macs=op.macs([x]),
        )  # fmt: skip
        self.finish(task, last)

    def _pool(
        self, node: Node, op: ops.Pool, result: str, requant: Requant, pad: int,
        reduction: Reduction,
    ) -> None:  # fmt: skip
        (x,) = self.graph.operands(node)
        task = Task(
            result, tuple(dict.fromkeys((node.name, result))), self.read(x), result,
            x.channels, op.kernel, op.stride, op.pads(x), (1, 1), Operand.DEPTHWISE, None, requant,
            pad, reduction,
        )  # fmt: skip
        self.finish(task, self.nodes[result])

    def _same(self, node: Node, x: Tensor) -> Task:
        """Every element as it is."""
        requant = Requant.identity(x.channels, x.type.min, x.type.max)
        return self._plain(node, x, requant, node.name)

    def _plain(
        self, node: Node, x: Tensor, requant: Requant, y: str, tables: Tables | None = None,
        channel: int = 0,
    ) -> Task:  # fmt: skip
        """Every element by itself."""
        none = ((0, 0), (0, 0))
        return Task(
            f"{node.name}_{channel}" if channel else node.name, (y,), self.read(x), y,
            x.channels, (1, 1), (1, 1), none, (1, 1), Operand.DEPTHWISE, None, requant,
            tables=tables, channel=channel,
        )  # fmt: skip

    def _identity(
        self, node: Node, x: Tensor, requant: Requant, last: str, tables: Tables | None = None
    ) -> None:
        task = self._plain(node, x, requant, last, tables)
        if tables is None:
            self.finish(task, node)
        else:
            self.add(task)
            self.keep(self.graph.tensors[last])

    def _requant_of_sums(self, node: Node) -> tuple[Requant, Node]:
        """What follows sums of a pool, and the last node of it: nothing, or it is done then."""
        sums, following = self.graph.tensors[node.name], self.only_reader(node)
        if following is None or not isinstance(following.op, OF_BYTES) or self.window(following):
            check_sums(sums, node.name, self.shape)
            return Requant.identity(sums.channels, sums.type.min, sums.type.max), node
        return self.requantization(following)


def _only_adds(op: Op, x: Tensor) -> bool:
    """Whether a requantization adds one number to every value, and nothing overflows."""
    added = added_by(op, x)
    return added is not None and len(set(added.tolist())) == 1
