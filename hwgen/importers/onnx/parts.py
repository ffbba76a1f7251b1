"""Operators that give some elements of a tensor: Slice, Split, Gather; ArgMax and TopK."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import ArgMax, MaxPool, Reshape
from ...numeric import ceil_div
from ..limits import check_elements
from .file import OxNode
from .shape import behind
from .work import Codes, Const, Joined, OnnxImport, Value, canonical, in_file_order, reordered


def _part(
    work: OnnxImport, node: OxNode, found: Const | Value | Joined, index: tuple, key: str = ""
) -> Const | Value:
    """Elements of a constant or a tensor at a NumPy index. Raises UserError."""
    if isinstance(found, Joined):
        raise UserError("its input is not quantized", hint="put a quantizer before it")
    try:
        if isinstance(found, Value):
            where = found.where[index]
            if not where.size:
                raise UserError("leaves no elements")
            value = replace(found, where=where, apart=behind(node, found), moved=True)
            # What is left out has no need to be quantized once more.
            return in_file_order(work, f"{node.name}{key}", value) if value.plain else value
        q = found.quant
        if q is None:
            return Const(found.array[index])
        parts = (np.broadcast_to(a, q.codes.shape)[index] for a in (q.codes, q.scale, q.zero))
        codes, scale, zero = parts
        return Const(found.array[index], Codes(
            codes, scale if q.scale.size > 1 else q.scale.reshape(1),
            zero if q.zero.size > 1 else q.zero.reshape(1), q.type,
        ))  # fmt: skip
    except (IndexError, ValueError) as error:
        raise UserError(f"does not fit its input ({error})") from None


def _shape(found: Const | Value | Joined) -> tuple[int, ...]:
    if isinstance(found, Joined):
        raise UserError("its input is not quantized", hint="put a quantizer before it")
    return (found.array if isinstance(found, Const) else found.where).shape


def gather(work: OnnxImport, node: OxNode) -> None:
    """Gather with constant indices."""
    found, indices = work.get(node, 0), work.const(node, 1).array
    if indices.dtype.kind not in "iu":
        raise UserError(f"indices of type {indices.dtype} are not supported")
    shape, axis = _shape(found), int(node.get("axis", 0))
    if not -len(shape) <= axis < len(shape):
        raise UserError(f"axis {axis} is not one of {list(shape)}")
    axis %= len(shape)
    size = int(np.prod(shape)) // max(1, shape[axis])
    what = "a constant" if isinstance(found, Const) else "its output"
    check_elements((size, indices.size), what)
    index = (slice(None),) * axis + (indices.astype(np.int64),)
    work.give(node, _part(work, node, found, index))


def cut(work: OnnxImport, node: OxNode) -> None:
    """Slice."""
    found = work.get(node, 0)
    if work.has(node, 1):
        columns = [work.wholes(node, n) if work.has(node, n) else None for n in range(1, 5)]
    else:
        columns = [node.ints("starts"), node.ints("ends"), node.get("axes"), None]
    starts, ends, axes, steps = columns
    assert starts is not None and ends is not None
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    index = [slice(None)] * len(_shape(found))
    try:
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index[axis] = slice(start, _end(end, step), step)
    except (IndexError, ValueError) as error:
        raise UserError(f"does not fit its input ({error})") from None
    work.give(node, _part(work, node, found, tuple(index)))


def _end(end: int, step: int) -> int | None:
    """The end of a slice; of a falling one, the least integers mean down to the first element."""
    return None if step < 0 and end < -(1 << 30) else end


def split(work: OnnxImport, node: OxNode) -> None:
    """Split: along an axis, by given lengths or evenly."""
    found = work.get(node, 0)
    shape, axis = _shape(found), int(node.get("axis", 0))
    if not -len(shape) <= axis < len(shape):
        raise UserError(f"axis {axis} is not one of {list(shape)}")
    axis %= len(shape)
    names = node.outputs
    if work.has(node, 1):
        lengths = work.wholes(node, 1)
    elif node.get("split") is not None:
        lengths = node.ints("split")
    else:
        each = ceil_div(shape[axis], int(node.get("num_outputs", len(names))))
        lengths = [min(each, shape[axis] - n * each) for n in range(len(names))]
    if len(lengths) != len(names) or sum(lengths) != shape[axis] or min(lengths) < 1:
        raise UserError(f"lengths {lengths} do not split {shape[axis]} elements")
    start = 0
    for number, (name, length) in enumerate(zip(names, lengths, strict=True)):
        index = (slice(None),) * axis + (slice(start, start + length),)
        start += length
        if name and (work.readers[name] or name in work.model.outputs):
            work.put(name, _part(work, node, found, index, f"_{number}"))


def arg_max(work: OnnxImport, node: OxNode) -> None:
    """ArgMax: the place of the largest number, the first one where several are equal."""
    if node.get("select_last_index", 0):
        raise UserError("select_last_index is not supported", hint="export it without")
    axis = int(node.get("axis", 0))
    edge, rest = _last_axis(work, node, axis)
    index = work.add(node.name, ArgMax(), edge)
    work.give(node, Value(index, _reduced(rest, axis, bool(node.get("keepdims", 1))), codes=True))


def top_k(work: OnnxImport, node: OxNode) -> None:
    """TopK of one element: the largest number and its place."""
    count = work.whole(node, 1) if work.has(node, 1) else int(node.get("k", 0))
    if count != 1 or not node.get("largest", 1):
        raise UserError("only the largest element is supported (k 1)",
                        hint="end the network before it")  # fmt: skip
    axis = int(node.get("axis", -1))
    value = work.value(node)
    edge, rest = _last_axis(work, node, axis)
    where = _reduced(rest, axis, True)
    values, indices = (*node.outputs, "")[:2]
    if values and (work.readers[values] or values in work.model.outputs):
        pixels = edge.size // edge.channels
        rows = work.add(f"{node.name}_rows", Reshape((pixels, edge.channels, 1)), edge)
        pool = MaxPool((1, edge.channels), (1, edge.channels), "valid")
        most = work.add(f"{node.name}_values", pool, rows)
        work.put(values, replace(value, edge=most, where=where, moved=True))
    if indices and (work.readers[indices] or indices in work.model.outputs):
        place = work.add(node.name, ArgMax(), edge)
        work.put(indices, Value(place, where, codes=True))


def _last_axis(work: OnnxImport, node: OxNode, axis: int) -> tuple[Tensor, tuple[int, ...]]:
    """The input's edge with an axis of the file as its channels; the lengths of the others."""
    value = work.value(node)
    if not all(step.increasing and (step.operand is None or step.operand.size == 1)
               for step in value.steps) or value.scale.size > 1:  # fmt: skip
        raise UserError("behind arithmetic that differs between channels, or falls, it is not "
                        "supported", hint="put a quantizer before it")  # fmt: skip
    if any(step.kind in ("max", "min", "curve") for step in value.steps):
        raise UserError("behind a bound or a curve it is not supported: numbers that differ may "
                        "become equal", hint="put a quantizer before it")  # fmt: skip
    if not -value.where.ndim <= axis < value.where.ndim:
        raise UserError(f"axis {axis} is not one of {list(value.where.shape)}")
    order = np.moveaxis(value.where, axis, -1)
    rest = order.shape[:-1]
    while order.ndim > 1 and (order.ndim > 3 or order.shape[0] == 1):
        order = order.reshape(-1, *order.shape[2:]) if order.ndim > 2 else order[0]
    return reordered(work, node.name, value, order), rest


def _reduced(rest: tuple[int, ...], axis: int, keeps: bool) -> Array:
    """Places of one number for each of the other axes."""
    where = canonical((*rest, 1))[..., 0]
    return np.expand_dims(where, axis) if keeps else where
