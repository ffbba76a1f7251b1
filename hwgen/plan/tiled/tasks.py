"""Tasks: a legal graph cut into pieces, each one walk of the array over a stored tensor.

What the tiled engine can not carry out is refused here, by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

import numpy as np

from ...descriptors import (
    COMPUTE,
    TABLE_WORDS,
    TRANSFER,
    Operand,
    Reduction,
)
from ...errors import UserError
from ...ir import Graph, Node, Op, Tensor, ops
from .moves import of_image, selection, with_zeros
from .requant import Requant
from .softmax import exponentials_of

Pair = tuple[int, int]


@dataclass(frozen=True)
class Stored:
    """A tensor as bytes: (rows, columns, channels), bytes of an element."""

    name: str
    shape: tuple[int, int, int]
    size: int = 1
    signed: bool = True

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape[1] * self.shape[2] * self.size

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.shape[0] * self.row_bytes


@dataclass(frozen=True, eq=False)
class Tables:
    """What comes behind the requantizers: two tables, their sum requantized.

    second : the stored tensor that goes through the second table; None: there is none.
    """

    first: np.ndarray
    requant: Requant
    second: str | None = None
    other: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """A convolution, a pool or a softmax, from a stored tensor to a stored tensor.

    weights : (kernel rows, kernel columns, channels in, channels out), the channels in 1 where each
    output channel reads its own; None: all are 1. channel : of ``y`` at which the outputs begin.
    pad : the byte of padded positions; pads below 0 leave rows and columns out. repeat : how often
    each row and column of the result comes, one after the other. softmax : its 256 exponentials;
    what belongs to products and sums then means nothing.
    """

    name: str
    layers: tuple[str, ...]
    x: str
    y: str
    outputs: int
    kernel: Pair
    stride: Pair
    pads: tuple[Pair, Pair]
    dilation: Pair
    operand: Operand
    weights: np.ndarray | None
    requant: Requant
    pad: int = 0
    reduction: Reduction = Reduction.SUM
    tables: Tables | None = None
    channel: int = 0
    macs: int = 0
    repeat: Pair = (1, 1)
    softmax: np.ndarray | None = None


@dataclass
class Work:
    """Tasks in order, and the tensors between them.

    source, result : names of the stored input and output.
    """

    tasks: list[Task]
    stored: dict[str, Stored]
    source: str
    result: str


def work_of(graph: Graph) -> Work:
    """The tasks of a legal graph. Raises UserError for what the engine can not carry out."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(
            f"the tiled architecture takes one input and one output, this network has "
            f"{len(graph.inputs)} and {len(graph.outputs)}"
        )
    cut = _Cut(graph)
    for node in graph.nodes:
        if node.name not in cut.done:
            cut.visit(node.op, node)
    if not cut.tasks:
        raise UserError("the network has no layer to build hardware for")
    most = COMPUTE.most("layer") + 1
    if len(cut.tasks) > most:
        raise UserError(f"{len(cut.tasks)} layers, the tiled architecture takes {most}")
    result = cut.names[graph.outputs[0]]
    cut.copy_parts(result)
    return Work(cut.tasks, cut.stored, graph.inputs[0].name, result)


