"""Flatten and Reshape: nothing to do."""

from __future__ import annotations

from ....ir import Graph, Node, ops
from .rule import Rule


class ReshapeRule(Rule[ops.Flatten | ops.Reshape]):
    """Elements keep their order; a change of pixel size is the next unit's regrouping."""

    def stage(self, node: Node, following: Node | None, graph: Graph) -> None:
        return None
