"""What is stored of a network, and what tasks take along behind themselves: tables, a sum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np

from ....contract.isa import COMPUTE, TABLE_WORDS, TRANSFER
from ....errors import UserError
from ....ir import Graph, Node, Tensor, ops
from .requant import Requant
from .tasks import Stored, Tables, Task


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
        self.keep(self.graph.inputs[0])

    def finish(self, task: Task, last: Node) -> None:
        """Add a task, with tables and a sum behind it where nobody else reads what is before."""
        edge = last.name
        following = self.only_reader(last)
        if self.graph.tensors[edge].type.width <= 8 and following is not None:
            if isinstance(following.op, ops.MultiThreshold):
                behind = self.only_reader(following)
                if behind is not None and isinstance(behind.op, ops.Add):
                    task, edge = self._with_sum(task, edge, following.name, behind)
                else:
                    task = replace(task, tables=self.table(following), y=following.name)
                    edge = following.name
                    self.done.add(edge)
            elif isinstance(following.op, ops.Add):
                task, edge = self._with_sum(task, edge, edge, following)
        self.add(task)
        self.keep(self.graph.tensors[edge])

    def _with_sum(self, task: Task, edge: str, addend: str, node: Node) -> tuple[Task, str]:
        """The task with the sum ``node``, where its other operand is stored already."""
        addends = self.addends(node)
        mine = [a for a in addends if a[2] == addend]
        others = [a for a in addends if a[2] != addend]
        if len(mine) != 1 or len(others) != 1 or others[0][0] not in self.names:
            return task, edge
        heavier = self._heavier(task, others[0][0])
        if heavier is not None:
            # Sums take time of their own, which hides behind the longer of the two.
            self.add(task)
            self.keep(self.graph.tensors[edge])
            self.tasks.remove(heavier)
            del self.stored[heavier.y], self.names[heavier.y]
            task, mine, others = heavier, others, mine
        tables, last = self.sum_of(node, mine[0][1], others[0])
        self.done.add(node.name)
        return replace(task, tables=tables, y=last, layers=(*task.layers, node.name, last)), last

    def _heavier(self, task: Task, addend: str) -> Task | None:
        """The task that makes the other addend, if it works longer for an output than ``task``."""
        node = self.nodes.get(addend)
        maker = next((t for t in self.tasks if t.y == addend), None)
        if node is None or maker is None or self.only_reader(node) is None:
            return None
        return maker if maker.tables is None and maker.macs > task.macs else None

    def addends(self, node: Node) -> list[tuple[str, np.ndarray, str]]:
        """The addends of a sum: stored edge, its table of 256 values, the edge that is summed."""
        op = node.op
        assert isinstance(op, ops.Add)
        if len(node.inputs) != 2:
            raise UserError("the tiled architecture sums two tensors", layer=node.name)
        addends = []
        tensors = self.graph.operands(node)
        for name, shift in zip(node.inputs, op.shifts(tensors), strict=True):
            maker = self.nodes.get(name)
            if maker is not None and isinstance(maker.op, ops.MultiThreshold):
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

    def sum_of(
        self, node: Node, first: np.ndarray, second: tuple[str, np.ndarray, str]
    ) -> tuple[Tables, str]:
        """Tables of a sum and its requantization, and the name of the edge that it gives."""
        last = self.requantization(node)
        edge = self.graph.tensors[last.name]
        requant = Requant.of(last.name, last.op, self.graph.tensors[node.name])
        single = all(len(set(a)) == 1 for a in (requant.mult, requant.bias))
        if not single or any(requant.split_at != -(1 << 31)) or edge.type.width > 8:
            raise UserError(
                "the tiled architecture requantizes sums to 8 bits, by one multiplier and bias",
                layer=last.name,
            )
        for table in (first, second[1]):
            if min(table) < -(1 << 31) or max(table) >= 1 << 31:
                raise UserError("addends of more than 32 bits", layer=node.name)
        return Tables(first, requant, self.names[second[0]], second[1]), last.name

    def table(self, node: Node) -> Tables:
        """A function of a stored byte."""
        op, (x,) = node.op, self.graph.operands(node)
        assert isinstance(op, ops.MultiThreshold)
        if x.type.width > 8 or op.type.width > 8 or len(op.rows) > 1:
            raise UserError(
                "the tiled architecture looks up functions of 8 bits, the same for all channels",
                layer=node.name,
            )
        requant = Requant.identity(1, op.type.min, op.type.max)
        return Tables(_table_of(op, x), requant)

    def requantization(self, node: Node) -> Node:
        """What requantizes the results of a node, which is then done.

        Behind products there is one (legal.REQUANTIZED). Raises UserError where there is none
        behind a sum of two tensors, and for a rule that the engine does not know.
        """
        following = self.only_reader(node)
        if following is not None and isinstance(following.op, ops.Rescale):
            refuse_rescale(following.op, following)
        if following is None or not isinstance(following.op, ops.Requantize):
            raise UserError(
                "the tiled architecture requantizes every sum of two tensors before it stores it",
                layer=node.name,
                hint="quantize the sum, and let nothing else read it",
            )
        self.done.add(following.name)
        behind = self.only_reader(following)
        if behind is not None and isinstance(behind.op, ops.Rescale):
            refuse_rescale(behind.op, behind)
        return following

    def only_reader(self, node: Node) -> Node | None:
        """What reads a node, where that is one node alone and no output."""
        readers = self.graph.consumers[node.name]
        return readers[0] if len(readers) == 1 and node.name not in self.graph.outputs else None

    def add(self, task: Task) -> None:
        """Append a task."""
        self.tasks.append(task)

    def keep(self, edge: Tensor) -> None:
        """An edge that is stored. Raises UserError where it is too wide."""
        last = edge.name in self.graph.outputs
        if edge.type.width > (32 if last else 8):
            for reader in self.graph.consumers[edge.name]:
                if isinstance(reader.op, ops.Rescale):
                    refuse_rescale(reader.op, reader)
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


def refuse_rescale(op: ops.Rescale, node: Node) -> NoReturn:
    """Raises the UserError for a rule that the requantizer does not know."""
    raise UserError(
        f"the tiled architecture has no unit for {op.scaling}, and no multiply, add and shift that "
        "rounds down equals it here",
        layer=node.name,
    )


def _codes(edge: Tensor) -> np.ndarray:
    """The integer of every byte; those that do not occur mean nothing."""
    codes = np.arange(TABLE_WORDS)
    codes = np.where(codes > 127, codes - TABLE_WORDS, codes) if edge.type.signed else codes
    return np.clip(codes, edge.type.min, edge.type.max)


def _table_of(op: ops.MultiThreshold, edge: Tensor) -> np.ndarray:
    return op.golden([_codes(edge)[:, None]], [edge])[:, 0]
