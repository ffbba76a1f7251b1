"""What is stored of a network, and what tasks take along behind themselves: tables, a sum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE, TABLE_WORDS, TRANSFER, Reduction
from ....errors import UserError
from ....ir import Graph, Node, Tensor, ops
from .requant import Requant
from .tables import Tables, codes, of_one, of_two, of_window
from .tasks import WIDE_BITS, Stored, Task
from .widths import TooNarrow

SCALED = (ops.Requantize, ops.Rescale)
"""What follows sums: a multiply, an add and a shift, or a runtime's rule."""
_SUMS = (ops.Conv2D, ops.Dense, ops.SumPool, ops.Add)
"""What takes the requantization behind it along."""
CODE_BITS = (TABLE_WORDS - 1).bit_length()
"""Bits of an index of a table."""
MOST_CODES = 1 << 24
"""Most integers of which a table is sought."""
_OF_BYTES = (*SCALED, ops.MultiThreshold)
"""What makes a number of a number, whichever place it is at."""


@dataclass
class Fusion:
    """Tasks made so far. shape : of the engine. names : the stored tensor of each edge. done :
    nodes that tasks before them have taken along."""

    graph: Graph
    shape: EngineShape
    tasks: list[Task] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.graph.nodes}
        self.keep(self.graph.inputs[0])

    def finish(self, task: Task, last: Node) -> None:
        """Add a task, with tables and a sum behind it where nobody else reads what is before."""
        edge = last.name
        following = self.only_reader(last)
        if self.graph.tensors[edge].type.width > self.code_bits and following is not None:
            windowed = self._windowed(task, following)
            if windowed is not None:
                self.done.add(following.name)
                task, edge = windowed, following.name
        elif following is not None:
            addend, behind = edge, following
            while self.of_bytes(behind):
                addend, behind = behind.name, self.graph.consumers[behind.name][0]
            if isinstance(behind.op, ops.Add):
                task, edge = self._with_sum(task, edge, addend, behind)
            elif isinstance(following.op, ops.MultiThreshold):
                task = replace(task, tables=self.table(following), y=following.name)
                edge = following.name
                self.done.add(edge)
        self.add(task)
        self.keep(self.graph.tensors[edge])

    def _windowed(self, task: Task, node: Node) -> Task | None:
        """The task with a table of its wide results, where that changes within 256 of them."""
        op = node.op
        if not isinstance(op, ops.MultiThreshold) or len(op.rows) > 1 or op.type.width > CODE_BITS:
            return None
        low, high = self.graph.operands(node)[0].range
        if high - low >= MOST_CODES:
            return None
        found = of_window(self._function(node, np.arange(low, high + 1)), low)
        if found is None:
            return None
        tables, first = found
        ends = max(task.requant.low, first), min(task.requant.high, first + TABLE_WORDS - 1)
        requant = replace(task.requant, low=ends[0], high=ends[1])
        return replace(task, requant=requant, tables=tables, y=node.name)

    def _with_sum(self, task: Task, edge: str, addend: str, node: Node) -> tuple[Task, str]:
        """The task with the sum ``node``, where its other operand is stored already."""
        others = [name for name in node.inputs if name != addend]
        if len(others) != 1 or self._chain(others[0])[0] not in self.names:
            return task, edge
        first, second = self.addends(node)
        if second.summed == addend:
            first, second = second, first
        heavier = self._heavier(task, second.source)
        if heavier is not None:
            # Sums take time of their own, which hides behind the longer of the two.
            self.add(task)
            self.keep(self.graph.tensors[edge])
            self.tasks.remove(heavier)
            del self.stored[heavier.y], self.names[heavier.y]
            task, first, second = heavier, second, first
        tables, last = self.sum_of(node, first, second)
        self.done.add(node.name)
        return replace(task, tables=tables, y=last, layers=(*task.layers, node.name, last)), last

    def _heavier(self, task: Task, addend: str) -> Task | None:
        """The task that makes the other addend, if it works longer for an output than ``task``."""
        node = self.nodes.get(addend)
        maker = next((t for t in self.tasks if t.y == addend), None)
        if node is None or maker is None or self.only_reader(node) is None:
            return None
        return maker if maker.tables is None and maker.macs > task.macs else None

    def addends(self, node: Node) -> list[Addend]:
        """The two addends of a sum."""
        if len(node.inputs) != 2:
            raise UserError("the tiled architecture sums two tensors", layer=node.name)
        return [self._addend(name, place) for place, name in enumerate(node.inputs)]

    def _addend(self, name: str, place: int) -> Addend:
        """An addend as a function of stored bytes."""
        source, chain = self._chain(name)
        values = codes(self._narrow(source), self.shape.stored_bits)
        for maker in chain:
            values = self._function(maker, values)
        return Addend(source, values, name, place)

    def _chain(self, name: str) -> tuple[str, list[Node]]:
        """The edge of bytes that an addend is a function of, and what is between."""
        chain: list[Node] = []
        while name not in self.names and self.of_bytes(self.nodes[name]):
            chain.insert(0, self.nodes[name])
            name = chain[0].inputs[0]
        return name, chain

    def of_bytes(self, node: Node) -> bool:
        """Whether a node is a function of each number by itself, and its only reader a sum, or
        such a function of which that holds. What requantizes sums belongs to them."""
        maker = self.nodes.get(node.inputs[0])
        if maker is not None and isinstance(maker.op, _SUMS) and isinstance(node.op, SCALED):
            return False
        if node.name in self.done or not isinstance(node.op, _OF_BYTES):
            return False
        following = self.only_reader(node)
        if following is None or not _same_everywhere(node.op):
            return False
        return isinstance(following.op, ops.Add) or self.of_bytes(following)

    def _function(self, node: Node, values: np.ndarray) -> np.ndarray:
        """The results of a function of numbers; those outside its input's range mean nothing."""
        (x,) = self.graph.operands(node)
        values = np.clip(values, *x.range)
        return node.op.golden([values[..., None]], [x])[..., 0]

    def _narrow(self, name: str) -> Tensor:
        edge = self.graph.tensors[name]
        if edge.type.width > self.shape.ifmap_bits:
            raise self.too_wide(edge)
        if edge.type.width > CODE_BITS:
            raise UserError(
                f"the tiled architecture sums tensors of {CODE_BITS} bits by tables, {name!r} has "
                f"{edge.type.width}",
                layer=name,
            )
        return edge

    def too_wide(self, edge: Tensor) -> TooNarrow:
        """The refusal of a tensor that is wider than ifmap values are."""
        return TooNarrow(
            f"the tiled architecture stores {self.shape.ifmap_bits} bits, {edge.name!r} has "
            f"{edge.type.width}",
            edge.name,
            ifmap=edge.type.width,
        )

    @property
    def code_bits(self) -> int:
        """The most bits of what is stored and can go through tables."""
        return min(CODE_BITS, self.shape.ifmap_bits)

    def sum_of(self, node: Node, first: Addend, second: Addend) -> tuple[Tables, str]:
        """Tables of a sum and what follows it, and the name of the edge that it gives."""
        op = node.op
        assert isinstance(op, ops.Add)
        arrays = list(
            np.broadcast_arrays(first.values[:, None, None], second.values[None, :, None])
        )
        if first.place:
            arrays.reverse()
        values = op.golden(arrays, self.graph.operands(node))[..., 0]
        last, width = node, self.graph.tensors[node.name].type.width
        while width > self.code_bits:
            following = self.only_reader(last)
            if following is None or not isinstance(following.op, _OF_BYTES):
                raise UserError(
                    "the tiled architecture requantizes every sum of two tensors to "
                    f"{self.code_bits} bits before it stores it",
                    layer=node.name,
                    hint="quantize the sum, and let nothing else read it",
                )
            if not _same_everywhere(following.op):
                raise UserError(
                    "the tiled architecture requantizes sums of two tensors by one multiplier and "
                    "bias, not by one for each channel",
                    layer=following.name,
                )
            values = self._function(following, values)
            self.done.add(following.name)
            last, width = following, self.graph.tensors[following.name].type.width
        tables = of_two(
            values, self.graph.tensors[last.name].type.zero_point, self.names[second.source]
        )
        if tables is None:
            raise UserError(
                "this sum rounds ties now up, now down: no two tables of 32 bits give it",
                layer=node.name,
            )
        return tables, last.name

    def table(self, node: Node) -> Tables:
        """A function of a stored byte."""
        op, (x,) = node.op, self.graph.operands(node)
        assert isinstance(op, ops.MultiThreshold)
        if max(x.type.width, op.type.width) > CODE_BITS or len(op.rows) > 1:
            raise UserError(
                f"the tiled architecture looks up functions of {CODE_BITS} bits, the same for all "
                "channels",
                layer=node.name,
            )
        return of_one(self._function(node, codes(x, CODE_BITS)))

    def requantization(self, node: Node) -> tuple[Requant, Node]:
        """What requantizes the results of a node, and the last node of it; they are done then.

        Behind products there is one (legal.REQUANTIZED), behind which another one may follow.
        """
        first = self.only_reader(node)
        assert first is not None and isinstance(first.op, SCALED)
        x, middle = self.graph.tensors[node.name], self.graph.tensors[first.name]
        self.done.add(first.name)
        self.check_sums(first.name, x)
        second = self.only_reader(first)
        fits = middle.type.width <= self.shape.ifmap_bits
        if fits or second is None or not isinstance(second.op, SCALED):
            return Requant.of(first.name, first.op, x), first
        self.done.add(second.name)
        return Requant.of_two(second.name, first.op, second.op, x), second

    def only_reader(self, node: Node) -> Node | None:
        """What reads a node, where that is one node alone and no output."""
        readers = self.graph.consumers[node.name]
        return readers[0] if len(readers) == 1 and node.name not in self.graph.outputs else None

    def add(self, task: Task) -> None:
        """Append a task. Raises UserError where its weights or its padding are too wide."""
        low, high = (-128, 127) if self.stored[task.x].signed else (0, 255)
        largest = task.reduction is Reduction.MAX
        if self.shape.ifmap_bits > 8 and not largest and not low <= task.pad <= high:
            raise UserError(
                f"a border of {task.pad}: descriptors have a byte for it, {low} to {high}",
                layer=task.layers[0],
            )
        if task.weights is not None:
            wider = self.widened(task.weights)
            if wider is not None:
                raise TooNarrow(
                    f"the tiled architecture has weights of {self.shape.weight_bits} bits, these "
                    f"need {wider}",
                    task.layers[0],
                    weight=wider,
                )
        self.tasks.append(task)

    def check_sums(self, layer: str, sums: Tensor) -> None:
        """Raises UserError where sums need more bits than psums have."""
        low, high = sums.range
        bits = max(high, -low - 1).bit_length() + 1
        if bits > self.shape.psum_bits:
            raise TooNarrow(
                f"sums of {bits} bits, the engine has {self.shape.psum_bits}", layer, psum=bits
            )

    def widened(self, weights: np.ndarray) -> int | None:
        """The bits, sign included, that weights need where the engine's have fewer; else None."""
        low, high = int(weights.min()), int(weights.max())
        bits = max(high, -low - 1).bit_length() + 1
        return bits if bits > self.shape.weight_bits else None

    def keep(self, edge: Tensor) -> None:
        """An edge that is stored. Raises UserError where it is too wide."""
        fits = edge.type.width <= self.shape.ifmap_bits
        if not fits and (edge.name not in self.graph.outputs or edge.type.width > WIDE_BITS):
            raise self.too_wide(edge)
        bits = self.shape.stored_bits if fits else WIDE_BITS
        stored = Stored(edge.name, edge.hwc, bits, edge.type.signed)
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


@dataclass(frozen=True, eq=False)
class Addend:
    """One addend of a sum: the stored tensor that it is a function of, its value for each byte of
    that, the edge that is summed, its place among the operands."""

    source: str
    values: np.ndarray
    summed: str
    place: int


def _same_everywhere(op: object) -> bool:
    """Whether an operation does the same in all channels."""
    if isinstance(op, ops.MultiThreshold):
        return len(op.rows) == 1
    names = ("mult", "bias", "shift", "pivot", "below")
    arrays = (getattr(op, name, None) for name in names)
    return all(a is None or len(a) == 1 for a in arrays)
