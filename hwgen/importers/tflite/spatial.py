"""Pools, means, padding and resizing."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import (
    ArgMax,
    AvgPool,
    MaxPool,
    MultiThreshold,
    Requantize,
    Reshape,
    SumPool,
    Upsample,
)
from ...numeric import Overflow, QType, Rounding, apply_scaling, to_integers
from .. import moves
from . import meaning
from .file import TfOperator, TfTensor, enumerated, options
from .meaning import Multipliers, Runtime
from .work import TfliteImport, axis_of, frame_shape, padding, quantized, same_meaning

_POOL = ("FilterHeight", "FilterWidth", "StrideH", "StrideW", "Padding", "FusedActivationFunction")


def average_pool(work: TfliteImport, op: TfOperator) -> None:
    """AVERAGE_POOL_2D: the mean of the real elements, ties away from zero."""
    _pool(work, op, lambda kernel, stride, padding, qtype: AvgPool(
        kernel, stride, padding, type=qtype
    ))  # fmt: skip


def max_pool(work: TfliteImport, op: TfOperator) -> None:
    """MAX_POOL_2D."""
    _pool(work, op, lambda kernel, stride, padding, qtype: MaxPool(kernel, stride, padding))


def _pool(work: TfliteImport, op: TfOperator, make) -> None:
    chosen = options(op, "Pool2DOptions", *_POOL)
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    if not same_meaning(source, out):
        raise UserError("input and output of a pool must have one scale and zero point")
    kernel, stride = (chosen.FilterHeight, chosen.FilterWidth), (chosen.StrideH, chosen.StrideW)
    if min(*kernel, *stride) < 1:
        raise UserError(f"kernel {kernel} and stride {stride} must be positive")
    pool = make(kernel, stride, padding(chosen.Padding), quantized(out))
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    clip = meaning.activation_bounds(activation, out.scale, out.zero_point, x.type.min, x.type.max)
    if clip == (x.type.min, x.type.max):
        work.give(op, work.add(op.name, pool, x))
        return
    pooled = work.add(f"{op.name}_pool", pool, x)
    work.give(op, work.add(op.name, Requantize.identity(pooled, clip), pooled))


def mean(work: TfliteImport, op: TfOperator) -> None:
    """MEAN over rows and columns: a sum, multiplied by scales over count in one number."""
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    axes = work.integers(op, 1)
    if source.dtype != out.dtype:
        raise UserError(f"{source.dtype.lower()} in and {out.dtype.lower()} out")
    rank = len(source.shape)
    chosen = {axis_of(a, source) for a in axes.reshape(-1).tolist()}
    if len(x.shape) == 1 or chosen != set(range(1, rank - 1)):
        raise UserError(
            f"the mean over axes {sorted(chosen)} of {list(source.shape)} is not supported; rows "
            "and columns of an image are"
        )
    if len(x.shape) == 2:
        x = work.add(f"{op.name}_image", Reshape(x.hwc), x)
    shape = frame_shape(out)
    last = op.name if shape == (1, 1, x.channels) else f"{op.name}_mean"
    result = _xnnpack_mean(work, op, x, source, out, last) or _mean(work, op, x, source, out, last)
    if result.size == prod(shape):
        result = moves.viewed(work.add, op.name, result, shape)
    work.give(op, result)


def _mean(
    work: TfliteImport, op: TfOperator, x: Tensor, source: TfTensor, out: TfTensor, name: str
) -> Tensor:
    """The sum of what the elements are above their zero point, multiplied by one number."""
    window = x.hwc[:2]
    centered = QType(True, x.type.width + 1, 0, Rounding.FLOOR, Overflow.SATURATE)
    plain = work.add(f"{op.name}_centered", Requantize.scaled(centered, 1, -x.type.zero_point), x)
    total = work.add(f"{op.name}_sum", SumPool(window, window), plain)
    by = _mean_multiplier(work, source, out, window[0] * window[1])
    return work.rescale(name, total, by, out)


def _xnnpack_mean(
    work: TfliteImport, op: TfOperator, x: Tensor, source: TfTensor, out: TfTensor, name: str
) -> Tensor | None:
    """XNNPACK's mean where it is not the product that _mean gives.

    XNNPACK multiplies the sum of the stored integers by a float32 and adds a float32 that stands
    for both zero points; only then it rounds, ties to even. So ties hang on the zero points.
    """
    if meaning.of_width(work.runtime, source.dtype) is not Runtime.XNNPACK:
        return None
    window = x.hwc[:2]
    count, qtype = np.float32(window[0] * window[1]), quantized(out)
    scale = np.float32(source.scale) / np.float32(out.scale) * (np.float32(1) / count)
    bias = np.float32(out.zero_point) - np.float32(source.zero_point) * count * scale
    if not (np.isfinite(scale) and np.isfinite(bias)):
        raise UserError(f"from scale {source.scale:g} to {out.scale:g}: too far apart")

    def rule(sums: np.ndarray) -> np.ndarray:
        codes = np.rint(sums.astype(np.float32) * scale + bias)
        return to_integers(np.clip(codes, qtype.min, qtype.max))

    def product(sums: np.ndarray) -> np.ndarray:
        by = _mean_multiplier(work, source, out, int(count))
        codes = apply_scaling(sums - source.zero_point * int(count), by.mult, by.shift, by.scaling)
        return np.clip(codes + out.zero_point, qtype.min, qtype.max)

    ends = [int(count) * bound for bound in x.range]
    thresholds, values = steps_of(rule, *ends)
    # Both are monotone: equal on both sides of each step, and at the ends, is equal everywhere.
    beside = np.concatenate([ends, thresholds, thresholds - 1])
    if np.array_equal(rule(beside), product(beside)):
        return None
    if len(thresholds) == 0:
        raise UserError(f"every mean is {values[0]}: the output's scale is too large")
    total = work.add(f"{op.name}_sum", SumPool(window, window), x)
    return work.add(name, MultiThreshold(thresholds, values, qtype), total)


def extreme(work: TfliteImport, op: TfOperator) -> None:
    """REDUCE_MAX over rows and columns."""
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    work.keep_meaning(op)
    rank = len(source.shape)
    chosen = {axis_of(a, source) for a in work.integers(op, 1).reshape(-1).tolist()}
    if len(x.shape) == 1 or not chosen or not chosen <= set(range(1, rank - 1)):
        raise UserError(
            f"the largest over axes {sorted(chosen)} of {list(source.shape)} is not supported; "
            "over rows and columns of an image it is"
        )
    shape = frame_shape(out)
    image = moves.viewed(work.add, f"{op.name}_image", x, x.hwc)
    # Of (batch, columns, channels) the only row is a row of one.
    axes = [n + 4 - rank for n in chosen]
    rows, columns = (n if axis in axes else 1 for axis, n in enumerate(image.shape[:2], 1))
    kept = (image.shape[0] // rows, image.shape[1] // columns, x.channels)
    name = op.name if kept == shape else f"{op.name}_max"
    result = work.add(name, MaxPool((rows, columns), (rows, columns)), image)
    work.give(op, moves.viewed(work.add, op.name, result, shape))


def argmax(work: TfliteImport, op: TfOperator) -> None:
    """ARG_MAX over channels: the first of the largest."""
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    if out.dtype not in ("INT32", "INT64"):
        raise UserError(f"gives {out.dtype.lower()}, int32 and int64 are supported")
    axes = [axis_of(a, source) for a in work.integers(op, 1).reshape(-1).tolist()]
    if axes != [len(source.shape) - 1]:
        raise UserError(
            f"the largest along axes {axes} of {list(source.shape)} is not supported; along the "
            "channels it is"
        )
    shape = frame_shape(out)
    name = op.name if shape == (*x.shape[:-1], 1) else f"{op.name}_index"
    result = work.add(name, ArgMax(), x)
    work.give(op, moves.viewed(work.add, op.name, result, shape))


def top_k(work: TfliteImport, op: TfOperator) -> None:
    """TOPK_V2 of one element: the largest of the channels, and its place, the first of several."""
    values, places = work.outputs(op, 2)
    x, count = work.edge(op, 0), work.integers(op, 1).reshape(-1).tolist()
    if count != [1]:
        raise UserError(
            f"gives the {count[0]} largest elements, one is supported",
            hint="end the network at its input and choose outside, or take k 1 or an argmax",
        )
    if not same_meaning(work.model.tensors[op.inputs[0]], values):
        raise UserError("input and output must have one type, scale and zero point")
    wanted = {i for o in work.model.operators for i in o.inputs} | {*work.model.outputs}
    if values.index in wanted:
        rows = (x.size // x.channels, x.channels, 1)
        pixels = moves.viewed(work.add, f"{op.name}_rows", x, rows)
        window = (1, x.channels)
        most = work.add(f"{op.name}_largest", MaxPool(window, window), pixels)
        shape = frame_shape(values)
        work.give_tensor(values, moves.viewed(work.add, f"{op.name}_values", most, shape))
    if places.index in wanted:
        place, shape = work.add(f"{op.name}_place", ArgMax(), x), frame_shape(places)
        work.give_tensor(places, moves.viewed(work.add, op.name, place, shape))


def steps_of(
    rule: Callable[[np.ndarray], np.ndarray], low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """A monotone rule's thresholds within ``low..high``, and its values between them."""
    first, last = (int(rule(np.array([end]))[0]) for end in (low, high))
    wanted = np.arange(first + 1, last + 1)
    below, at = np.full(len(wanted), low), np.full(len(wanted), high)
    while np.any(at - below > 1):
        middle = (below + at) // 2
        reached = rule(middle) >= wanted
        at, below = np.where(reached, middle, at), np.where(reached, below, middle)
    return at, np.arange(first, last + 1)


