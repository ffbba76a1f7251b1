"""Random networks as importers of runtime formats leave them: scales, zero points, rescales."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling, multiplier_of

WIDE = QType(True, 32, 0, Rounding.HALF_UP, Overflow.SATURATE)


def random_type(rng: Random) -> QType:
    """Eight bits (fewer at times) with a scale and any zero point, often an extreme one."""
    signed, width = rng.random() < 0.7, rng.choice([8, 8, 8, 5, 3])
    low = -(1 << (width - 1)) if signed else 0
    high = low + (1 << width) - 1
    zero = rng.choice([low, 0, rng.randint(low, high)])
    scale = math.ldexp(rng.uniform(0.5, 1.0), rng.randint(-6, 0))
    return QType(signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale, zero)


class RuntimeNetwork:
    """Builds a chain, with additions of two branches."""

    widest = 8
    """Bits that a result may have."""

    def __init__(self, rng: Random, scalings: tuple[Scaling, ...]) -> None:
        self.rng, self.scalings = rng, scalings
        shape = (rng.randint(1, 7), rng.randint(1, 7), rng.randint(1, 4))
        self.input = Tensor("x", shape, random_type(rng))
        self.nodes: list[Node] = []
        self.edge = self.input

    def add(self, op: Any, *inputs: Tensor) -> Tensor:
        """One more node, which reads the last edge unless others are given."""
        name = f"{op.op_name}{len(self.nodes)}"
        reads = inputs or (self.edge,)
        edge = op.infer(name, list(reads))
        self.nodes.append(Node(name, op, tuple(x.name for x in reads)))
        self.edge = edge
        return edge

    def rescale(self, qtype: QType | None = None) -> None:
        """The last edge as a random type; most of its range is used."""
        rng, x = self.rng, self.edge
        qtype = qtype or random_type(rng)
        scaling = rng.choice(self.scalings)
        span = (x.range[1] - x.range[0]) or 1
        channels = x.channels if rng.random() < 0.6 else 1
        pairs = []
        for _ in range(channels):
            real = (
                (qtype.max - qtype.min)
                / span
                * math.ldexp(rng.uniform(0.5, 1.0), rng.randint(0, 3))
            )
            if scaling is Scaling.FP32_HALF_EVEN:
                real = float(np.float32(real))
            pairs.append(multiplier_of(real, scaling))
        mult, shift = np.array(pairs).T
        clip = None
        if rng.random() < 0.5:
            clip = (
                qtype.zero_point,
                rng.choice([qtype.max, rng.randint(qtype.zero_point, qtype.max)]),
            )
        bias = np.array([-x.type.zero_point])
        self.add(ops.Rescale(scaling, mult, shift, qtype, bias, qtype.zero_point, clip))

    def mac(self) -> None:
        rng, x = self.rng, self.edge
        weight_type = QType(
            True, rng.choice([8, 8, 4]), 0, Rounding.HALF_AWAY, Overflow.SATURATE, 0.5
        )
        values = np.random.default_rng(rng.getrandbits(32))
        outputs = rng.randint(1, 4)
        if len(x.shape) == 3:
            kernel = [rng.randint(1, min(3, n)) for n in x.shape[:2]]
            groups = rng.choice([1, 1, x.channels])
            shape = (*kernel, x.channels // groups, outputs * groups)
            op: Any = ops.Conv2D(
                values.integers(weight_type.min, weight_type.max + 1, shape), weight_type,
                stride=rng.choice([(1, 1), (2, 1), (2, 2)]), padding=rng.choice(["same", "valid"]),
                groups=groups, bias=self._bias(values, shape[-1]),
            )  # fmt: skip
        else:
            shape = (x.size, outputs)
            codes = values.integers(weight_type.min, weight_type.max + 1, shape)
            op = ops.Dense(codes, weight_type, self._bias(values, outputs))
        self.add(op)
        self.rescale()

    def _bias(self, values: np.random.Generator, outputs: int) -> np.ndarray | None:
        return values.integers(-900, 900, outputs) if self.rng.random() < 0.8 else None

    def addition(self) -> None:
        """Two branches, each rescaled into a wide sum, as TensorFlow Lite adds."""
        rng, start = self.rng, self.edge
        parts = []
        for _ in range(2):
            self.edge = start
            if rng.random() < 0.5:
                self.rescale(random_type(rng))
            x = self.edge
            self.add(ops.Requantize.scaled(WIDE, 1 << 12, -x.type.zero_point << 12))
            mult, shift = multiplier_of(rng.uniform(0.1, 1.0), Scaling.TFLM_DOUBLE)
            pair = np.array([mult]), np.array([shift])
            parts.append(self.add(ops.Rescale(Scaling.TFLM_DOUBLE, *pair, WIDE)))
        self.add(ops.Add(), *parts)
        self.rescale()

    def pool(self) -> None:
        x, rng = self.edge, self.rng
        if len(x.shape) != 3:
            return
        size = (rng.randint(1, min(3, x.shape[0])), rng.randint(1, min(3, x.shape[1])))
        if rng.random() < 0.5:
            self.add(ops.MaxPool(size, rng.choice([size, (1, 1)]), rng.choice(["valid", "same"])))
        else:
            self.add(ops.AvgPool(size, size, "valid", type=x.type))

    def flatten(self) -> None:
        if len(self.edge.shape) > 1 and self.edge.size <= 60:
            self.add(ops.Flatten())

    def border(self) -> None:
        if len(self.edge.shape) == 3 and max(self.edge.shape[:2]) < 7:
            self.add(ops.Pad(((1, 0), (0, 1)), self.edge.type.zero_point))

    def layer(self) -> None:
        """Any of them, products more often."""
        kinds = [self.mac] * 4 + [self.addition] * 2 + [self.pool, self.flatten, self.border]
        self.rng.choice(kinds)()


class GatedNetwork(RuntimeNetwork):
    """Likewise, with products of two branches, slices, and averages of uneven windows."""

    def gate(self) -> None:
        """An edge times one of its size or of one pixel, each of a type of its own."""
        rng, start = self.rng, self.edge
        factors = []
        for _ in range(2):
            self.edge = start
            if rng.random() < 0.7:
                self.rescale(random_type(rng))
            factors.append(self.edge)
        if len(start.shape) == 3 and rng.random() < 0.4:
            size = start.shape[:2]
            factors[1] = self.add(ops.MaxPool((size[0], size[1]), (size[0], size[1]), "valid"))
        self.add(ops.Mul(), *factors)
        self.rescale()

    def cut(self) -> None:
        """Some of the rows, columns and channels."""
        rng = self.rng
        start, size, step = [], [], []
        for length in self.edge.shape:
            by = rng.choice([1, 1, 1, 2])
            first = rng.choice([0, rng.randrange(length)])
            start.append(first)
            step.append(by)
            size.append(rng.randint(1, -(-(length - first) // by)))
        self.add(ops.Slice(tuple(start), tuple(size), tuple(step)))

    def average(self) -> None:
        """Over windows that hang over the border."""
        rng, x = self.rng, self.edge
        size = (rng.randint(2, 3), rng.randint(1, 3))
        stride = rng.choice([size, (1, 1), (2, 1)])
        self.add(ops.AvgPool(size, stride, "same", type=x.type))

    def layer(self) -> None:
        kinds = [self.mac, self.gate, self.gate, self.cut, self.average, self.pool, self.flatten]
        self.rng.choice(kinds)()


class SoftmaxNetwork(RuntimeNetwork):
    """Likewise, with softmaxes of few pixels, not only at the end."""

    widest = 16
    CYCLES = 600
    """Of a frame's softmax, which takes pixels one after the other."""

    def softmax(self) -> None:
        """Exponents of any steepness; 8 or 16 bits."""
        x = self.edge
        if x.type.width > 8:
            self.rescale()
        pixels = x.size // x.channels
        if pixels * self.cycles(x.channels) > self.CYCLES:
            return
        self.add(self.normalization(x))

    def cycles(self, channels: int) -> int:
        """Of one pixel."""
        return 3 * channels + 45

    def normalization(self, x: Tensor) -> Any:
        """The op."""
        rng = self.rng
        width, signed = rng.choice([8, 8, 16]), rng.random() < 0.7
        low = -(1 << (width - 1)) if signed else 0
        qtype = QType(signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-width, low)
        shift = rng.choice([rng.randint(20, 26), rng.randint(0, 31)])
        return ops.Softmax(rng.randint(1 << 30, (1 << 31) - 1), shift, qtype)

    def shrink(self) -> None:
        """Fewer pixels."""
        if len(self.edge.shape) == 3:
            size = (-(-self.edge.shape[0] // 2), -(-self.edge.shape[1] // 2))
            self.add(ops.MaxPool(size, size, "same"))

    def layer(self) -> None:
        kinds = [self.mac, self.softmax, self.softmax, self.shrink, self.addition, self.flatten]
        self.rng.choice(kinds)()


class TableNetwork(SoftmaxNetwork):
    """Likewise, with softmaxes in float32."""

    def cycles(self, channels: int) -> int:
        return 34 * channels + 29

    def normalization(self, x: Tensor) -> Any:
        """LiteRT's in 8 or 16 bits, ONNX Runtime's in up to 16 of any scale and zero point."""
        rng = self.rng
        below = np.arange(1 << x.type.width) * rng.choice([rng.uniform(0.001, 0.1), rng.random()])
        width, signed = rng.choice([8, 8, 16]), rng.random() < 0.7
        low = -(1 << (width - 1)) if signed else 0
        if rng.random() < 0.5:
            qtype = QType(signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-width, low)
            return ops.SoftmaxTable(np.exp(-below).astype(np.float32), qtype)
        steps = round(2.0 ** rng.uniform(0, width + 2))
        zero = rng.choice([low, 0, low + rng.randrange(1 << width)])
        qtype = QType(signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 1 / steps, zero)
        powers = np.exp(rng.uniform(1, 60) - below).astype(np.float32)
        return ops.SoftmaxTable(powers, qtype, steps)


def runtime_network(
    rng: Random,
    scalings: tuple[Scaling, ...] = tuple(Scaling),
    kind: type[RuntimeNetwork] = RuntimeNetwork,
) -> Graph:
    """A network of up to five layers that the IR accepts; at least one has products."""
    while True:
        builder = kind(rng, scalings)
        for _ in range(rng.randint(1, 5)):
            try:
                builder.layer()
            except (UserError, ValueError):
                continue  # a window or a number does not fit: another layer
        macs = any(isinstance(n.op, (ops.Conv2D, ops.Dense)) for n in builder.nodes)
        if macs and builder.edge.type.width <= builder.widest:
            nodes = tuple(builder.nodes)
            graph = Graph("runtime", (builder.input,), nodes, (builder.edge.name,))
            try:
                return graph.verify()
            except UserError:
                continue
