"""Passes: graph to graph, in one ordered list; each keeps the golden output equal.

They leave a legal graph: every Conv2D and Dense is bare and followed by one Requantize with a
common shift, and nothing real-valued is left.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph
from .fold import fold_batch_norm, lower_avg_pool
from .fuse import (
    bias_into_requantize,
    common_shift,
    drop_identities,
    ensure_requantize,
    fuse_requantize,
    hoist_requantize,
    relu_into_requantize,
)
from .rewrite import Pass

__all__ = ["PASSES", "legalize", "remove_dead"]


def remove_dead(graph: Graph) -> Graph:
    """Drop layers that lead to no output."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))


PASSES: tuple[Pass, ...] = (
    remove_dead,
    fold_batch_norm,
    lower_avg_pool,
    bias_into_requantize,
    relu_into_requantize,
    fuse_requantize,
    hoist_requantize,
    drop_identities,
    ensure_requantize,
    fuse_requantize,
    common_shift,
)
"""The passes in their order."""


def legalize(graph: Graph) -> Graph:
    """Run all passes. Raises UserError naming a layer that has no exact integer form."""
    for step in PASSES:
        graph = step(graph).verify()
    return graph