def _mean_multiplier(
    work: TfliteImport, source: TfTensor, out: TfTensor, count: int
) -> Multipliers:
    """The scales' quotient as a fixed-point number, divided by the count, rounded down."""
    runtime = meaning.of_width(work.runtime, source.dtype)
    by = meaning.plain(runtime, source.scale / out.scale)
    if not by.scaling.fixed_point:
        real = np.float32(source.scale) / np.float32(out.scale) / np.float32(count)
        return Multipliers.of(by.scaling, [float(real)])
    mult, exponent = int(by.mult[0]), 31 - int(by.shift[0])
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return Multipliers(
        by.scaling, np.array([(mult << shift) // count]), np.array([31 - (exponent - shift)])
    )


def pad(work: TfliteImport, op: TfOperator) -> None:
    """PAD and PADV2: elements of the zero point, or of a constant, around every axis."""
    work.keep_meaning(op)
    source, x, amounts = work.model.tensors[op.inputs[0]], work.edge(op, 0), work.integers(op, 1)
    value = x.type.zero_point
    if len(op.inputs) > 2 and op.inputs[2] >= 0:
        constant = work.integers(op, 2)
        if not same_meaning(work.model.tensors[op.inputs[2]], source):
            raise UserError("the border must have the input's type, scale and zero point")
        value = int(constant.reshape(-1)[0])
    pads = [(int(a), int(b)) for a, b in amounts.reshape(-1, 2)]
    rank = len(source.shape)
    if len(pads) != rank or (rank > 1 and any(pads[0])):
        raise UserError(f"padding {[list(p) for p in pads]} is not supported; of a frame's axes is")
    if min(min(p) for p in pads) < 0:
        raise UserError(f"padding {[list(p) for p in pads]} is negative")
    pads = pads[1:] if rank > 1 else pads
    work.give(op, moves.padded(work.add, op.name, x, pads, value))


def resize_nearest(work: TfliteImport, op: TfOperator) -> None:
    """RESIZE_NEAREST_NEIGHBOR by whole factors, without aligned corners."""
    chosen = options(op, "ResizeNearestNeighborOptions", "AlignCorners", "HalfPixelCenters")
    work.keep_meaning(op)
    x, size = work.edge(op, 0), work.integers(op, 1)
    wanted = tuple(size.reshape(-1).tolist())
    if len(x.shape) != 3 or len(wanted) != 2:
        raise UserError(f"resizing {x.shape} to {wanted} is not supported")
    factor = (wanted[0] // x.shape[0], wanted[1] // x.shape[1])
    exact = (factor[0] * x.shape[0], factor[1] * x.shape[1]) == wanted
    if not exact or min(factor) < 1 or chosen.AlignCorners:
        raise UserError(
            f"resizing {x.shape[:2]} to {wanted} is not supported; whole factors are, without "
            "aligned corners"
        )
    for size, by in zip(x.shape, factor, strict=False):
        chooses = _neighbours(work.runtime, size, size * by, bool(chosen.HalfPixelCenters))
        if not np.array_equal(chooses, np.arange(size * by) // by):
            raise UserError(
                f"resizing {size} elements by {by}: {work.runtime.value} rounds some places to "
                "another neighbour",
                hint="resize by a smaller factor, or in several steps",
            )
    work.give(op, work.add(op.name, Upsample(factor), x))


def _neighbours(runtime: Runtime, size: int, wanted: int, half_pixels: bool) -> np.ndarray:
    """Which element each place takes: by a float32 quotient, in XNNPACK's place by a Q16 one."""
    places = np.arange(wanted)
    if runtime is Runtime.XNNPACK and not half_pixels:
        chosen = places * ((size << 16) // wanted + 1) >> 16
    else:
        step = np.float32(size) / np.float32(wanted)
        middle = np.float32(0.5 if half_pixels else 0.0)
        chosen = np.floor((places.astype(np.float32) + middle) * step).astype(np.int64)
    return np.minimum(chosen, size - 1)
