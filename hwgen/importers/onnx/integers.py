"""Networks whose real numbers are integers: Deeploy's dialect, and files without any quantizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir.ops import Conv2D, SumPool
from ...numeric import MAX_TENSOR_WIDTH, Overflow, QType, Rounding, type_for_range
from .file import OxModel, OxNode
from .real import table
from .work import OnnxImport, Value, canonical, image, reordered, shaped, whole

INTEGER_KINDS = ("RequantShift", "iHardswish")
"""Operators of integers alone."""
EXAMPLE = "inputs.npz"
"""The name of the file beside a network that says what its inputs are."""


def is_integer(model: OxModel, path: Path, given: QType | None) -> bool:
    """Whether a file without quantizers is a network of integers: all its numbers are whole, and
    its inputs are integers, as the file, an example beside it, or the user says."""
    numbers = [array for array in model.constants.values() if array.dtype.kind == "f"]
    if not all(np.all(array == np.rint(array)) for array in numbers):
        return False
    said = path.with_name(EXAMPLE).exists() or (given is not None and not given.frac)
    return said or any(i.dtype.lstrip("u").startswith("int") for i in model.inputs)


def i_hardswish(work: OnnxImport, node: OxNode) -> None:
    """Deeploy's iHardswish: ``x * clip(x + three, 0, six) * one_over_six`` (its public kernel)."""
    value = _bare(work, node)
    three, six, factor = (
        whole(np.asarray(node.get(key, np.nan)).reshape(-1)[0], f"attribute {key}")
        for key in ("three", "six", "one_over_six")
    )

    def function(x: Array) -> Array:
        return x * np.clip(x + three, 0, six) * factor

    low, high = value.edge.range
    if high - low > 1 << 12:
        raise UserError(f"of {high - low + 1} integers is not supported", hint="requantize them")
    results = function(np.arange(low, high + 1))
    qtype = type_for_range(int(results.min()), int(results.max()))
    if qtype.width > MAX_TENSOR_WIDTH:
        raise UserError(f"its results have {qtype.width} bits, {MAX_TENSOR_WIDTH} are possible")
    edge = work.add(node.name, table(value.edge, function, qtype), value.edge)
    work.give(node, Value(edge, value.where))


def reduce_sum(work: OnnxImport, node: OxNode) -> None:
    """ReduceSum of integers over any axes, which is exact."""
    value = _bare(work, node)
    rank = value.where.ndim
    axes = work.wholes(node, 1) if work.has(node, 1) else node.ints("axes", [])
    if not axes and node.get("noop_with_empty_axes", 0):
        work.give(node, value)
        return
    summed = sorted({axis % rank for axis in axes} if axes else range(rank))
    keeps = bool(node.get("keepdims", 1))
    if rank in (3, 4) and summed == list(range(2, rank)) and value.where.shape[0] == 1:
        value = image(work, node.name, value)
        size = value.edge.hwc[:2]
        edge = work.add(node.name, SumPool(size, size), value.edge)
        where = shaped(edge, rank)
    else:
        rest = [axis for axis in range(rank) if axis not in summed]
        order = value.where.transpose(*rest, *summed)
        shape = [value.where.shape[axis] for axis in rest]
        pixels = int(np.prod(shape))
        x = reordered(work, f"{node.name}_in", value, order.reshape(pixels, 1, -1))
        ones = np.ones((1, 1, x.channels, 1), np.int64)
        qtype = QType(True, 2, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
        edge = work.add(node.name, Conv2D(ones, qtype), x)
        where = np.expand_dims(canonical(edge.shape).reshape(shape), tuple(summed))
    work.give(node, Value(edge, where if keeps else np.squeeze(where, tuple(summed))))


def _bare(work: OnnxImport, node: OxNode) -> Value:
    """The input of an operator of integers. Raises UserError where it is not."""
    value = work.settled(node.name, work.value(node))
    if not work.integer or value.zero or np.any(value.scale != 1):
        raise UserError("is supported in networks of integers only",
                        hint="quantize with RequantShift, or leave it out")  # fmt: skip
    return value
