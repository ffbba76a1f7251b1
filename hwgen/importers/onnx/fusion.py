"""Which operators between quantizers ONNX Runtime computes in integers.

A file of QuantizeLinear and DequantizeLinear says real arithmetic. ONNX Runtime (with its default
graph optimizations) replaces an operator by one on integers where its inputs come from
DequantizeLinear and its only reader is QuantizeLinear, all of one stored type; reshapes and
MaxPool may stand between. All else it computes in float32. Element by element that is known
exactly; sums of products are not, since the order of their additions is not fixed.

The rules are those of version 1.32, seen in its optimized graphs, and of a session that keeps int8
(``session.qdqisint8allowed``; it always does on ARM). On x86-64 it turns int8 into uint8 unless
told so, and then misses some operators.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...errors import UserError
from ...numeric import QType
from .file import OxNode
from .real import FloatStep
from .work import Value

_MOVED_POOLS = 12
"""The version of the operators since which quantizers move through a MaxPool."""
_EPSILON = np.finfo(np.float32).eps

BEHIND_PAD = "a Pad stands before it"
"""Padding with zeros becomes that of a convolution or of an average."""

HINT = "put QuantizeLinear and DequantizeLinear directly around it"


def scale_of(qtype: QType) -> float:
    """The one scale of a stored type."""
    assert isinstance(qtype.scale, float)
    return qtype.scale


def is_old_pool(node: OxNode, opset: int) -> bool:
    """Whether an operator is a MaxPool through which the runtime moves no quantizers."""
    return node.kind == "MaxPool" and opset < _MOVED_POOLS


def is_redundant(step: FloatStep, qtype: QType) -> bool:
    """Whether ONNX Runtime removes this bound, because the quantizer behind it saturates there."""
    if step.kind not in ("max", "min") or step.operand is None or step.operand.size != 1:
        return False
    bound, scale = step.operand[0], np.float32(scale_of(qtype))
    if step.kind == "min":
        return bool(scale * np.float32(qtype.max - qtype.zero_point) - bound <= _EPSILON)
    if bound == 0:
        return qtype.zero_point == qtype.min
    return bool(bound - scale * np.float32(qtype.min - qtype.zero_point) <= _EPSILON)


def parted(
    apart: Iterable[str], types: Iterable[QType], steps: tuple[FloatStep, ...], qtype: QType
) -> str:
    """Why an operator is not computed in integers, empty where it is.

    Parameters
    ----------
    apart : what is known already of it and of its inputs.
    types : stored types of its inputs.
    steps, qtype : real arithmetic between it and its quantizer, and what that gives.
    """
    for reason in apart:
        if reason:
            return reason
    kinds = {(t.signed, t.width) for t in (*types, qtype)}
    if any(width != 8 for _, width in kinds):
        return NOT_8_BITS
    if len(kinds) > 1:
        return MIXED
    if not all(is_redundant(step, qtype) for step in steps):
        return "real arithmetic or a bound stands between it and its quantizer"
    return ""


def is_exact(value: Value) -> bool:
    """Whether sums in float32 are exact, in whatever order: then they are known."""
    low, high = value.edge.range
    bounds_alone = all(
        s.kind in ("max", "min") and s.operand is not None and s.operand.size == 1
        for s in value.steps
    )
    group = value.group
    return group is not None and group.exact and bounds_alone and high - low < 1 << 24


EXACT = "give scales that are powers of two, and sums of at most 24 bits, so that no order matters"
NOT_8_BITS = "only types of 8 bits are"
OTHER_WEIGHTS = "only weights of 8 bits are"
UNSIGNED_WEIGHTS = "its weights are unsigned and its input is not"
MIXED = "its inputs and its output are stored in different types"
TRANSPOSED = "a ConvTranspose is not"
REDUCED = "a ReduceMean is not; a GlobalAveragePool would be"
OLD_POOL = "a MaxPool of a version of the operators before 12 stands beside it"
BIAS_AXES = "its float32 bias has not one axis, of one number for each output channel"
BIAS_STORED = "its bias is not stored as int32 with the scale of its products"
_WAYS = {
    OLD_POOL: f"export with version 12 or more of the operators (opset); or {EXACT}",
    BIAS_AXES: f"give the bias one axis; or {EXACT}",
    BIAS_STORED: "store the bias as float32, or as int32 with the input's scale times the weights'",
    NOT_8_BITS: f"quantize to 8 bits; or {EXACT}",
    OTHER_WEIGHTS: f"store the same weights as int8; or {EXACT}",
    UNSIGNED_WEIGHTS: f"store the weights as int8, or the input as uint8; or {EXACT}",
    MIXED: "give inputs and output one type of 8 bits",
    TRANSPOSED: EXACT,
    REDUCED: f"export GlobalAveragePool in its place; or {EXACT}",
}
"""What to do about a reason, where it is not that quantizers are missing."""


def in_float(reason: str) -> UserError:
    """The refusal of sums whose order is not known."""
    return UserError(
        "ONNX Runtime computes it in float32, in an order of additions that is not fixed, because "
        + reason,
        hint=_WAYS.get(reason, HINT),
    )


def is_power_of_two(numbers: np.ndarray) -> bool:
    """Whether products with these numbers lose nothing."""
    return bool(np.all(np.frexp(numbers)[0] == 0.5))
