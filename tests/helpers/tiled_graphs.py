"""Random legal graphs of what the tiled engine carries out, reproducible from a seed."""

from __future__ import annotations

from random import Random

import numpy as np

from hwgen.ir import Graph, Node, Op, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT


def random_tiled_graph(rng: Random, bits: tuple[int, int] = (8, 8)) -> Graph:
    """Three to six layers, one after the other, with residual sums among them.

    bits : of tensors, and of weights.
    """
    builder = _Builder(rng, *bits)
    layers = [
        builder.conv, builder.conv, builder.depthwise, builder.pool, builder.average,
        builder.slice, builder.pad, builder.upsample, builder.residual, builder.branches,
    ]  # fmt: skip
    if bits[0] > 8:
        layers.remove(builder.residual)  # no tables
    for _ in range(rng.randint(3, 6)):
        rng.choice(layers)()
    if rng.random() < 0.5:
        builder.dense()
    graph = Graph("random", (builder.input,), tuple(builder.nodes), (builder.edge.name,))
    return legalize(graph.verify(), CARRIED_OUT)


class _Builder:
    def __init__(self, rng: Random, bits: int, weight_bits: int) -> None:
        self.bits, self.weight_bits = bits, weight_bits
        self.weight = QType(True, weight_bits, 0, Rounding.FLOOR, Overflow.SATURATE)
        self.rng, self.numbers = rng, np.random.default_rng(rng.getrandbits(32))
        shape = (rng.randint(5, 14), rng.randint(5, 14), rng.randint(1, 20))
        self.type = QType(rng.random() < 0.5, bits, 0, Rounding.HALF_UP, Overflow.SATURATE)
        self.input = self.edge = Tensor("x", shape, self.type)
        self.nodes: list[Node] = []
        self.edges = {"x": self.input}

    def _add(self, op: Op, *inputs: str) -> str:
        name = f"n{len(self.nodes)}"
        given = inputs or (self.edge.name,)
        self.nodes.append(Node(name, op, given))
        self.edge = self.edges[name] = op.infer(name, [self.edges[i] for i in given])
        return name

    def _requantize(self, qtype: QType | None = None) -> None:
        """To the bits of tensors, most of the range clipped to them."""
        rng = self.rng
        modes = [Rounding.HALF_UP, Rounding.FLOOR, Rounding.HALF_EVEN, Rounding.HALF_AWAY]
        signed = self.edge.range[0] < 0 and rng.random() < 0.7
        made = QType(signed, self.bits, 0, rng.choice(modes), Overflow.SATURATE)
        shift = max(0, max(abs(end) for end in self.edge.range).bit_length() - self.bits + 2)
        mult = self.numbers.integers(1, 8, self.edge.channels)
        self._add(ops.Requantize.scaled(qtype or made, mult if qtype is None else 1, 0, shift))

    def _weights(self, *shape: int) -> np.ndarray:
        return self.numbers.integers(self.weight.min, self.weight.max + 1, shape)

    def _convolved(self, outputs: int, groups: int) -> None:
        rng = self.rng
        kernel = [rng.randint(1, min(3, size)) for size in self.edge.shape[:2]]
        weights = self._weights(*kernel, self.edge.channels // groups, outputs)
        stride = (rng.randint(1, 2), rng.randint(1, 2))
        padding = rng.choice(["same", "valid"])
        self._add(ops.Conv2D(weights, self.weight, stride, padding, groups=groups))
        self._requantize()

    def conv(self) -> None:
        channels = self.edge.channels
        groups = self.rng.choice([g for g in range(1, channels + 1) if channels % g == 0])
        self._convolved(groups * self.rng.randint(1, max(1, 24 // groups)), groups)

    def depthwise(self) -> None:
        self._convolved(self.edge.channels, self.edge.channels)

    def pool(self) -> None:
        kernel = (self.rng.randint(1, 3), self.rng.randint(1, 3))
        self._add(ops.MaxPool(kernel, (1, self.rng.randint(1, 2)), "same"))

    def average(self) -> None:
        rounding = self.rng.choice([Rounding.HALF_UP, Rounding.HALF_AWAY, Rounding.TO_ZERO])
        qtype = QType(self.edge.type.signed, self.bits, 0, rounding, Overflow.SATURATE)
        rows, columns = (self.rng.randint(1, min(3, size)) for size in self.edge.shape[:2])
        self._add(ops.AvgPool((rows, columns), (1, 1), type=qtype))

    def slice(self) -> None:
        if self.weight_bits < 2:
            return  # channels are chosen by weights of 1
        start, size, step = [], [], []
        for length in self.edge.shape:
            start.append(self.rng.randint(0, length // 3))
            step.append(self.rng.randint(1, 2))
            size.append(self.rng.randint(1, (length - start[-1] - 1) // step[-1] + 1))
        self._add(ops.Slice(tuple(start), tuple(size), tuple(step)))

    def pad(self) -> None:
        if max(self.edge.shape[:2]) > 20:
            return
        top, bottom, left, right = (self.rng.randint(0, 3) for _ in range(4))
        value = self.rng.randint(self.edge.type.min, self.edge.type.max)
        self._add(ops.Pad(((top, bottom), (left, right)), value))

    def upsample(self) -> None:
        if max(self.edge.shape[:2]) > 12:
            return
        self._add(ops.Upsample((self.rng.randint(1, 3), self.rng.randint(1, 2))))

    def residual(self) -> None:
        """A convolution of the edge plus the edge."""
        before, channels = self.edge.name, self.edge.channels
        weights = self._weights(3, 3, channels, channels)
        self._add(ops.Conv2D(weights, self.weight, padding="same"))
        self._requantize()
        self._add(ops.Add(), before, self.edge.name)
        self._requantize(QType(True, self.bits, 0, Rounding.HALF_EVEN, Overflow.SATURATE))

    def branches(self) -> None:
        """A pool and the edge itself, beside each other."""
        if self.edge.channels * self.bits % 8 and self.bits < 8:
            return  # a part of a concatenation begins with a byte
        before = self.edge.name
        self._add(ops.MaxPool((3, 3), (1, 1), "same"))
        self._add(ops.Concat(), before, self.edge.name)

    def dense(self) -> None:
        self._add(ops.Flatten())
        weights = self._weights(self.edge.size, self.rng.randint(1, 20))
        self._add(ops.Dense(weights, self.weight))
        self._requantize()
