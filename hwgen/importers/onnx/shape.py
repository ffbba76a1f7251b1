"""Operators that move or rename elements, and the arithmetic of shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ..limits import check_elements
from .file import OxNode
from .fusion import BEHIND_PAD
from .work import Codes, Const, Joined, OnnxImport, Value

PASSED = ("Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators through which ONNX Runtime moves quantizers."""


def rearranged(function: Callable[[OnnxImport, OxNode, Array], Array]):
    """The handler of an operator that only rearranges: applied to constants, to the integers
    behind them, and to the places of a tensor's elements."""

    def handler(work: OnnxImport, node: OxNode) -> None:
        found = work.get(node, 0)
        if isinstance(found, Joined):
            raise UserError("its input is not quantized", hint="put a quantizer before it")
        try:
            if isinstance(found, Const):
                work.give(node, _of_constant(work, node, found, function))
            else:
                # Constants of channels follow the edge's own order, which stays.
                where = function(work, node, found.where)
                apart = behind(node, found)
                work.give(node, replace(found, where=where, apart=apart, moved=True))
        except (ValueError, IndexError, np.exceptions.AxisError) as error:
            raise UserError(f"does not fit its input ({error})") from None

    return handler


def behind(node: OxNode, value: Value) -> str:
    """Why ONNX Runtime computes in float32 what reads a rearranged tensor (or what gave it)."""
    if node.kind not in PASSED and not value.apart:
        other = "Reshape" if node.kind == "Flatten" else "quantizer between them"
        return f"a {node.kind} stands {'behind' if value.sums else 'before'} it; a {other} may"
    return BEHIND_PAD + ", not directly" if value.apart == BEHIND_PAD else value.apart


def _of_constant(work: OnnxImport, node: OxNode, const: Const, function) -> Const:
    array = function(work, node, const.array)
    if const.quant is None:
        return Const(array)
    q = const.quant
    shape = q.codes.shape
    codes, scale, zero = (
        function(work, node, np.broadcast_to(part, shape)) for part in (q.codes, q.scale, q.zero)
    )
    return Const(array, Codes(codes, scale if q.scale.size > 1 else q.scale.reshape(1),
                              zero if q.zero.size > 1 else q.zero.reshape(1), q.type))  # fmt: skip


