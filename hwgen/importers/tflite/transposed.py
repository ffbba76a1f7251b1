"""TRANSPOSE_CONV: a convolution for each row of results between two rows of the input.

The columns between two of the input are channels of one convolution (see ``phases``); behind it
they are columns, as the elements lie channels last.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import UserError
from ...ir import Tensor, resolve_padding
from ...ir.ops import Conv2D, Slice
from .. import moves
from ..phases import Phases, filters
from . import meaning
from .file import TfOperator, enumerated, options
from .linear import bias_of, check_kinds, filters_of
from .meaning import Runtime
from .work import TfliteImport, frame_shape, padding

_MAX_STRIDE = 16
"""Largest stride: each row of results between two of the input is a layer."""


def convolution(work: TfliteImport, op: TfOperator) -> None:
    """TRANSPOSE_CONV, with or without a bias."""
    chosen = options(
        op, "TransposeConvOptions", "Padding", "StrideH", "StrideW", "FusedActivationFunction"
    )
    weights, x, out = work.constant(op, 1), work.edge(op, 2), work.output(op)
    check_kinds(work, op, weights, 2)
    codes, qtype = filters_of(weights, axis=0)  # (outputs, rows, columns, inputs)
    shape, stride = frame_shape(out), (chosen.StrideH, chosen.StrideW)
    outputs, *kernel, inputs = codes.shape
    if len(x.shape) != 3 or len(shape) != 3 or x.channels != inputs or shape[2] != outputs:
        raise UserError(f"weights {list(codes.shape)} do not bring {x.shape} to {shape}")
    if min(stride) < 1 or max(stride) > _MAX_STRIDE:
        raise UserError(f"stride {stride} is not from 1 to {_MAX_STRIDE}")
    # As many elements are left out as a convolution from the result to the input would pad.
    way, size = padding(chosen.Padding), (shape[0], shape[1])
    before = [pads[0] for pads in resolve_padding(way, (kernel[0], kernel[1]), stride, size)]
    rows, columns = (
        Phases.of(*numbers)
        for numbers in zip(x.shape[:2], size, kernel, stride, before, strict=True)
    )
    bias = bias_of(work, op, outputs, 3)
    # XNNPACK takes no border that reaches beyond the full result; LiteRT's kernel has TFLM's rule.
    full = ((n - 1) * s + k for n, s, k in zip(x.shape[:2], stride, kernel, strict=True))
    beyond = any(n < wanted for n, wanted in zip(full, size, strict=True))
    left = way == "same" and beyond
    runtime = Runtime.REFERENCE if left else work.runtime
    by = meaning.convolution(runtime, x.type.scale, weights.scales, out.scale)  # type: ignore[arg-type]
    wide = stride[1]
    by = by.repeated(wide)
    if isinstance(qtype.scale, tuple):
        qtype = replace(qtype, scale=qtype.scale * wide)
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    parts = []
    picked = filters(codes, rows.taps, columns.taps)
    pads = (rows.pads, columns.pads)
    x, pads = moves.bordered(work.add, f"{op.name}_border", x, pads, picked.shape[3:5])
    for row in range(stride[0]):
        # (rows, columns, inputs, phases of columns times outputs)
        own = picked[:, row].transpose(2, 3, 4, 1, 0)
        conv = Conv2D(
            own.reshape(*own.shape[:3], -1), qtype, padding=pads,
            bias=None if bias is None else np.tile(bias, wide),
        )  # fmt: skip
        acc = work.add(f"{op.name}_{row}_mac", conv, x)
        parts.append(work.rescale(f"{op.name}_{row}", acc, by, out, activation))
    work.give(op, _image(work, op, parts, rows.count, columns.count, shape))


def _image(
    work: TfliteImport, op: TfOperator, parts: list[Tensor], rows: int, columns: int, shape
) -> Tensor:
    """The phases' results as rows and columns of one image, and of it what the file keeps."""
    parts = [
        moves.taken(work.add, f"{x.name}_rows", x, 0, 0, rows) if x.shape[0] > rows else x
        for x in parts
    ]
    parts = [
        moves.taken(work.add, f"{x.name}_columns", x, 1, 0, columns) if x.shape[1] > columns else x
        for x in parts
    ]
    flat = (rows, columns * parts[0].channels)
    views = [moves.viewed(work.add, f"{x.name}_flat", x, flat) for x in parts]
    whole = moves.joined(work.add, f"{op.name}_flat", views, 1)
    width = flat[1] // shape[2]
    full = (rows * len(parts), width, shape[2])
    name = op.name if full == shape else f"{op.name}_whole"
    image = moves.viewed(work.add, name, whole, full)
    if full == shape:
        return image
    return work.add(op.name, Slice((0, 0, 0), shape, (1, 1, 1)), image)
