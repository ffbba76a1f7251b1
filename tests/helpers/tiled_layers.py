"""Random layers for the tiled engine."""

from __future__ import annotations

import numpy as np

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding

_KIND = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
BYTE, WEIGHT = QType(True, 8, 4, **_KIND), QType(True, 6, 5, **_KIND)


def random_layers(seed: int, most: int = 12, wide: int = 20) -> Graph:
    """Convolutions of random kernels, steps and dilations, a depthwise one, a dense layer.

    most : rows and columns of the input; wide : channels.
    """
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(5, most + 1, 2))
    channels = int(rng.integers(1, 6))
    source = Tensor("x", (height, width, channels), BYTE)
    nodes: list[Node] = []
    before = "x"

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-32, 32, shape)

    def add(name: str, op: ops.Conv2D | ops.Dense, type_: QType = BYTE) -> None:
        nonlocal before
        nodes.append(Node(name, op, (before,)))
        before = f"{name}_q"
        nodes.append(Node(before, ops.Requantize.scaled(type_, shift=9), (name,)))

    for n in range(3):
        outputs = int(rng.integers(1, wide + 1))
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        steps = (1, 1) if n != 1 else tuple(int(s) for s in rng.integers(1, 3, 2))
        dilation = tuple(int(d) for d in rng.integers(1, 3, 2)) if steps == (1, 1) else (1, 1)
        given = weights(*kernel, channels, outputs)
        add(f"conv{n}", ops.Conv2D(given, WEIGHT, steps, "same", dilation=dilation))
        channels = outputs
        height, width = (-(-a // s) for a, s in zip((height, width), steps, strict=True))
    given = weights(3, 2, 1, channels)
    add("deep", ops.Conv2D(given, WEIGHT, (1, 1), "same", groups=channels))
    nodes.append(Node("flat", ops.Flatten(), (before,)))
    before = "flat"
    add(
        "dense",
        ops.Dense(weights(height * width * channels, 7), WEIGHT),
        QType(True, 20, 9, **_KIND),
    )
    return Graph("layers", (source,), tuple(nodes), (before,))


def random_sums(seed: int, most: int = 9, wide: int = 12) -> Graph:
    """Sums and products of what layers of few steps give and what came before them, so that both
    ask for the same banks: taps and second operands.

    most : rows and columns of the input; wide : channels.
    """
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(3, most + 1, 2))
    channels = int(rng.integers(1, wide + 1))
    nodes: list[Node] = []
    before = ["x"]
    for n in range(4):
        rows, columns = (int(k) for k in rng.integers(1, 4, 2))
        deep = bool(rng.integers(0, 2))
        given = rng.integers(-32, 32, (rows, columns, 1 if deep else channels, channels))
        conv = ops.Conv2D(given, WEIGHT, (1, 1), "same", groups=channels if deep else 1)
        other = before[int(rng.integers(0, len(before)))]
        meets, shift = (ops.Mul(), 4) if rng.integers(0, 3) == 0 else (ops.Add(), 0)
        nodes += [
            Node(f"conv{n}", conv, (before[-1],)),
            Node(f"conv{n}_q", ops.Requantize.scaled(BYTE, shift=8), (f"conv{n}",)),
            Node(f"meets{n}", meets, (f"conv{n}_q", other)),
            Node(f"out{n}", ops.Requantize.scaled(BYTE, shift=shift), (f"meets{n}",)),
        ]
        before.append(f"out{n}")
    return Graph("sums", (Tensor("x", (height, width, channels), BYTE),), tuple(nodes), ("out3",))


def square(channels: int, outputs: int, size: int = 6) -> Graph:
    """A 3x3 convolution of ``size`` x ``size`` pixels."""
    given = np.random.default_rng(channels).integers(-32, 32, (3, 3, channels, outputs))
    nodes = (
        Node("conv", ops.Conv2D(given, WEIGHT, (1, 1), "same"), ("x",)),
        Node("out", ops.Requantize.scaled(BYTE, shift=9), ("conv",)),
    )
    return Graph("square", (Tensor("x", (size, size, channels), BYTE),), nodes, ("out",))


def of_widths(bits: int, weight_bits: int) -> Graph:
    """Every way in which values are read and written: taps of many channels and of one, the
    largest, a sum of two tensors where there are tables, a wide output."""
    rng = np.random.default_rng(bits)
    value, weight = QType(True, bits, 0, **_KIND), QType(True, weight_bits, 0, **_KIND)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(weight.min, weight.max + 1, shape)

    conv = ops.Conv2D(weights(3, 3, 3, 5), weight, (1, 1), "same")
    deep = ops.Conv2D(weights(3, 3, 1, 5), weight, (1, 1), "same", groups=5)
    nodes = [
        Node("conv", conv, ("x",)),
        # One more than the product: lanes that are no channels give that.
        Node(
            "conv_q", ops.Requantize.scaled(value, 1, 4 << weight_bits, weight_bits + 2), ("conv",)
        ),
        Node("deep", deep, ("conv_q",)),
        Node("deep_q", ops.Requantize.scaled(value, shift=weight_bits + 1), ("deep",)),
    ]
    if bits <= 8:
        nodes += [
            Node("sum", ops.Add(), ("conv_q", "deep_q")),
            Node("sum_q", ops.Requantize.scaled(value), ("sum",)),
        ]
    nodes += [
        Node("pool", ops.MaxPool((2, 2), (2, 2), "same"), (nodes[-1].name,)),
        Node("flat", ops.Flatten(), ("pool",)),
        Node("dense", ops.Dense(weights(4 * 3 * 5, 6), weight), ("flat",)),
        Node("y", ops.Requantize.scaled(QType(True, 24, 0, **_KIND), shift=2), ("dense",)),
    ]
    return Graph("widths", (Tensor("x", (7, 6, 3), value),), tuple(nodes), ("y",))
