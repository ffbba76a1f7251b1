"""Real numbers behind a DEQUANTIZE: the graph keeps the integers that stand for them.

What only moves them, or finds the largest, is done with the integers; a QUANTIZE makes others of
them. Functions of them that nothing but an output follows are left out.
"""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from . import elementwise
from .file import TfOperator
from .meaning import Runtime
from .work import TfliteImport, quantized

MOVES = frozenset({
    "ARG_MAX", "CONCATENATION", "EXPAND_DIMS", "PACK", "QUANTIZE", "REDUCE_MAX", "RESHAPE",
    "SLICE", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TOPK_V2", "TRANSPOSE",
    "UNPACK",
})  # fmt: skip
"""Operators that say of real numbers what they say of the integers."""

_LEFT_OUT = {"SOFTMAX": "softmax", "LOG_SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "TANH": "tanh"}


def dequantization(work: TfliteImport, op: TfOperator) -> None:
    """DEQUANTIZE: the integers stay as they are."""
    out, x = work.output(op), work.edge(op, 0)
    if out.dtype != "FLOAT32":
        raise UserError(f"gives {out.dtype.lower()}, float32 is supported")
    readers = [o for o in work.model.operators if out.index in o.inputs]
    if out.index in work.model.outputs and not readers:
        work.notes.append(f"the output is what {op.name} takes: integers")
    work.give(op, x)


def is_real(work: TfliteImport, op: TfOperator) -> bool:
    """Whether an operator reads what a DEQUANTIZE made."""
    known = (i for i in op.inputs if i in work.edges or i in work.moved)
    return any(work.model.tensors[i].dtype == "FLOAT32" for i in known)


def left_out(work: TfliteImport, op: TfOperator) -> None:
    """Leave out a function that ends the network. Raises UserError for any other arithmetic."""
    out = work.output(op)
    ends = out.index in work.model.outputs
    read = any(out.index in o.inputs for o in work.model.operators)
    if op.kind not in _LEFT_OUT or not ends or read:
        raise UserError(
            f"{op.kind} computes with the real numbers behind a DEQUANTIZE",
            hint="quantize the whole network (full integer quantization), or end it at the "
            "DEQUANTIZE",
        )
    work.notes.append(
        f"{op.name}: the {_LEFT_OUT[op.kind]} at the end is left out; the output is its input, in "
        "the same order"
    )
    work.give(op, work.edge(op, 0))


def requantization(work: TfliteImport, op: TfOperator) -> None:
    """QUANTIZE: of real numbers behind a DEQUANTIZE, else from one type to another."""
    if is_real(work, op):
        work.give(op, _quantized_again(work, op))
    else:
        elementwise.requantization(work, op)


def _quantized_again(work: TfliteImport, op: TfOperator) -> Tensor:
    """QUANTIZE of real numbers that stand for integers: a table in float32.

    XNNPACK multiplies by the inverse scale and rounds ties to even, the other runtimes divide and
    round them away from zero.
    """
    x, out = work.edge(op, 0), work.output(op)
    qtype = quantized(out)
    if not isinstance(x.type.scale, float):
        raise UserError("the input has no scale")
    codes = np.arange(x.type.min, x.type.max + 1) - x.type.zero_point
    real, scale = np.float32(x.type.scale) * codes.astype(np.float32), np.float32(out.scale)
    if work.runtime is Runtime.XNNPACK:
        rounded = np.rint(real * (np.float32(1) / scale))
    else:
        quotient = real / scale
        rounded = np.trunc(quotient + np.copysign(np.float32(0.5), quotient))
    bound = np.float32(1 << 16)  # far beyond any type
    values = np.clip(rounded, -bound, bound).astype(np.int64) + out.zero_point
    return elementwise.table(work, op, x, values, qtype)
