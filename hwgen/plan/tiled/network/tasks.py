"""Tasks: pieces of a network, each one walk of the array over a stored tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....contract.isa import Operand, Reduction
from ....ir import Tensor
from .requant import Requant
from .tables import Tables

Pair = tuple[int, int]


@dataclass(frozen=True)
class Stored:
    """A tensor as bytes: (rows, columns, channels), bytes of an element.

    of : the stored tensor whose bytes these are, which has another shape; None: they are its own.
    """

    name: str
    shape: tuple[int, int, int]
    size: int = 1
    signed: bool = True
    of: str | None = None

    @classmethod
    def of_bytes(cls, edge: Tensor) -> Stored | None:
        """An edge in a byte an element, if its type has 8 bits or no value needs more."""
        low, high = edge.range
        if edge.type.width <= 8:
            return cls(edge.name, edge.hwc, 1, edge.type.signed)
        signed = low < 0 or (edge.type.signed and high < 128)
        fits = low >= -128 and high < (128 if signed else 256)
        return cls(edge.name, edge.hwc, 1, signed) if fits else None

    @property
    def least(self) -> int:
        """The smallest integer of a byte."""
        return -128 if self.signed else 0

    @property
    def place(self) -> str:
        """The tensor that has a place in memory: this one, or the one whose bytes it is."""
        return self.of or self.name

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape[1] * self.shape[2] * self.size

    @property
    def bytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.shape[0] * self.row_bytes


@dataclass(frozen=True)
class Product:
    """What the sums of a task are multiplied by: bytes of the stored tensor ``second``.

    zeros : that are taken from a sum and from a byte first.
    """

    second: str
    zeros: Pair


@dataclass(frozen=True, eq=False)
class Task:
    """A convolution, a pool or a softmax, from a stored tensor to a stored tensor.

    weights : (kernel rows, kernel columns, channels in, channels out), the channels in 1 where each
    output channel reads its own; None: all are 1. channel : of ``y`` at which the outputs begin.
    pad : the byte of padded positions; pads below 0 leave rows and columns out. repeat : how often
    each row and column of the result comes, one after the other. softmax : its 256 exponentials;
    what belongs to products and sums then means nothing. product : what sums are multiplied by
    before they are requantized.
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
    product: Product | None = None

    @property
    def second(self) -> str | None:
        """The stored tensor that results are combined with; None: there is none."""
        if self.product is not None:
            return self.product.second
        return None if self.tables is None else self.tables.second


@dataclass
class TaskGraph:
    """Tasks in order, and the tensors between them.

    sources, results : names of the stored inputs and outputs, in the order of the network's.
    """

    tasks: list[Task]
    stored: dict[str, Stored]
    sources: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def outside(self) -> set[str]:
        """Tensors that lie in external memory whatever is planned: inputs, outputs, and those that
        are read under another shape, in which their rows are others."""
        return {*self.sources, *self.results, *(t.name for t in self.stored.values() if t.of),
                *(t.of for t in self.stored.values() if t.of)}  # fmt: skip


def edges_of(task_graph: TaskGraph) -> Iterator[str]:
    """Edges that exist as bytes, in the order in which they are finished."""
    last = {task.y: n for n, task in enumerate(task_graph.tasks)}
    for n, task in enumerate(task_graph.tasks):
        if last[task.y] == n:
            yield task.y