@dataclass
class _Cut:
    """Walks the graph. names : the stored tensor of each edge."""

    graph: Graph
    tasks: list[Task] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._nodes = {node.name: node for node in self.graph.nodes}
        self._offsets: dict[str, int] = {}
        self._keep(self.graph.inputs[0])

    @singledispatchmethod
    def visit(self, op: Op, node: Node) -> None:
        """Add the tasks of a node; what follows it may be taken along."""
        raise UserError(f"the tiled architecture does not carry out {op.op_name}", layer=node.name)

    @visit.register
    def _(self, op: ops.Conv2D, node: Node) -> None:
        (x,) = self.graph.operands(node)
        depthwise = 1 < op.groups == x.channels == op.weights.shape[3]
        self._multiply(
            node, op, op.weights if depthwise else with_zeros(op.weights, op.groups), op.stride,
            op.pads(x), op.dilation, Operand.OWN if depthwise else Operand.SHARED,
        )  # fmt: skip

    @visit.register
    def _(self, op: ops.Dense, node: Node) -> None:
        rows, columns, channels = self.stored[self.names[node.inputs[0]]].shape
        weights = op.weights.reshape(rows, columns, channels, -1)
        none = ((0, 0), (0, 0))
        self._multiply(node, op, weights, (1, 1), none, (1, 1), Operand.SHARED)

    @visit.register
    def _(self, op: ops.MaxPool, node: Node) -> None:
        (x,) = self.graph.operands(node)
        requant = Requant.identity(x.channels, x.type.min, x.type.max)
        self._pool(node, op, node.name, requant, x.type.min, Reduction.MAX)

    @visit.register
    def _(self, op: ops.SumPool, node: Node) -> None:
        requant, last = self._requant_of_sums(node)
        missing = self._offsets.get(node.inputs[0], 0)
        if missing and any(max(pads) for pads in op.pads(self.graph.operands(node)[0])):
            raise UserError("an average of values less a zero point, padded", layer=node.name)
        requant = requant.of_sums_less(missing * op.kernel[0] * op.kernel[1])
        self._pool(node, op, last.name, requant, 0, Reduction.SUM)

    @visit.register
    def _(self, op: ops.Requantize, node: Node) -> None:
        (x,) = self.graph.operands(node)
        following = self._only_reader(node)
        if following is not None and isinstance(following.op, ops.SumPool) and _only_adds(op, x):
            # What is added to every value is added to the sums instead: bytes stay bytes.
            self._offsets[node.name] = int(op.bias[0])
            self.names[node.name] = self.names[x.name]
            return
        self._identity(node, x, Requant.of(node.name, op, x), node.name)

    @visit.register
    def _(self, op: ops.Staircase, node: Node) -> None:
        following = self._only_reader(node)
        if following is not None and isinstance(following.op, ops.Add):
            return  # one of the tables of a sum
        (x,) = self.graph.operands(node)
        requant = Requant.identity(x.channels, x.type.min, x.type.max)
        self._identity(node, x, requant, node.name, self._table(node))

    @visit.register
    def _(self, op: ops.Add, node: Node) -> None:
        """A sum that no task before it could take along."""
        first, second = self._addends(node)
        edge = self.graph.tensors[first[0]]
        requant = Requant.identity(edge.channels, edge.type.min, edge.type.max)
        tables, last = self._sum(node, first[1], second)
        self._identity(node, edge, requant, last, tables)

    @visit.register
    def _(self, op: ops.Concat, node: Node) -> None:
        edge = self.graph.tensors[node.name]
        self._keep(edge)
        start = 0
        for name, tensor in zip(node.inputs, self.graph.operands(node), strict=True):
            written = [n for n, task in enumerate(self.tasks) if task.y == self.names[name]]
            alone = len(self.graph.consumers[name]) == 1 and name not in self.graph.outputs
            if alone and len(written) == 1 and self.names[name] == name:
                # What makes it writes it where it belongs.
                self.tasks[written[0]] = replace(self.tasks[written[0]], y=node.name, channel=start)
                del self.stored[name]
                self.names[name] = node.name
            else:
                requant = Requant.identity(tensor.channels, tensor.type.min, tensor.type.max)
                self._add(self._plain(node, tensor, requant, node.name, channel=start))
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
            operand=Operand.OWN if weights is None else Operand.SHARED,
            weights=weights,
        )
        self._finish(task, node)

    @visit.register
    def _(self, op: ops.Pad, node: Node) -> None:
        (x,) = self.graph.operands(node)
        self._finish(replace(self._same(node, x), pads=op.pads, pad=op.value), node)

    @visit.register
    def _(self, op: ops.Upsample, node: Node) -> None:
        (x,) = self.graph.operands(node)
        self._finish(replace(self._same(node, x), repeat=op.factor), node)

    @visit.register(ops.Flatten)
    @visit.register(ops.Reshape)
    def _(self, op: Op, node: Node) -> None:
        before = self.names[node.inputs[0]]
        edge, stored = self.graph.tensors[node.name], self.stored[before]
        if len(edge.shape) == 1 or edge.hwc == stored.shape:
            self.names[node.name] = before  # elements stay where they are
            return
        raise UserError(
            f"the tiled architecture does not reshape {stored.shape} to {edge.shape}",
            layer=node.name,
        )

    @visit.register(ops.Softmax)
    @visit.register(ops.SoftmaxTable)
    def _(self, op: Op, node: Node) -> None:
        (x,) = self.graph.operands(node)
        powers = exponentials_of(node.name, op, x, self.stored[self.names[x.name]].shape)
        y = self.graph.tensors[node.name]
        requant = Requant.identity(x.channels, y.type.min, y.type.max)
        self._add(replace(self._plain(node, x, requant, node.name), softmax=powers))
        self._keep(y)

    @visit.register
    def _(self, op: ops.Rescale, node: Node) -> None:
        raise UserError(
            f"the tiled architecture has no unit for {op.scaling}, and no multiply, add and shift "
            "equals it here",
            layer=node.name,
        )

    def _multiply(
        self, node: Node, op: ops.Conv2D | ops.Dense, weights: np.ndarray, stride: Pair,
        pads: tuple[Pair, Pair], dilation: Pair, operand: Operand,
    ) -> None:  # fmt: skip
        if op.accumulator is not None:
            raise UserError(
                "the tiled architecture sums exactly, this layer's accumulator "
                f"{op.accumulator.type} rounds or overflows",
                layer=node.name,
            )
        if weights.min() < -128 or weights.max() > 127:
            raise UserError("the tiled architecture has weights of 8 bits", layer=node.name)
        (x,) = self.graph.operands(node)
        last = self._requantization(node)
        requant = Requant.of(last.name, last.op, self.graph.tensors[node.name])
        outputs = weights.shape[3]
        task = Task(
            last.name, (node.name, last.name), self.names[node.inputs[0]], last.name, outputs,
            (weights.shape[0], weights.shape[1]), stride, pads, dilation, operand, weights, requant,
            x.type.zero_point, macs=op.macs([x]),
        )  # fmt: skip
        self._finish(task, last)

    def _pool(
        self, node: Node, op: ops.Pool, result: str, requant: Requant, pad: int,
        reduction: Reduction,
    ) -> None:  # fmt: skip
        (x,) = self.graph.operands(node)
        task = Task(
            result, tuple(dict.fromkeys((node.name, result))), self.names[node.inputs[0]], result,
            x.channels, op.kernel, op.stride, op.pads(x), (1, 1), Operand.OWN, None, requant, pad,
            reduction,
        )  # fmt: skip
        self._finish(task, self._nodes[result])

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
        self._check_pixels(node, x)
        return Task(
            f"{node.name}_{channel}" if channel else node.name, (y,), self.names[x.name], y,
            x.channels, (1, 1), (1, 1), none, (1, 1), Operand.OWN, None, requant, tables=tables,
            channel=channel,
        )  # fmt: skip

    def _check_pixels(self, node: Node, x: Tensor) -> None:
        """Raises UserError for a vector that is stored as pixels."""
        stored = self.stored[self.names[x.name]].shape
        if stored != x.hwc:
            raise UserError(
                f"the tiled architecture takes {stored} as a vector into dense layers only",
                layer=node.name,
            )

    def _identity(
        self, node: Node, x: Tensor, requant: Requant, last: str, tables: Tables | None = None
    ) -> None:
        task = self._plain(node, x, requant, last, tables)
        if tables is None:
            self._finish(task, node)
        else:
            self._add(task)
            self._keep(self.graph.tensors[last])

    def _finish(self, task: Task, last: Node) -> None:
        """Add a task, with tables and a sum behind it where nobody else reads what is before."""
        edge = last.name
        following = self._only_reader(last)
        if self.graph.tensors[edge].type.width <= 8 and following is not None:
            if isinstance(following.op, ops.Staircase):
                behind = self._only_reader(following)
                if behind is not None and isinstance(behind.op, ops.Add):
                    task, edge = self._with_sum(task, edge, following.name, behind)
                else:
                    task = replace(task, tables=self._table(following), y=following.name)
                    edge = following.name
                    self.done.add(edge)
            elif isinstance(following.op, ops.Add):
                task, edge = self._with_sum(task, edge, edge, following)
        self._add(task)
        self._keep(self.graph.tensors[edge])

    def _with_sum(self, task: Task, edge: str, addend: str, node: Node) -> tuple[Task, str]:
        """The task with the sum ``node``, where its other operand is stored already."""
        addends = self._addends(node)
        mine = [a for a in addends if a[2] == addend]
        others = [a for a in addends if a[2] != addend]
        if len(mine) != 1 or len(others) != 1 or others[0][0] not in self.names:
            return task, edge
        heavier = self._heavier(task, others[0][0])
        if heavier is not None:
            # Sums take time of their own, which hides behind the longer of the two.
            self._add(task)
            self._keep(self.graph.tensors[edge])
            self.tasks.remove(heavier)
            del self.stored[heavier.y], self.names[heavier.y]
            task, mine, others = heavier, others, mine
        tables, last = self._sum(node, mine[0][1], others[0])
        self.done.add(node.name)
        return replace(task, tables=tables, y=last, layers=(*task.layers, node.name, last)), last

    def _heavier(self, task: Task, addend: str) -> Task | None:
        """The task that makes the other addend, if it works longer for an output than ``task``."""
        node = self._nodes.get(addend)
        maker = next((t for t in self.tasks if t.y == addend), None)
        if node is None or maker is None or self._only_reader(node) is None:
            return None
        return maker if maker.tables is None and maker.macs > task.macs else None

    def _addends(self, node: Node) -> list[tuple[str, np.ndarray, str]]:
        """Of a sum: the stored edge, its table of 256 values, the edge that is summed."""
        op = node.op
        assert isinstance(op, ops.Add)
        if len(node.inputs) != 2:
            raise UserError("the tiled architecture sums two tensors", layer=node.name)
        addends = []
        tensors = self.graph.operands(node)
        for name, shift in zip(node.inputs, op.shifts(tensors), strict=True):
            maker = self._nodes.get(name)
            if maker is not None and isinstance(maker.op, ops.Staircase):
                source = maker.inputs[0]
                table = _table_of(maker.op, self._narrow(source)) << shift
            else:
                source = name
                table = _codes(self._narrow(source)) << shift
            addends.append((source, table, name))
        return addends

    def _narrow(self, name: str) -> Tensor:
        edge = self.graph.tensors[name]
        if edge.type.width > 8:
            raise UserError(
                f"the tiled architecture stores 8 bits, {name!r} has {edge.type.width}",
                layer=name,
            )
        return edge

    def _sum(
        self, node: Node, first: np.ndarray, second: tuple[str, np.ndarray, str]
    ) -> tuple[Tables, str]:
        """Tables of a sum and its requantization, and the name of the edge that it gives."""
        last = self._requantization(node)
        edge = self.graph.tensors[last.name]
        requant = Requant.of(last.name, last.op, self.graph.tensors[node.name])
        single = all(len(set(a)) == 1 for a in (requant.mult, requant.bias))
        if not single or any(requant.pivot != -(1 << 31)) or edge.type.width > 8:
            raise UserError(
                "the tiled architecture requantizes sums to 8 bits, by one multiplier and bias",
                layer=last.name,
            )
        for table in (first, second[1]):
            if min(table) < -(1 << 31) or max(table) >= 1 << 31:
                raise UserError("addends of more than 32 bits", layer=node.name)
        return Tables(first, requant, self.names[second[0]], second[1]), last.name

    def _table(self, node: Node) -> Tables:
        """A function of a stored byte."""
        op, (x,) = node.op, self.graph.operands(node)
        assert isinstance(op, ops.Staircase)
        if x.type.width > 8 or op.type.width > 8 or len(op.rows) > 1:
            raise UserError(
                "the tiled architecture looks up functions of 8 bits, the same for all channels",
                layer=node.name,
            )
        requant = Requant.identity(1, op.type.min, op.type.max)
        return Tables(_table_of(op, x), requant)

    def _requantization(self, node: Node) -> Node:
        """The requantization that must follow, which is then done."""
        following = self._only_reader(node)
        if following is None or not isinstance(following.op, ops.Requantize):
            raise UserError("a requantization must follow", layer=node.name)
        self.done.add(following.name)
        behind = self._only_reader(following)
        if behind is not None and isinstance(behind.op, ops.Rescale):
            self.visit(behind.op, behind)  # says why not
        return following

    def copy_parts(self, result: str) -> None:
        """A result that several tasks write parts of stays on chip: a task more takes it out."""
        stored = self.stored[result]
        if all(t.outputs == stored.shape[2] for t in self.tasks if t.y == result):
            return
        if stored.size > 1:
            raise UserError("a last concatenation of more than 8 bits", layer=result)
        inner = f"{result}_parts"
        while inner in self.graph.tensors:
            inner += "_"
        self.stored[inner] = replace(stored, name=inner)
        for n, task in enumerate(self.tasks):
            tables = task.tables
            if tables is not None and tables.second == result:
                tables = replace(tables, second=inner)
            x, y = (inner if name == result else name for name in (task.x, task.y))
            self.tasks[n] = replace(task, x=x, y=y, tables=tables)
        edge = self.graph.tensors[result]
        task = self._plain(
            self._nodes[result], edge,
            Requant.identity(edge.channels, edge.type.min, edge.type.max), result,
        )  # fmt: skip
        self._add(replace(task, x=inner))

    def _requant_of_sums(self, node: Node) -> tuple[Requant, Node]:
        """What follows sums of a pool, and the last node of it: nothing, or it is done then."""
        sums, following = self.graph.tensors[node.name], self._only_reader(node)
        if following is None or not isinstance(following.op, ops.Requantize):
            return Requant.identity(sums.channels, sums.type.min, sums.type.max), node
        last = self._requantization(node)
        second = self._only_reader(last)
        wide = self.graph.tensors[last.name].type.width > 8
        if not wide or second is None or not isinstance(second.op, ops.Requantize):
            return Requant.of(last.name, last.op, sums), last
        # An average whose ties need a quotient of more bits first.
        self.done.add(second.name)
        return Requant.of_two(second.name, last.op, second.op, sums), second

    def _only_reader(self, node: Node) -> Node | None:
        readers = self.graph.consumers[node.name]
        return readers[0] if len(readers) == 1 and node.name not in self.graph.outputs else None

    def _add(self, task: Task) -> None:
        self.tasks.append(task)

    def _keep(self, edge: Tensor) -> None:
        """An edge that is stored. Raises UserError where it is too wide."""
        last = edge.name in self.graph.outputs
        if edge.type.width > (32 if last else 8):
            raise UserError(
                f"the tiled architecture stores 8 bits, {edge.name!r} has {edge.type.width}",
                layer=edge.name,
            )
        size = 1 if edge.type.width <= 8 else 4
        stored = Stored(edge.name, edge.hwc, size, edge.type.signed)
        limits = {"rows": (stored.shape[0], COMPUTE.most("x_row")),
                  "bytes in a row": (stored.row_bytes, TRANSFER.most("pitch"))}  # fmt: skip
        for what, (number, most) in limits.items():
            if number > most:
                raise UserError(
                    f"{edge.name!r} has {number} {what}, the tiled architecture takes {most}",
                    layer=edge.name,
                )
        self.stored[edge.name] = stored
        self.names[edge.name] = edge.name


def _only_adds(op: ops.Requantize, x: Tensor) -> bool:
    """Whether a requantization adds one number to every value, and nothing overflows."""
    if op.clip is not None or op.pivot is not None or len({*op.bias.tolist()}) > 1:
        return False
    low, high = (end + int(op.bias[0]) for end in x.range)
    within = op.type.low <= low and high <= op.type.max
    return within and set(op.mult.tolist()) == {1} and set(op.shift.tolist()) == {0}


def _codes(edge: Tensor) -> np.ndarray:
    """The integer of every byte; those that do not occur mean nothing."""
    codes = np.arange(TABLE_WORDS)
    codes = np.where(codes > 127, codes - TABLE_WORDS, codes) if edge.type.signed else codes
    return np.clip(codes, edge.type.min, edge.type.max)


def _table_of(op: ops.Staircase, edge: Tensor) -> np.ndarray:
    return op.golden([_codes(edge)[:, None]], [edge])[:, 0]


def edges_of(work: Work) -> Iterator[str]:
    """Edges that exist as bytes, in the order in which they are finished."""
    last = {task.y: n for n, task in enumerate(work.tasks)}
    for n, task in enumerate(work.tasks):
        if last[task.y] == n:
            yield task.y
