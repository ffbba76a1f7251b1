"""Operators that move elements without arithmetic."""

from __future__ import annotations

from math import prod

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Reshape, Slice
from .. import moves
from ..permutation import moved
from .file import TfOperator, TfTensor, enumerated, options
from .work import Moved, TfliteImport, axis_of, frame_shape, quantized, same_meaning, shape_for


def reshape(work: TfliteImport, op: TfOperator) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the file states the resulting shape."""
    out = work.output(op)
    work.keep_meaning(op)
    source, shape = op.inputs[0], shape_for(op, out)

    def make() -> Tensor:
        return moves.viewed(work.add, op.name, work.edge(op, 0), shape)

    if source in work.moved:
        before = work.moved[source]
        if prod(shape) != before.x.size:
            raise UserError(f"shape {shape} has not the {before.x.size} elements of the input")
        work.moved[out.index] = Moved(op.name, before.x, before.order, make)
        return
    work.give(op, make())


def transpose(work: TfliteImport, op: TfOperator) -> None:
    """TRANSPOSE: a shape where axes of more than one element keep their order; else elements
    move, but where a fully connected layer takes them in their old order."""
    x, order = work.edge(op, 0), work.integers(op, 1)
    out = work.output(op)
    shape, wanted = work.model.tensors[op.inputs[0]].shape, frame_shape(out)
    axes = order.reshape(-1).tolist()
    if sorted(axes) != list(range(len(shape))):
        raise UserError(f"axes {axes} are not those of {list(shape)}")
    work.keep_meaning(op)
    kept = [a for a in axes if shape[a] > 1]
    if kept == sorted(kept):
        work.give(op, work.add(op.name, Reshape(wanted), x))
        return
    # The batch is one: without it the axes of a frame are left.
    frame = [a - 1 for a in axes if a > 0]
    places = np.arange(x.size).reshape(x.shape).transpose(frame)

    def make() -> Tensor:
        return work.add(op.name, Reshape(wanted), moved(work.add, f"{op.name}_moved", x, places))

    work.moved[out.index] = Moved(op.name, x, places.reshape(-1), make)


def concatenation(work: TfliteImport, op: TfOperator) -> None:
    """CONCATENATION along any axis of one type, scale and zero point."""
    chosen = options(op, "ConcatenationOptions", "Axis", "FusedActivationFunction")
    if enumerated("ActivationFunctionType", chosen.FusedActivationFunction) != "NONE":
        raise UserError("a fused activation is not supported here")
    parts = _parts(work, op)
    work.give(op, moves.joined(work.add, op.name, parts, _frame_axis(work.output(op), chosen.Axis)))


def pack(work: TfliteImport, op: TfOperator) -> None:
    """PACK: tensors along a new axis."""
    chosen = options(op, "PackOptions", "Axis")
    out = work.output(op)
    axis = _frame_axis(out, chosen.Axis)
    shape = frame_shape(out)
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [
        moves.viewed(work.add, f"{op.name}_one{n}", x, one) for n, x in enumerate(_parts(work, op))
    ]
    work.give(op, moves.joined(work.add, op.name, parts, axis))


def _parts(work: TfliteImport, op: TfOperator) -> list[Tensor]:
    """All inputs, constant ones too. Raises UserError where one means other numbers."""
    out, tensors = work.output(op), [work.model.tensors[index] for index in op.inputs]
    if not all(same_meaning(t, out) for t in tensors):
        raise UserError("inputs of another scale than the output's are not supported")
    known = [n for n, t in enumerate(tensors) if t.data is None]
    if not known:
        raise UserError("all inputs are constants", hint="fold them before quantization")
    edges = {n: work.edge(op, n) for n in known}
    for n, t in enumerate(tensors):
        if t.data is not None:
            codes = t.data.astype(np.int64).reshape(frame_shape(t))
            made = moves.filled(
                work.add, f"{op.name}_constant{n}", edges[known[0]], codes, quantized(t)
            )
            edges[n] = made
    return [edges[n] for n in range(len(tensors))]


def _frame_axis(tensor: TfTensor, value: int) -> int:
    """An axis of the file as one of the frame. Raises UserError for the batch."""
    axis = axis_of(value, tensor)
    if axis == 0 and len(tensor.shape) > 1:
        raise UserError(f"axis {value} of {list(tensor.shape)} is the batch")
    return max(0, axis - 1)


def split(work: TfliteImport, op: TfOperator) -> None:
    """SPLIT into equal parts."""
    count = options(op, "SplitOptions", "NumSplits").NumSplits
    tensor = work.model.tensors[op.inputs[1]] if len(op.inputs) > 1 else None
    if tensor is None:
        raise UserError("has one input, two are needed")
    axis = _frame_axis(tensor, _one(work, op, 0))
    length = frame_shape(tensor)[axis]
    if count < 1 or length % count:
        raise UserError(f"{length} elements can not be split into {count} equal parts")
    _split(work, op, 1, axis, [length // count] * count)


def split_of_sizes(work: TfliteImport, op: TfOperator) -> None:
    """SPLIT_V: parts of given sizes, of which one may be -1: the rest."""
    tensor = work.model.tensors[op.inputs[0]]
    axis = _frame_axis(tensor, _one(work, op, 2))
    length, sizes = frame_shape(tensor)[axis], work.integers(op, 1).reshape(-1).tolist()
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = length - sum(sizes) - 1
    if min(sizes) < 1 or sum(sizes) != length:
        raise UserError(f"{length} elements can not be split into {sizes}")
    _split(work, op, 0, axis, sizes)


def unpack(work: TfliteImport, op: TfOperator) -> None:
    """UNPACK: the parts along an axis, which vanishes."""
    tensor = work.model.tensors[op.inputs[0]]
    axis = _frame_axis(tensor, options(op, "UnpackOptions", "Axis").Axis)
    _split(work, op, 0, axis, [1] * frame_shape(tensor)[axis])


def _one(work: TfliteImport, op: TfOperator, position: int) -> int:
    values = work.integers(op, position)
    if values.size != 1:
        raise UserError(f"{values.size} axes are given, one is needed")
    return int(values.reshape(-1)[0])


def _split(work: TfliteImport, op: TfOperator, position: int, axis: int, sizes: list[int]) -> None:
    """Parts along an axis, one an output. What nothing reads is not made."""
    x = work.edge(op, position)
    work.keep_meaning(op, position)
    start = 0
    for number, (size, out) in enumerate(zip(sizes, work.outputs(op, len(sizes)), strict=True)):
        wanted, name = frame_shape(out), f"{op.name}_{number}"
        whole = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        last = name if wanted == whole else f"{name}_part"
        part = moves.taken(work.add, last, x, axis, start, size)
        work.give_tensor(out, moves.viewed(work.add, name, part, wanted))
        start += size


def plain_slice(work: TfliteImport, op: TfOperator) -> None:
    """SLICE: from a begin on, of a size; -1 is all that is left."""
    x, shape = work.edge(op, 0), work.model.tensors[op.inputs[0]].shape
    begins, sizes = (work.integers(op, n).reshape(-1).tolist() for n in (1, 2))
    if not len(begins) == len(sizes) == len(shape):
        raise UserError(f"slice from {begins} of {sizes} does not fit {list(shape)}")
    sizes = [n - a if size == -1 else size for n, a, size in zip(shape, begins, sizes, strict=True)]
    if any(not (a >= 0 and size > 0 and a + size <= n)
           for n, a, size in zip(shape, begins, sizes, strict=True)):  # fmt: skip
        raise UserError(f"slice from {begins} of {sizes} does not fit {list(shape)}")
    work.keep_meaning(op)
    if len(shape) > 1:
        begins, sizes = begins[1:], sizes[1:]
    work.give(op, work.add(op.name, Slice(tuple(begins), tuple(sizes), (1,) * len(sizes)), x))


def strided_slice(work: TfliteImport, op: TfOperator) -> None:
    """STRIDED_SLICE with constant bounds and positive strides."""
    chosen = options(
        op, "StridedSliceOptions",
        "BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset",
    )  # fmt: skip
    if chosen.EllipsisMask or chosen.NewAxisMask:
        raise UserError("an ellipsis or a new axis in a slice is not supported")
    if chosen.Offset:
        raise UserError("a slice whose ends count from its begins is not supported")
    x = work.edge(op, 0)
    shape = work.model.tensors[op.inputs[0]].shape
    begins, ends, strides = (work.integers(op, n).reshape(-1).tolist() for n in (1, 2, 3))
    if not len(begins) == len(ends) == len(strides) == len(shape):
        raise UserError(f"slice {begins}:{ends}:{strides} does not fit {list(shape)}")
    start, size, step = [], [], []
    for axis, length in enumerate(shape):
        shrinks = chosen.ShrinkAxisMask >> axis & 1
        picked = range(length)[_slice_of(begins, ends, strides, chosen, axis, bool(shrinks))]
        if not picked or strides[axis] < 1:
            raise UserError(f"slice {begins}:{ends}:{strides} of {list(shape)} is not supported")
        start.append(picked.start)
        size.append(len(picked))
        step.append(strides[axis])
    work.keep_meaning(op)
    if len(shape) > 1:
        start, size, step = start[1:], size[1:], step[1:]
    wanted = frame_shape(work.output(op))
    cut = Slice(tuple(start), tuple(size), tuple(step))
    if wanted == tuple(size):
        work.give(op, work.add(op.name, cut, x))
        return
    part = work.add(f"{op.name}_slice", cut, x)
    work.give(op, work.add(op.name, Reshape(wanted), part))


def _slice_of(begins, ends, strides, chosen, axis: int, shrinks: bool) -> slice:
    if shrinks:
        # All runtimes heed the mask here too.
        begin = 0 if chosen.BeginMask >> axis & 1 else begins[axis]
        return slice(begin, None if begin == -1 else begin + 1)
    begin = None if chosen.BeginMask >> axis & 1 else begins[axis]
    end = None if chosen.EndMask >> axis & 1 else ends[axis]
    return slice(begin, end, strides[axis] or None)
