"""The rules of the dataflow architecture: for each op everything that it knows of it.

An op's rule and the unit that it makes are in one file; gateware and lowering go by units.
"""

from __future__ import annotations

from typing import Any

from ....errors import UserError
from ....ir import Node, Op, ops
from .argmax import ArgMaxRule
from .border import PadRule, UpsampleRule
from .cast import CastRule
from .conv2d import Conv2DRule
from .dense import DenseRule
from .join import AddRule, ConcatRule, MulRule
from .mac import MacRule
from .multi_threshold import MultiThresholdRule
from .pool import PoolRule
from .requantize import RequantizeRule
from .rescale import RescaleRule
from .reshape import ReshapeRule
from .rule import Folding, Place, Rule, Stage
from .slice import SliceRule
from .softmax import SoftmaxRule, SoftmaxTableRule

RULES: dict[type[Op], Rule[Any]] = {
    ops.Add: AddRule(),
    ops.ArgMax: ArgMaxRule(),
    ops.Cast: CastRule(),
    ops.Concat: ConcatRule(),
    ops.Conv2D: Conv2DRule(),
    ops.Dense: DenseRule(),
    ops.Flatten: ReshapeRule(),
    ops.MaxPool: PoolRule(),
    ops.Mul: MulRule(),
    ops.Pad: PadRule(),
    ops.Requantize: RequantizeRule(),
    ops.Rescale: RescaleRule(),
    ops.Reshape: ReshapeRule(),
    ops.Slice: SliceRule(),
    ops.Softmax: SoftmaxRule(),
    ops.SoftmaxTable: SoftmaxTableRule(),
    ops.MultiThreshold: MultiThresholdRule(),
    ops.SumPool: PoolRule(),
    ops.Upsample: UpsampleRule(),
}
"""The rule of every op that a legal graph may have."""


def rule_of(node: Node) -> Rule[Any]:
    """The rule of a node's op. Raises UserError for one without."""
    rule = RULES.get(type(node.op))
    if rule is None:
        reason = f"the dataflow architecture has no unit for {node.op.op_name}"
        raise UserError(reason, layer=node.name)
    return rule


__all__ = ["RULES", "Folding", "MacRule", "Place", "Rule", "Stage", "rule_of"]
