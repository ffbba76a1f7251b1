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
from .widths import TooNarrow, check_sums, check_weights, signed_in, too_wide

SCALED = (ops.Requantize, ops.Rescale)
"""What follows sums: a multiply, an add and a shift, or a runtime's rule."""
_SUMS = (ops.Conv2D, ops.Dense, ops.SumPool, ops.Add)
"""What takes the requantization behind it along."""
CODE_BITS = (TABLE_WORDS - 1).bit_length()
"""Bits of an index of a table."""
MOST_CODES = 1 << 24
"""Most integers of which a table is sought."""
OF_BYTES = (*SCALED, ops.MultiThreshold)
"""What makes a number of a number, whichever place it is at."""
RESHAPING = (ops.Flatten, ops.Reshape)
"""What leaves elements where they are, under another shape."""


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
        self._windows: dict[str, tuple[Tables, int] | None] = {}
        for tensor in self.graph.inputs:
            self.keep(tensor)

    def finish(self, task: Task, last: Node) -> None:
        """Add a task, with tables and a sum behind it where nobody else reads what is before."""
        edge = last.name
        following = self.only_reader(last)
        if self.wide(edge, self.code_bits) and following is not None:
            windowed = self.windowed(task, following)
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

    def windowed(self, task: Task, node: Node) -> Task | None:
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
        op = node.op
        if not isinstance(op, ops.MultiThreshold) or len(op.rows) > 1:
            return None
        low, high = self.graph.operands(node)[0].range
        if self.wide(node.name, CODE_BITS) or high - low >= MOST_CODES:
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
        while before is not None and self.wide(before.inputs[0], self.code_bits):
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

    def wide(self, name: str, bits: int) -> bool:
        """Whether the values of an edge need more than so many bits."""
        return signed_in(self.graph.tensors[name], bits) is None

    def _codes(self, name: str) -> np.ndarray:
        """The integers of the 256 bytes of an edge."""
        edge = self.graph.tensors[name]
        signed = signed_in(edge, self.code_bits)
        if signed is not None:
            return codes(edge, signed, self.shape.stored_bits)
        if self.wide(name, self.shape.ifmap_bits):
            raise too_wide(edge, self.shape)
        raise UserError(
            f"the tiled architecture sums tensors of {CODE_BITS} bits by tables, {name!r} has "
            f"{edge.type.width}",
            layer=name,
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
        # Beyond it are sums of bytes that the tensors never have.
        values = np.clip(values, *self.graph.tensors[node.name].range)
        last = node
        while self.wide(last.name, self.code_bits):
            following = self.only_reader(last)
            if following is None or not isinstance(following.op, OF_BYTES):
                if not self.wide(last.name, CODE_BITS):
                    break  # wider ifmap values hold it
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
        wide = self.wide(nodes[0].inputs[0], self.code_bits)
        if (
            wide
            or self.wide(nodes[-1].name, CODE_BITS)
            or not all(_same_everywhere(node.op) for node in nodes)
        ):
            return None
        values = self._codes(nodes[0].inputs[0])
        for node in nodes:
            values = self._function(node, values)
        return of_one(values)

    def requantization(self, first: Node) -> tuple[Requant, Node]:
        """``first`` and what follows it up to what is stored, as one requantization, and the last
        node of it; they are done then. Raises UserError where there is none."""
        (x,), nodes = self.graph.operands(first), self.to_stored(first)
        check_sums(x, first.name, self.shape)
        last = nodes[-1]
        try:
            requant = Requant.of_chain(last.name, [node.op for node in nodes], x)
        except UserError:
            # In between there may be values that fit, though their type has more bits.
            nodes = nodes[:-1]
            while nodes and self.wide(nodes[-1].name, self.shape.ifmap_bits):
                nodes = nodes[:-1]
            if not nodes:
                raise
            last = nodes[-1]
            requant = Requant.of_chain(last.name, [node.op for node in nodes], x)
        self.done.update(node.name for node in nodes)
        return requant, last

    def to_stored(self, first: Node) -> list[Node]:
        """``first`` and the functions of numbers that follow it, up to the first one whose type has
        as few bits as ifmap values; what a table of 256 integers gives is left to that."""
        nodes = [first]
        while self.graph.tensors[nodes[-1].name].type.width > self.shape.ifmap_bits:
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
        """Append a task. Raises UserError where its weights or its border are too wide."""
        bits, signed = self.code_bits, self.stored[task.x].signed
        low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        padded = task.reduction is not Reduction.MAX and any(max(pads) > 0 for pads in task.pads)
        if padded and not low <= task.pad <= high:
            raise UserError(
                f"a border of {task.pad}: descriptors have {bits} bits for it, {low} to {high}",
                layer=task.layers[0],
            )
        if task.weights is not None:
            check_weights(task.weights, task.layers[0], self.shape)
        self.tasks.append(task)

    def read(self, edge: Tensor) -> str:
        """The stored tensor that an edge is read as: elements that were stored under another shape
        are read under this one, which moves none of them.

        Raises UserError where bits that fill pixels would be taken for elements.
        """
        stored = self.stored[self.names[edge.name]]
        if stored.shape == edge.hwc:
            return stored.name
        if edge.name not in self.stored:
            view = replace(stored, name=edge.name, shape=edge.hwc, of=stored.place)
            if view.shape[2] != stored.shape[2] and (view.filled or stored.filled):
                raise TooNarrow(
                    f"{edge.name!r} reads {stored.name!r} under another shape: pixels of "
                    f"{stored.bits} bits a channel, of which one of both does not fill its bytes",
                    edge.name,
                    ifmap=stored.bits + 1,
                )
            self._store(view)
        return edge.name

    def keep(self, edge: Tensor) -> None:
        """An edge that is stored. Raises UserError where it is too wide."""
        stored = Stored.of_values(edge, self.shape)
        wide = self.shape.ifmap_bits < edge.type.width <= WIDE_BITS
        if wide and self._only_leaves(edge.name) and not self.looked_up(edge.name):
            stored = Stored(edge.name, edge.hwc, WIDE_BITS, edge.type.signed)
        if stored is None:
            raise too_wide(edge, self.shape)
        self._store(stored)
        self.names[edge.name] = edge.name

    def looked_up(self, name: str) -> bool:
        """Whether a tensor comes from tables, whose results are never wide."""
        tasks = (task for task in self.tasks if task.y == name)
        return any(task.tables is not None or task.softmax is not None for task in tasks)

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


def _same_everywhere(op: object) -> bool:
    """Whether an operation does the same in all channels."""
    if isinstance(op, ops.MultiThreshold):
        return len(op.rows) == 1
    names = ("mult", "bias", "shift", "pivot", "below")
    arrays = (getattr(op, name, None) for name in names)
    return all(a is None or len(a) == 1 for a in arrays)
