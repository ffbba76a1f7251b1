"""Operators that move elements without arithmetic."""

from __future__ import annotations

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Concat, Reshape, Slice
from .file import TfOperator, enumerated, options
from .work import TfliteImport, axis_of, frame_shape, same_meaning


def reshape(work: TfliteImport, op: TfOperator) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the file states the resulting shape."""
    x, out = work.edge(op, 0), work.output(op)
    work.keep_meaning(op)
    shape = frame_shape(out)
    if shape == x.shape:
        work.edges[out.index] = x
        return
    work.give(op, work.add(op.name, Reshape(shape), x))


def transpose(work: TfliteImport, op: TfOperator) -> None:
    """TRANSPOSE where no element moves: axes of more than one element keep their order."""
    x, order = work.edge(op, 0), work.integers(op, 1)
    shape = work.model.tensors[op.inputs[0]].shape
    axes = order.reshape(-1).tolist()
    if sorted(axes) != list(range(len(shape))):
        raise UserError(f"axes {axes} are not those of {list(shape)}")
    kept = [a for a in axes if shape[a] > 1]
    if kept != sorted(kept):
        raise UserError(
            f"the axes {axes} of {list(shape)} move elements, which is not supported",
            hint="keep the file in channels-last order",
        )
    work.keep_meaning(op)
    work.give(op, work.add(op.name, Reshape(frame_shape(work.output(op))), x))


def concatenation(work: TfliteImport, op: TfOperator) -> None:
    """CONCATENATION of channels of one type, scale and zero point."""
    chosen = options(op, "ConcatenationOptions", "Axis", "FusedActivationFunction")
    out = work.output(op)
    rank = len(out.shape)
    if axis_of(chosen.Axis, out) != rank - 1:
        raise UserError(f"axis {chosen.Axis} of {list(out.shape)}: only channels are concatenated")
    if enumerated("ActivationFunctionType", chosen.FusedActivationFunction) != "NONE":
        raise UserError("a fused activation is not supported here")
    parts: list[Tensor] = []
    for position, index in enumerate(op.inputs):
        x, source = work.edge(op, position), work.model.tensors[index]
        if not same_meaning(source, out):
            raise UserError("inputs of another scale than the output's are not supported")
        parts.append(x)
    work.give(op, work.add(op.name, Concat(), *parts) if len(parts) > 1 else parts[0])


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