def reshape(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """Reshape."""
    shape = work.wholes(node, 1) if work.has(node, 1) else node.ints("shape")
    if not node.get("allowzero", 0):
        shape = [array.shape[n] if s == 0 else s for n, s in enumerate(shape)]
    return array.reshape(shape)


def flatten(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """Flatten to a matrix."""
    axis = int(node.get("axis", 1))
    axis = axis % array.ndim if axis < 0 else axis
    return array.reshape(int(np.prod(array.shape[:axis])), -1)


def transpose(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """Transpose."""
    return array.transpose(node.ints("perm", list(range(array.ndim))[::-1]))


def squeeze(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """Squeeze."""
    axes = _axes(work, node)
    return np.squeeze(array, None if axes is None else tuple(axes))


def unsqueeze(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """Unsqueeze."""
    return np.expand_dims(array, tuple(_axes(work, node) or ()))


def depth_to_space(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """DepthToSpace."""
    size, (frames, channels, rows, columns) = int(node.get("blocksize", 1)), array.shape
    less = channels // size**2
    if node.get("mode", "DCR") == "DCR":
        split = array.reshape(frames, size, size, less, rows, columns).transpose(0, 3, 4, 1, 5, 2)
    else:
        split = array.reshape(frames, less, size, size, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(frames, less, rows * size, columns * size)


def space_to_depth(work: OnnxImport, node: OxNode, array: Array) -> Array:
    """SpaceToDepth."""
    size, (frames, channels, rows, columns) = int(node.get("blocksize", 1)), array.shape
    split = array.reshape(frames, channels, rows // size, size, columns // size, size)
    moved = split.transpose(0, 3, 5, 1, 2, 4)
    return moved.reshape(frames, channels * size**2, rows // size, columns // size)


REARRANGING: dict[str, Callable[[OnnxImport, OxNode, Array], Array]] = {
    "DepthToSpace": depth_to_space,
    "Flatten": flatten,
    "Reshape": reshape,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""Operators that give all elements of their input in another shape or order."""


def _axes(work: OnnxImport, node: OxNode) -> list[int] | None:
    if work.has(node, 1):
        return work.wholes(node, 1)
    return node.ints("axes") if node.get("axes") is not None else None


def identity(work: OnnxImport, node: OxNode) -> None:
    """Identity: nothing happens."""
    name = next(name for name in node.outputs if name)
    work.put(name, work.get(node, 0))


def dropout(work: OnnxImport, node: OxNode) -> None:
    """Dropout, which does nothing but in training."""
    if work.has(node, 2) and work.number(node, 2):
        raise UserError("training_mode is not supported", hint="export for inference")
    identity(work, node)


def cast(work: OnnxImport, node: OxNode) -> None:
    """Cast of a constant; of a tensor only to what it is already."""
    from onnx import helper

    found = work.get(node, 0)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(int(node.get("to", 1))))
        if isinstance(found, Const):
            work.give(node, Const(_converted(found.array, dtype)))
            return
    except (KeyError, TypeError, ValueError):
        raise UserError(f"a cast to type {node.get('to')} is not supported") from None
    # Integers that mean themselves are the real numbers that they become.
    bare = isinstance(found, Value) and not found.zero and bool(np.all(found.scale == 1))
    if bare and isinstance(found, Value) and found.codes and _holds(dtype, found.edge.range):
        work.give(node, replace(found, codes=dtype.kind != "f"))
        return
    stored = None
    if isinstance(found, Value) and found.codes:
        qtype = found.edge.type
        stored = f"{'' if qtype.signed else 'u'}int{qtype.width}"
    if dtype.name == (stored or "float32"):
        identity(work, node)
    else:
        raise UserError(f"a cast of a tensor of {stored or 'float32'} to {dtype} is not supported")


def _holds(dtype: Any, ends: tuple[int, int]) -> bool:
    """Whether a type has all whole numbers between two."""
    if dtype.kind in "iu":
        return bool(np.iinfo(dtype).min <= ends[0] and ends[1] <= np.iinfo(dtype).max)
    return dtype.kind == "f" and max(map(abs, ends)) <= 1 << np.finfo(dtype).nmant + 1


def _converted(array: Array, dtype: Any) -> Array:
    """An array of another type. Raises UserError for floats that its integers do not hold."""
    if array.dtype.kind == "f" and dtype.kind in "iu":
        limits, cut = np.iinfo(dtype), np.trunc(array.astype(np.float64))
        # The limits as floats may be one too large: of 64 bits the largest float is below them.
        if not np.all((cut >= limits.min) & (cut < float(limits.max) + 1)):
            raise UserError(f"a cast of numbers that are no {dtype} is not supported")
    return array.astype(dtype)


def constant(work: OnnxImport, node: OxNode) -> None:
    """Constant."""
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        found = node.get(key)
        if found is not None:
            kind = {"value_float": np.float32, "value_floats": np.float32}.get(key)
            work.give(node, Const(np.asarray(found, kind)))
            return
    raise UserError("has no value that is supported")


def constant_of_shape(work: OnnxImport, node: OxNode) -> None:
    """ConstantOfShape."""
    shape = work.wholes(node, 0)
    if any(n < 0 for n in shape):
        raise UserError(f"a constant of shape {shape} is not supported")
    check_elements(shape, "a constant")
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)
    work.give(node, Const(np.full(shape, value[0])))


def shape_of(work: OnnxImport, node: OxNode) -> None:
    """Shape."""
    found = work.get(node, 0)
    if isinstance(found, Joined):
        found = found.parts[0]
    shape = found.array.shape if isinstance(found, Const) else found.where.shape
    part = slice(node.get("start", 0), node.get("end"))
    work.give(node, Const(np.array(shape[part], np.int64)))
