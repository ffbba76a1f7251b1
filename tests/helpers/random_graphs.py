"""Random small graphs of several kinds, reproducible from a seed.

They are legal, but that requantizations need not be in their shortest form: C code takes any.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hwgen.errors import UserError
from hwgen.ir import Graph, Op, ops
from hwgen.numeric import Scaling
from hwgen.passes import legalize

from .drawn import Drawn
from .random_layers import Builder
from .runtime_graphs import GatedNetwork, SoftmaxNetwork, TableNetwork, runtime_network


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
        rng.choice([builder.grouped_conv, builder.multi_threshold, builder.border])()

    return _random_graph(rng, more)


def random_types_graph(rng: Random) -> Graph:
    """Likewise, with weights that need no multiplier, and elements with types of their own."""

    def more(builder: Builder) -> None:
        rng.choice([builder.few_weights, builder.cast])()

    return _random_graph(rng, more)


def random_runtime_graph(rng: Random) -> Graph:
    """What the passes make of a network of a runtime's format, where they need no engine."""
    rules = (Scaling.TFLM_DOUBLE, Scaling.FP32_HALF_EVEN)
    return _legal(lambda: runtime_network(rng, rules), lambda graph: not _has(graph, ops.Rescale))


def random_engines_graph(rng: Random) -> Graph:
    """Likewise, where at least one rule is carried out as it is."""
    return _legal(
        lambda: runtime_network(rng, tuple(Scaling)), lambda graph: _has(graph, ops.Rescale)
    )


def random_gated_graph(rng: Random) -> Graph:
    """Likewise, with products of streams and slices of frames."""
    return _legal(
        lambda: runtime_network(rng, tuple(Scaling), GatedNetwork),
        lambda graph: _has(graph, ops.Mul, ops.Slice),
    )


def random_softmax_graph(rng: Random) -> Graph:
    """Likewise, with a softmax anywhere."""
    return _legal(
        lambda: runtime_network(rng, tuple(Scaling), SoftmaxNetwork),
        lambda graph: _has(graph, ops.Softmax),
    )


def random_table_graph(rng: Random) -> Graph:
    """Likewise, with a softmax in float32 anywhere."""
    return _legal(
        lambda: runtime_network(rng, tuple(Scaling), TableNetwork),
        lambda graph: _has(graph, ops.SoftmaxTable),
    )


ATTEMPTS = 200
"""Networks that are drawn until one is wanted: more show that none is taken any more."""


def _legal(draw: Callable[[], Graph], wanted: Callable[[Graph], bool]) -> Graph:
    """The first wanted one of what the passes make of networks."""
    drawn = Drawn()
    for attempt in range(ATTEMPTS):
        try:
            graph = legalize(draw())
        except UserError as error:
            drawn.leave_out(attempt, error.reason)
            continue
        if wanted(graph):
            return graph
        drawn.leave_out(attempt, "not of the kind")
    raise AssertionError(f"no network in {ATTEMPTS}: {drawn.left_out[:5]}")


def _has(graph: Graph, *kinds: type[Op]) -> bool:
    return any(isinstance(node.op, kinds) for node in graph.nodes)


GRAPHS = {
    "chain": random_graph,
    "branching": random_branching_graph,
    "rich": random_rich_graph,
    "types": random_types_graph,
    "runtime": random_runtime_graph,
    "engines": random_engines_graph,
    "gated": random_gated_graph,
    "softmax": random_softmax_graph,
    "softmax_table": random_table_graph,
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
