"""Random networks as importers leave them, reproducible from a seed."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding
from tests.helpers.random_layers import (
    random_accumulator,
    random_codes,
    random_requantize,
    random_type,
)

TYPED = (ops.BatchNorm, ops.AvgPool, ops.Requantize)
"""Ops that say the type of their results; the others follow from the range of their inputs."""
SATURATING = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)


def qtype(rng: Any, width: int, frac: int, signed: bool = True) -> QType:
    """A saturating type with any rounding."""
    rounding = list(Rounding)[rng.integers(len(Rounding))]
    return QType(signed, width, frac, rounding, Overflow.SATURATE)


def frames_of(graph: Graph, seed: int, count: int = 6) -> dict[str, np.ndarray]:
    """Random frames, and one each of the smallest and largest integers."""
    rng = Random(seed)
    out = {}
    for tensor in graph.inputs:
        frames = random_codes(rng, tensor.type, (count, *tensor.shape))
        frames[0], frames[1] = tensor.type.low, tensor.type.max
        out[tensor.name] = frames
    return out


def assert_equal(before: Graph, after: Graph, seed: int) -> None:
    """Every edge that both graphs have holds the same integers; outputs and types are kept."""
    assert after.outputs == before.outputs
    assert after.inputs == before.inputs
    inputs = frames_of(before, seed)
    names = [n.name for n in before.nodes if n.name in after.tensors]
    assert set(before.outputs) <= set(names) | {t.name for t in before.inputs}
    a, b = execute(before, inputs, names), execute(after, inputs, names)
    for name in names:
        assert np.array_equal(a[name], b[name]), f"seed {seed}: {name} differs"
        old, new = before.tensors[name], after.tensors[name]
        assert old.shape == new.shape
        if name in before.outputs:
            inferred = any(n.name == name and not isinstance(n.op, TYPED) for n in before.nodes)
            assert meaning(old.type, inferred) == meaning(new.type, inferred), (
                f"seed {seed}: type of {name}"
            )
        low, high = new.range
        assert low <= b[name].min() and b[name].max() <= high, f"seed {seed}: range of {name}"


def meaning(qtype: QType, inferred: bool) -> tuple[Any, ...]:
    """What the integers of a type mean; and how many there are, unless inferred from a range."""
    size = () if inferred else (qtype.signed, qtype.width)
    return *size, qtype.frac, qtype.scale, qtype.zero_point


def chain(x: Tensor, *layers: Any) -> Graph:
    """Layers in a row; each is an op, or (name, op)."""
    nodes: list[Node] = []
    edge = x.name
    for layer in layers:
        name, op = layer if isinstance(layer, tuple) else (f"n{len(nodes)}", layer)
        nodes.append(Node(name, op, (edge,)))
        edge = name
    return Graph("test", (x,), tuple(nodes), (edge,)).verify()


class Network:
    """Builds a chain of random layers with everything that an importer may leave."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        shape: tuple[int, ...] = (
            self.rng.randint(2, 7),
            self.rng.randint(2, 7),
            self.rng.randint(1, 4),
        )
        if self.rng.random() < 0.1:
            shape = (self.rng.randint(1, 30),)
        self.input = Tensor("x", shape, random_type(self.rng, (1, 9)))
        self.edge = self.input
        self.nodes: list[Node] = []

    def add(self, op: Any) -> None:
        name = f"{op.op_name}{len(self.nodes)}"
        edge = op.infer(name, [self.edge])
        self.nodes.append(Node(name, op, (self.edge.name,)))
        self.edge = edge

    def bias(self, channels: int, frac: int) -> dict[str, Any]:
        """None, with the products' fraction, or with more or less of it."""
        kind = self.rng.choice(["none", "same", "stated", "stated"])
        if kind == "none":
            return {}
        bias = np.array([self.rng.randint(-200, 200) for _ in range(channels)])
        return {"bias": bias} | (
            {"bias_frac": frac + self.rng.randint(-4, 4)} if kind == "stated" else {}
        )

    def mac(self) -> None:
        rng, x = self.rng, self.edge
        w_type = random_type(rng, (1, 6))
        frac, outputs = x.type.frac + w_type.frac, rng.randint(1, 5)
        if len(x.shape) == 3:
            kernel = (rng.randint(1, min(3, x.shape[0])), rng.randint(1, min(3, x.shape[1])))
            weights = random_codes(rng, w_type, (*kernel, x.channels, outputs))
            self.add(
                ops.Conv2D(
                    weights,
                    w_type,
                    padding=rng.choice(["same", "valid"]),
                    stride=rng.choice([(1, 1), (1, 1), (2, 1)]),
                    accumulator=random_accumulator(rng, frac, weights[..., 0].size),
                    **self.bias(outputs, frac),
                )
            )
        else:
            weights = random_codes(rng, w_type, (x.channels, outputs))
            acc = random_accumulator(rng, frac, x.channels)
            self.add(ops.Dense(weights, w_type, accumulator=acc, **self.bias(outputs, frac)))

    def border(self) -> None:
        """Mostly zeros, and a convolution that may take them over."""
        rng = self.rng
        pads = tuple((rng.randint(0, 1), rng.randint(0, 1)) for _ in range(2))
        if min(self.edge.shape[:2]) > 6:
            return
        self.add(ops.Pad(pads, rng.choice([0, 0, 0, self.edge.type.max])))
        self.mac()

    def pool(self) -> None:
        x, rng = self.edge, self.rng
        size = (rng.randint(1, min(3, x.shape[0])), rng.randint(1, min(3, x.shape[1])))
        self.add(ops.MaxPool(size, rng.choice([size, (1, 1)]), rng.choice(["valid", "same"])))

    def average(self) -> None:
        x, rng = self.edge, self.rng
        if x.type.width > 20:
            return
        size = (rng.randint(1, min(3, x.shape[0])), rng.randint(1, min(3, x.shape[1])))
        qtype = random_type(rng, (2, 9))
        self.add(
            ops.AvgPool(size, size, rng.choice(["valid", "same"]), type=qtype, count_padding=True)
        )

    def batch_norm(self) -> None:
        x, rng = self.edge, self.rng
        values = np.random.default_rng(rng.getrandbits(32))
        largest = max(abs(bound) for bound in x.range) * 2.0**-x.type.frac
        qtype = QType(
            rng.random() < 0.5,
            rng.randint(2, 8),
            rng.randint(-1, 6),
            rng.choice(list(Rounding)),
            rng.choice(SATURATING),
        )
        reach = 2.0 ** (qtype.width - qtype.frac)
        gamma = values.normal(0, 1, x.channels) * reach / max(largest, 1e-3)
        gamma[values.random(x.channels) < 0.2] = 0
        self.add(ops.BatchNorm(gamma, values.normal(0, reach / 4, x.channels), qtype))

    def relu(self) -> None:
        x = self.edge
        if x.type.max >= 1:
            limit = self.rng.choice([None, None, self.rng.randint(1, x.type.max)])
            self.add(ops.Relu(limit))

    def requantize(self) -> None:
        self.add(random_requantize(self.rng, self.edge))

    def widen(self) -> None:
        """A requantization without a shift, such as a change of fraction."""
        x, rng = self.edge, self.rng
        qtype = random_type(rng, (min(x.type.width, 28), min(x.type.width + 4, 32)))
        self.add(ops.Requantize.scaled(qtype, 1 << rng.randint(0, 2), rng.choice([0, 0, 3])))

    def identity(self) -> None:
        self.add(ops.Requantize.identity(self.edge))

    def layer(self) -> None:
        kinds = [self.mac, self.mac, self.relu, self.requantize, self.identity, self.widen]
        kinds += [self.batch_norm]
        if len(self.edge.shape) == 3:
            kinds += [self.pool, self.pool, self.average, self.flatten]
            kinds += [self.border] * 2
        self.rng.choice(kinds)()

    def flatten(self) -> None:
        if self.edge.size <= 80 and self.rng.random() < 0.5:
            self.add(ops.Flatten())


def network(seed: int) -> Graph:
    """A chain of up to eight layers that the IR accepts."""
    attempt = 0
    while True:
        builder = Network(seed * 1000 + attempt)
        attempt += 1
        for _ in range(builder.rng.randint(1, 8)):
            try:
                builder.layer()
            except (UserError, ValueError):
                continue  # too wide for the op, or out of a type's limits: another layer
        if builder.edge.type.width > 32:
            builder.requantize()
        if builder.nodes:
            nodes = tuple(builder.nodes)
            return Graph("random", (builder.input,), nodes, (builder.edge.name,)).verify()
