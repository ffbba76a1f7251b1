"""Tasks: pieces of a network, each one walk of the array over a stored tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import Operand, Reduction
from ....ir import Tensor
from ....numeric import ceil_div
from .requant import Requant
from .tables import Tables
from .widths import signed_in

Pair = tuple[int, int]
WIDE_BITS = 32
"""Bits of an element of an output that is wider than ifmaps are."""


@dataclass(frozen=True)
class Stored:
    """A tensor in memory: (rows, columns, channels), bits of an element.

    Elements lie side by side, the first at the lowest bits; a pixel begins with a byte. of : the
    stored tensor whose bytes these are, which has another shape; None: they are its own.
    """

    name: str
    shape: tuple[int, int, int]
    bits: int = 8
    signed: bool = True
    of: str | None = None

    @classmethod
    def of_values(cls, edge: Tensor, shape: EngineShape) -> Stored | None:
        """An edge in elements as an engine's array takes them; None where they are too narrow."""
        signed = signed_in(edge, shape.ifmap_bits)
        return None if signed is None else cls(edge.name, edge.hwc, shape.stored_bits, signed)

    @property
    def place(self) -> str:
        """The tensor that has a place in memory: this one, or the one whose bytes it is."""
        return self.of or self.name

    def span(self, channels: Any) -> Any:
        """Bytes of so many channels of a pixel, from one on that begins with a byte. A number of
        channels, or an array of them."""
        return ceil_div(channels * self.bits, 8)

    @property
    def wide(self) -> bool:
        """Whether it is an output of wider elements than ifmaps have."""
        return self.bits == WIDE_BITS

    @property
    def pixel(self) -> int:
        """Bytes of a pixel."""
        return self.span(self.shape[2])

    @property
    def depth(self) -> int:
        """Elements of a pixel, with those that fill its last byte."""
        return self.pixel * 8 // self.bits

    @property
    def filled(self) -> bool:
        """Whether there are bits between pixels that belong to none."""
        return self.depth != self.shape[2]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape[1] * self.pixel

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
