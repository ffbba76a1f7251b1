"""What is stored of a network, and what tasks take along behind themselves: tables, a sum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ....contract.isa import COMPUTE, TABLE_WORDS, TRANSFER
from ....errors import UserError
from ....ir import Graph, Node, Tensor, ops
from .requant import Requant
from .tables import Tables, codes, of_one, of_two, of_window
from .tasks import Stored, Task

SCALED = (ops.Requantize, ops.Rescale)
"""What follows sums: a multiply, an add and a shift, or a runtime's rule."""
_SUMS = (ops.Conv2D, ops.Dense, ops.SumPool, ops.Add)
"""What takes the requantization behind it along."""
MOST_CODES = 1 << 24
"""Most integers of which a table is sought."""
OF_BYTES = (*SCALED, ops.MultiThreshold)
"""What makes a number of a number, whichever place it is at."""
RESHAPING = (ops.Flatten, ops.Reshape)
"""What leaves elements where they are, under another shape."""


@dataclass
class Fusion:
    """Tasks made so far. names : the stored tensor of each edge. done : nodes that tasks before
    them have taken along."""

    graph: Graph
    tasks: list[Task] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.graph.nodes}
        self._windows: dict[str, tuple[Tables, int] | None] = {}
        for tensor in self.graph.inputs:
            self.keep(tensor)

    def finish(self, task: Task, last: Node) -> None:
        """Add a task, with tables and a sum behind it where nobody else reads what is before."""
        edge = last.name
        following = self.only_reader(last)
        if self.wide(edge) and following is not None:
            windowed = self._windowed(task, following)
            if windowed is not None:
                self.done.add(following.name)
                task, edge = windowed, following.name
        elif following is not None:
            addend, behind = edge, following
            while self.of_bytes(behind):
                addend, behind = behind.name, self.graph.consumers[behind.name][0]
            if isinstance(behind.op, ops.Add):
                if task.product is None:
                    task, edge = self._with_sum(task, edge, addend, behind)
            elif isinstance(following.op, ops.MultiThreshold):
                tables = self.table([following])
                if tables is not None:
                    task, edge = replace(task, tables=tables, y=following.name), following.name
                    self.done.add(edge)
        self.add(task)
        self.keep(self.graph.tensors[edge])

    def _windowed(self, task: Task, node: Node) -> Task | None:
        """The task with a table of its wide results, where that changes within 256 of them."""
        found = self.window(node)
        if found is None:
            return None
        tables, first = found
        ends = max(task.requant.low, first), min(task.requant.high, first + TABLE_WORDS - 1)
        requant = replace(task.requant, low=ends[0], high=ends[1])
        return replace(task, requant=requant, tables=tables, y=node.name)

    def window(self, node: Node) -> tuple[Tables, int] | None:
        """See of_window; None where a node is no such function."""
        if node.name not in self._windows:
            self._windows[node.name] = self._window_of(node)
        return self._windows[node.name]

    def _window_of(self, node: Node) -> tuple[Tables, int] | None:
        op, (x,) = node.op, self.graph.operands(node)
        if not isinstance(op, ops.MultiThreshold) or len(op.rows) > 1 or self.wide(node.name):
            return None
        low, high = x.range
        if high - low >= MOST_CODES:
            return None
        return of_window(self._function(node, np.arange(low, high + 1)), low)

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
        free = maker.tables is None and maker.product is None
        return maker if free and maker.macs > task.macs else None

    def addends(self, node: Node) -> list[Addend]:
        """The two addends of a sum."""
        if len(node.inputs) != 2:
            raise UserError("the tiled architecture sums two tensors", layer=node.name)
        return [self._addend(name, place) for place, name in enumerate(node.inputs)]

    def _addend(self, name: str, place: int) -> Addend:
        """An addend as a function of stored bytes."""
        source, chain = self._chain(name)
        values = self._codes(source)
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
        """Whether a node is a function of each byte by itself, and its only reader a sum, or such
        a function of which that holds. What requantizes sums belongs to them."""
        if not self._each_alike(node):
            return False
        following = self.only_reader(node)
        while following is not None and not isinstance(following.op, ops.Add):
            if not self._each_alike(following):
                return False
            following = self.only_reader(following)
        before: Node | None = node
        while before is not None and self.wide(before.inputs[0]):
            before = self.nodes.get(before.inputs[0])
            if before is None or self.only_reader(before) is None or not self._each_alike(before):
                return False
        return following is not None

    def _each_alike(self, node: Node) -> bool:
        """Whether a node is a function of numbers, the same for all channels, that no task has
        taken along. What requantizes sums belongs to them."""
        maker = self.nodes.get(node.inputs[0])
        of_sums = maker is not None and isinstance(maker.op, _SUMS) and isinstance(node.op, SCALED)
        free = isinstance(node.op, OF_BYTES) and node.name not in self.done
        return free and not of_sums and _same_everywhere(node.op)

    def _function(self, node: Node, values: np.ndarray) -> np.ndarray:
        """The results of a function of numbers; those outside its input's range mean nothing."""
        (x,) = self.graph.operands(node)
        values = np.clip(values, *x.range)
        return node.op.golden([values[..., None]], [x])[..., 0]

    def wide(self, name: str) -> bool:
        """Whether an edge does not fit a byte an element."""
        return Stored.of_bytes(self.graph.tensors[name]) is None

    def _codes(self, name: str) -> np.ndarray:
        """The integers of the 256 bytes of an edge."""
        edge = self.graph.tensors[name]
        stored = Stored.of_bytes(edge)
        if stored is None:
            raise _too_wide(edge)
        return codes(edge, stored.signed)

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
        last = node
        while self.wide(last.name):
            following = self.only_reader(last)
            if following is None or not isinstance(following.op, OF_BYTES):
                raise UserError(
                    "the tiled architecture requantizes every sum of two tensors to 8 bits before "
                    "it stores it",
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
            last = following
        tables = of_two(
            values,
            self.graph.tensors[last.name].type.zero_point,
            self.read(self.graph.tensors[second.source]),
        )
        if tables is None:
            raise UserError(
                "this sum rounds ties now up, now down: no two tables of 32 bits give it",
                layer=node.name,
            )
        return tables, last.name

    def table(self, nodes: list[Node]) -> Tables | None:
        """Functions of a stored byte one after the other, the same for all channels; None: they
        are no such functions."""
        narrow = not self.wide(nodes[0].inputs[0]) and not self.wide(nodes[-1].name)
        if not narrow or not all(_same_everywhere(node.op) for node in nodes):
            return None
        values = self._codes(nodes[0].inputs[0])
        for node in nodes:
            values = self._function(node, values)
        return of_one(values)

    def requantization(self, first: Node) -> tuple[Requant, Node]:
        """``first`` and what follows it up to bytes, as one requantization, and the last node of
        it; they are done then. Raises UserError where there is none."""
        (x,), nodes = self.graph.operands(first), self.to_bytes(first)
        last = nodes[-1]
        try:
            requant = Requant.of_chain(last.name, [node.op for node in nodes], x)
        except UserError:
            # In between there may be bytes, though their type has more bits.
            nodes = nodes[:-1]
            while nodes and self.wide(nodes[-1].name):
                nodes = nodes[:-1]
            if not nodes:
                raise
            last = nodes[-1]
            requant = Requant.of_chain(last.name, [node.op for node in nodes], x)
        self.done.update(node.name for node in nodes)
        return requant, last

    def to_bytes(self, first: Node) -> list[Node]:
        """``first`` and the functions of numbers that follow it, up to the first one whose type has
        8 bits; what a table of 256 integers gives is left to that."""
        nodes = [first]
        while self.graph.tensors[nodes[-1].name].type.width > 8:
            following = self.only_reader(nodes[-1])
            if following is None or not isinstance(following.op, OF_BYTES):
                break
            if self.window(following) is not None:
                break
            nodes.append(following)
        return nodes

    def only_reader(self, node: Node) -> Node | None:
        """What reads a node, where that is one node alone and no output."""
        readers = self.graph.consumers[node.name]
        return readers[0] if len(readers) == 1 and node.name not in self.graph.outputs else None

    def add(self, task: Task) -> None:
        """Append a task."""
        self.tasks.append(task)

    def read(self, edge: Tensor) -> str:
        """The stored tensor that an edge is read as: elements that were stored under another shape
        are read under this one, which moves none of them."""
        stored = self.stored[self.names[edge.name]]
        if stored.shape == edge.hwc:
            return stored.name
        if edge.name not in self.stored:
            self._store(replace(stored, name=edge.name, shape=edge.hwc, of=stored.place))
        return edge.name

    def keep(self, edge: Tensor) -> None:
        """An edge that is stored. Raises UserError where it is too wide."""
        stored = Stored.of_bytes(edge)
        if edge.type.width > 8 and self._only_leaves(edge.name):
            stored = Stored(edge.name, edge.hwc, 4, edge.type.signed)
        if stored is None or edge.type.width > 32:
            raise _too_wide(edge)
        self._store(stored)
        self.names[edge.name] = edge.name

    def _only_leaves(self, name: str) -> bool:
        """Whether a tensor is an output, whatever its shape, and no layer computes with it."""
        readers = self.graph.consumers[name]
        shapes = all(isinstance(n.op, RESHAPING) and self._only_leaves(n.name) for n in readers)
        return shapes and (bool(readers) or name in self.graph.outputs)

    def _store(self, stored: Stored) -> None:
        limits = {"rows": (stored.shape[0], COMPUTE.most("x_row")),
                  "bytes in a row": (stored.row_bytes, TRANSFER.most("pitch"))}  # fmt: skip
        for what, (number, most) in limits.items():
            if number > most:
                raise UserError(
                    f"{stored.name!r} has {number} {what}, the tiled architecture takes {most}",
                    layer=stored.name,
                )
        self.stored[stored.name] = stored


@dataclass(frozen=True, eq=False)
class Addend:
    """One addend of a sum: the stored tensor that it is a function of, its value for each byte of
    that, the edge that is summed, its place among the operands."""

    source: str
    values: np.ndarray
    summed: str
    place: int


def _too_wide(edge: Tensor) -> UserError:
    return UserError(
        f"the tiled architecture stores 8 bits, {edge.name!r} has {edge.type.width}",
        layer=edge.name,
    )


def _same_everywhere(op: object) -> bool:
    """Whether an operation does the same in all channels."""
    if isinstance(op, ops.MultiThreshold):
        return len(op.rows) == 1
    names = ("mult", "bias", "shift", "pivot", "below")
    arrays = (getattr(op, name, None) for name in names)
    return all(a is None or len(a) == 1 for a in arrays)
