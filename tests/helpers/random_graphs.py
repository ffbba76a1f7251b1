"""Random small graphs of several kinds, reproducible from a seed.

They are legal, but that requantizations need not be in their shortest form: C code takes any.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hwgen.errors import UserError
from hwgen.ir import Graph, ops
from hwgen.numeric import Scaling
from hwgen.passes import legalize

from .random_layers import Builder
from .runtime_graphs import GatedNetwork, SoftmaxNetwork, runtime_network


def random_graph(rng: Random) -> Graph:
    """A chain of one to five layers, each MAC layer with its requantization."""
    return _random_graph(rng, lambda builder: None)


def random_branching_graph(rng: Random) -> Graph:
    """Likewise, with one or two places where streams part and meet."""

    def branches(builder: Builder) -> None:
        if len(builder.edge.shape) == 3 and builder.edge.type.width <= 20:
            builder.branches()

    return _random_graph(rng, branches)


def random_rich_graph(rng: Random) -> Graph:
    """Likewise, with the ops that the others lack."""

    def more(builder: Builder) -> None:
        rng.choice([builder.grouped_conv, builder.staircase, builder.border])()

    return _random_graph(rng, more)


def random_types_graph(rng: Random) -> Graph:
    """Likewise, with weights that need no multiplier, and elements with types of their own."""

    def more(builder: Builder) -> None:
        rng.choice([builder.few_weights, builder.cast])()

    return _random_graph(rng, more)


def random_runtime_graph(rng: Random) -> Graph:
    """What the passes make of a network of a runtime's format, where they need no engine."""
    while True:
        try:
            graph = legalize(runtime_network(rng, (Scaling.TFLM_DOUBLE, Scaling.FP32_HALF_EVEN)))
        except UserError:
            continue
        if not any(isinstance(node.op, ops.Rescale) for node in graph.nodes):
            return graph


def random_engines_graph(rng: Random) -> Graph:
    """Likewise, where at least one rule is carried out as it is."""
    while True:
        try:
            graph = legalize(runtime_network(rng, tuple(Scaling)))
        except UserError:
            continue
        if any(isinstance(node.op, ops.Rescale) for node in graph.nodes):
            return graph


def random_gated_graph(rng: Random) -> Graph:
    """Likewise, with products of streams and slices of frames."""
    while True:
        try:
            graph = legalize(runtime_network(rng, tuple(Scaling), GatedNetwork))
        except UserError:
            continue
        if any(isinstance(node.op, (ops.Mul, ops.Slice)) for node in graph.nodes):
            return graph


def random_softmax_graph(rng: Random) -> Graph:
    """Likewise, with a softmax anywhere."""
    while True:
        try:
            graph = legalize(runtime_network(rng, tuple(Scaling), SoftmaxNetwork))
        except UserError:
            continue
        if any(isinstance(node.op, ops.Softmax) for node in graph.nodes):
            return graph


GRAPHS = {
    "chain": random_graph,
    "branching": random_branching_graph,
    "rich": random_rich_graph,
    "types": random_types_graph,
    "runtime": random_runtime_graph,
    "engines": random_engines_graph,
    "gated": random_gated_graph,
    "softmax": random_softmax_graph,
    "wide": random_rich_graph,
}
"""Kinds of random graphs; the graph of a seed never changes."""


def _random_graph(rng: Random, extra: Callable[[Builder], None]) -> Graph:
    while True:
        builder = Builder(rng)
        for _ in range(rng.choice([1, 1, 2, 3, 4, 5])):
            extra(builder)
            builder.layer()
        units = [n for n in builder.nodes if not isinstance(n.op, (ops.Flatten, ops.Reshape))]
        if units and builder.edge.type.width <= 32:
            nodes = tuple(builder.nodes)
            return Graph("random", (builder.input,), nodes, (builder.edge.name,)).verify()
