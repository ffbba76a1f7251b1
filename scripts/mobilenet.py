"""MobileNetV2 of random 8-bit integers: a network of a real one's shape and size, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwgen.ir import Graph, Node, Op, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding

Array = np.ndarray
SIGNED, UNSIGNED = (
    QType(signed, 8, 4, Rounding.HALF_EVEN, Overflow.SATURATE) for signed in (True, False)
)
WEIGHT = QType(True, 8, 7, Rounding.FLOOR, Overflow.SATURATE)
BLOCKS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Expansion, channels, repetitions, stride of the first one (Sandler et al. 2018, table 2)."""
TARGET = 48
"""Root mean square of the integers that requantizations give: few are 0, few saturate."""
SHIFT = 24


def mobilenet_v2(
    size: int = 224,
    width: float = 1.0,
    seed: int = 1,
    blocks: Sequence[tuple[int, int, int, int]] = BLOCKS,
    last: int = 1280,
    classes: int = 1000,
) -> Graph:
    """A frame of ``size`` x ``size`` x 3 signed bytes to logits of 8 bits.

    width : of the channels, each a multiple of 8. last : channels before the average. Weights are
    uniform, multipliers such that the values of one random frame use their bits.
    """
    net = _Builder(f"mobilenet_v2_{size}", size, seed)
    net.conv("conv", _channels(32 * width), 3, 2)
    for n, (expansion, channels, repeats, stride) in enumerate(blocks):
        for k in range(repeats):
            out = _channels(channels * width)
            net.block(f"block{n}_{k}", expansion, out, stride if k == 0 else 1)
    net.conv("last", last, 1)
    net.average("average")
    net.dense("logits", classes)
    return net.graph()


def _channels(number: float) -> int:
    """The multiple of 8 next to it, at most a tenth below."""
    rounded = max(8, int(number + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * number else rounded + 8


class _Builder:
    """Adds layers behind each other, and runs one random frame through them."""

    def __init__(self, name: str, size: int, seed: int) -> None:
        self.name, self.rng = name, np.random.default_rng(seed)
        self.input = Tensor("image", (size, size, 3), SIGNED)
        self.nodes: list[Node] = []
        self.edge = self.input
        frame = self.rng.integers(SIGNED.min, SIGNED.max + 1, (1, *self.input.shape))
        self.values: dict[str, tuple[Tensor, Array]] = {"image": (self.input, frame)}

    def graph(self) -> Graph:
        """What has been added."""
        return Graph(self.name, (self.input,), tuple(self.nodes), (self.edge.name,)).verify()

    def block(self, name: str, expansion: int, out: int, stride: int) -> None:
        """An inverted residual: wider, depthwise, narrower, plus its input where that fits."""
        before = self.edge
        if expansion > 1:
            self.conv(f"{name}_expand", expansion * before.channels, 1)
        self.conv(f"{name}_depthwise", self.edge.channels, 3, stride, groups=self.edge.channels)
        self.conv(f"{name}_project", out, 1, linear=True)
        if before.shape == self.edge.shape:
            self._add(f"{name}_sum", ops.Add(), before.name, self.edge.name)
            self._requantize(f"{name}_add", SIGNED)

    def conv(
        self, name: str, out: int, kernel: int, stride: int = 1, groups: int = 1,
        linear: bool = False,
    ) -> None:  # fmt: skip
        """A convolution that keeps the size, or divides it by the stride; behind it a ReLU."""
        shape = (kernel, kernel, self.edge.channels // groups, out)
        op = ops.Conv2D(
            self._weights(shape), WEIGHT, (stride, stride), "same", self._biases(out, shape),
            groups=groups,
        )  # fmt: skip
        self._add(f"{name}_sums", op, self.edge.name)
        self._requantize(name, SIGNED if linear else UNSIGNED)

    def dense(self, name: str, out: int) -> None:
        """A layer of all elements."""
        self._add(f"{name}_flat", ops.Flatten(), self.edge.name)
        shape = (self.edge.size, out)
        op = ops.Dense(self._weights(shape), WEIGHT, self._biases(out, shape))
        self._add(f"{name}_sums", op, self.edge.name)
        self._requantize(name, SIGNED)

    def average(self, name: str) -> None:
        """Of all pixels, ties up."""
        size = self.edge.shape[0], self.edge.shape[1]
        rounded = replace(self.edge.type, rounding=Rounding.HALF_UP)
        self._add(name, ops.AvgPool(size, size, type=rounded), self.edge.name)

    def _weights(self, shape: tuple[int, ...]) -> Array:
        return self.rng.integers(-127, 128, shape)

    def _biases(self, out: int, shape: tuple[int, ...]) -> Array:
        """About as large as the sums are."""
        bound = 64 * TARGET * int(np.prod(shape[:-1])) ** 0.5
        return self.rng.integers(-int(bound), int(bound) + 1, out)

    def _requantize(self, name: str, qtype: QType) -> None:
        """Each channel by its own multiplier, so that its values are about TARGET."""
        _, sums = self.values[self.edge.name]
        single = isinstance(self.nodes[-1].op, ops.Add)
        axes = None if single or sums.ndim == 2 else tuple(range(sums.ndim - 1))
        size = np.sqrt((sums.astype(float) ** 2).mean(axis=axes)).reshape(-1)
        mult = np.array([int(TARGET * 2**SHIFT / max(1.0, s)) for s in size])
        op = ops.Requantize.scaled(qtype, mult, 0, SHIFT)
        self._add(name, op, self.edge.name)

    def _add(self, name: str, op: Op, *inputs: str) -> None:
        tensors, arrays = zip(*(self.values[i] for i in inputs), strict=True)
        self.nodes.append(Node(name, op, inputs))
        self.edge = op.infer(name, tensors)
        self.values[name] = self.edge, op.golden(arrays, tensors)
