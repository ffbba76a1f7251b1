"""Passes: graph to graph, in one ordered list; each keeps the golden output equal.

They leave a legal graph, as the rules of ir.legal state it, and a Rescale only where no Requantize
was found that equals it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

from ..ir import Graph, legal
from ..numeric import Scaling
from .average import lower_avg_pool
from .batch_norm import fold_batch_norm
from .border import pad_into_conv, repeat_factors
from .fuse import relu_into_requantize, simplify
from .mac import bias_into_requantize, ensure_requantize
from .rescale import reduce_rescale
from .rewrite import Pass
from .shift import common_shift
from .table import tabulate
from .zero_points import zero_points_into_biases

__all__ = ["LEAVES", "PASSES", "Pass", "legalize", "remove_dead", "steps"]


def remove_dead(graph: Graph) -> Graph:
    """Drop layers that lead to no output."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))


PASSES: tuple[tuple[str, Pass], ...] = (
    ("remove dead layers", remove_dead),
    # Before any pass that narrows a range: a maximum is within the type that the model says.
    ("activations into requantizations", relu_into_requantize),
    ("borders into convolutions", pad_into_conv),
    ("remove dead borders", remove_dead),
    ("tables of few integers", tabulate),
    ("zero points into biases", zero_points_into_biases),
    ("fold batch norms", fold_batch_norm),
    ("lower averages", lower_avg_pool),
    ("biases into requantizations", bias_into_requantize),
    ("rescales into requantizations", reduce_rescale),
    ("fuse and hoist requantizations", simplify),
    ("requantize every product", ensure_requantize),
    ("factors for every pixel", repeat_factors),
    ("one shift for all channels", common_shift),
)
"""The passes in their order, each with its name for the reader."""

LEAVES: dict[Pass, tuple[legal.Rule, ...]] = {
    remove_dead: (legal.LEADS_TO_AN_OUTPUT,),
    relu_into_requantize: (legal.NO_RELU,),
    zero_points_into_biases: (legal.STORED_INTEGERS,),
    fold_batch_norm: (legal.NO_BATCH_NORM,),
    lower_avg_pool: (legal.NO_AVG_POOL,),
    bias_into_requantize: (legal.NO_BIAS,),
    ensure_requantize: (legal.REQUANTIZED,),
    repeat_factors: (legal.ONE_SHAPE,),
    common_shift: (
        legal.ONE_SHIFT,
        legal.SAID_ONCE,
        legal.SHORTEST_SHIFT,
        legal.FREE_ROUNDING,
    ),
}
"""The rules that each pass brings about. No pass behind its last run breaks them."""


def steps(graph: Graph, keep: Collection[Scaling] = ()) -> Iterator[tuple[str, Graph]]:
    """Run all passes; gives each pass's name and the graph that it leaves.

    ``keep`` : rules of runtimes that are to stay. Raises UserError naming a layer that has no exact
    integer form.
    """
    for name, step in PASSES:
        graph = (partial(reduce_rescale, keep=keep) if step is reduce_rescale else step)(
            graph
        ).verify()
        yield name, graph


def legalize(graph: Graph, keep: Collection[Scaling] = ()) -> Graph:
    """Run all passes: the legal graph that equals this one.

    ``keep`` : rules of runtimes that the architecture carries out as they are. Raises UserError
    naming a layer that has no exact integer form.
    """
    *_, (_, last) = steps(graph, keep)
    return legal.check_legal(last)
