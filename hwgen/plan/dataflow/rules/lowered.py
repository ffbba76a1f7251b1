"""Ops that passes replace by others."""

from __future__ import annotations

from ....errors import UserError
from ....ir import Graph, Node, Op
from .rule import Rule


class LoweredRule(Rule[Op]):
    """An op that no legal graph has."""

    def stage(self, node: Node, following: Node | None, graph: Graph) -> None:
        raise no_unit(node, hint="a pass should have replaced it")


def no_unit(node: Node, hint: str | None = None) -> UserError:
    """The refusal of an op by its name."""
    reason = f"the dataflow architecture has no unit for {node.op.op_name}"
    return UserError(reason, layer=node.name, hint=hint)
