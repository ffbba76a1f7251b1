"""Pools, means, padding and resizing."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...ir.ops import AvgPool, MaxPool, Pad, Requantize, Reshape, SumPool, Upsample
from ...numeric import Overflow, QType, Rounding
from . import meaning
from .file import TfOperator, TfTensor, enumerated, options
from .meaning import Multipliers
from .work import Work, padding, quantized, same_meaning

_POOL = ("FilterHeight", "FilterWidth", "StrideH", "StrideW", "Padding", "FusedActivationFunction")


def average_pool(work: Work, op: TfOperator) -> None:
    """AVERAGE_POOL_2D: the mean of the real elements, ties away from zero."""
    _pool(work, op, lambda kernel, stride, padding, qtype: AvgPool(
        kernel, stride, padding, type=qtype
    ))  # fmt: skip


def max_pool(work: Work, op: TfOperator) -> None:
    """MAX_POOL_2D."""
    _pool(work, op, lambda kernel, stride, padding, qtype: MaxPool(kernel, stride, padding))


def _pool(work: Work, op: TfOperator, make) -> None:
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


def mean(work: Work, op: TfOperator) -> None:
    """MEAN over rows and columns: a sum, multiplied by scales over count in one number."""
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    axes = work.constant(op, 1).data
    assert axes is not None
    rank = len(source.shape)
    chosen = {int(a) % rank for a in axes.reshape(-1)}
    if len(x.shape) == 1 or chosen != set(range(1, rank - 1)):
        raise UserError(
            f"the mean over axes {sorted(chosen)} of {list(source.shape)} is not supported; rows "
            "and columns of an image are"
        )
    if len(x.shape) == 2:
        x = work.add(f"{op.name}_image", Reshape(x.hwc), x)
    rows, columns, channels = x.shape
    count = rows * columns
    centered = QType(True, 9, 0, Rounding.FLOOR, Overflow.SATURATE)
    plain = work.add(f"{op.name}_centered", Requantize.scaled(centered, 1, -x.type.zero_point), x)
    total = work.add(f"{op.name}_sum", SumPool((rows, columns), (rows, columns)), plain)
    by = _mean_multiplier(work, source, out, count)
    last = op.name if _keeps_axes(out) else f"{op.name}_mean"
    result = work.rescale(last, total, by, out)
    if not _keeps_axes(out):
        result = work.add(op.name, Reshape((channels,)), result)
    work.give(op, result)


def _keeps_axes(out: TfTensor) -> bool:
    return len(out.shape) == 4


def _mean_multiplier(work: Work, source: TfTensor, out: TfTensor, count: int) -> Multipliers:
    """The scales' quotient as a fixed-point number, divided by the count, rounded down."""
    by = meaning.plain(work.runtime, source.scale / out.scale)
    if not by.scaling.fixed_point:
        real = np.float32(source.scale) / np.float32(out.scale) / np.float32(count)
        return Multipliers.of(by.scaling, [float(real)])
    mult, exponent = int(by.mult[0]), 31 - int(by.shift[0])
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return Multipliers(
        by.scaling, np.array([(mult << shift) // count]), np.array([31 - (exponent - shift)])
    )


def pad(work: Work, op: TfOperator) -> None:
    """PAD and PADV2: rows and columns of the zero point, or of a constant."""
    x, amounts = work.edge(op, 0), work.constant(op, 1).data
    assert amounts is not None
    value = x.type.zero_point
    if len(op.inputs) > 2 and op.inputs[2] >= 0:
        constant = work.constant(op, 2).data
        assert constant is not None
        value = int(constant.reshape(-1)[0])
    pads = amounts.reshape(-1, 2).astype(int).tolist()
    if len(x.shape) != 3 or len(pads) != 4 or any(pads[0]) or any(pads[3]):
        raise UserError(f"padding {pads} is not supported; rows and columns of an image are")
    if min(min(p) for p in pads) < 0:
        raise UserError(f"padding {pads} is negative")
    rows, columns = (tuple(p) for p in pads[1:3])
    work.give(op, work.add(op.name, Pad((rows, columns), value), x))


def resize_nearest(work: Work, op: TfOperator) -> None:
    """RESIZE_NEAREST_NEIGHBOR by whole factors, without aligned corners."""
    chosen = options(op, "ResizeNearestNeighborOptions", "AlignCorners", "HalfPixelCenters")
    x, size = work.edge(op, 0), work.constant(op, 1).data
    assert size is not None
    wanted = tuple(int(n) for n in size.reshape(-1))
    if len(x.shape) != 3 or len(wanted) != 2:
        raise UserError(f"resizing {x.shape} to {wanted} is not supported")
    factor = (wanted[0] // x.shape[0], wanted[1] // x.shape[1])
    exact = (factor[0] * x.shape[0], factor[1] * x.shape[1]) == wanted
    # With whole factors half-pixel centers choose the same neighbours; aligned corners do not.
    if not exact or min(factor) < 1 or chosen.AlignCorners:
        raise UserError(
            f"resizing {x.shape[:2]} to {wanted} is not supported; whole factors are, without "
            "aligned corners"
        )
    work.give(op, work.add(op.name, Upsample(factor), x))
