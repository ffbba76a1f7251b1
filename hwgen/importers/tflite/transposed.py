"""TRANSPOSE_CONV: a convolution for each row of results between two rows of the input.

With a stride of s every s-th row of the result is an ordinary convolution of the input with every
s-th row of the kernel, turned round. The columns between two of the input are channels of one
convolution; behind it they are columns, as the elements lie channels last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Conv2D, Slice
from .. import moves
from . import meaning
from .file import TfOperator, enumerated, options
from .linear import bias_of, filters_of
from .meaning import Runtime
from .work import TfliteImport, frame_shape, padding

_MAX_STRIDE = 16
"""Largest stride: each row of results between two of the input is a layer."""


@dataclass(frozen=True)
class Phases:
    """An axis of the result: ``taps[r]`` are the places in the kernel, -1 where it has none, of
    the results r, r + stride, ...; ``pads`` the border of the input, ``count`` the results."""

    taps: np.ndarray
    pads: tuple[int, int]
    count: int

    @classmethod
    def of(cls, size: int, wanted: int, kernel: int, stride: int, before: int) -> Phases:
        """Result ``stride * q + r`` is the sum over j of the input at ``q + first - j`` times the
        kernel at ``stride * j + (r + before) % stride``, for a common ``first``."""
        count = -(-wanted // stride)
        shifts = [(r + before) // stride for r in range(stride)]
        first = max(shifts)
        reach = first - min(shifts) + -(-kernel // stride)
        reach = max(reach, first + 1)  # a border can be added, but nothing be taken away
        taps = np.full((stride, reach), -1)
        for r, shift in enumerate(shifts):
            for j in range(reach):
                place = stride * (j - (first - shift)) + (r + before) % stride
                if j >= first - shift and place < kernel:
                    # The window's first element has the largest j.
                    taps[r, reach - 1 - j] = place
        top = reach - 1 - first
        return cls(taps, (top, max(0, count + reach - 1 - top - size)), count)


def convolution(work: TfliteImport, op: TfOperator) -> None:
    """TRANSPOSE_CONV, with or without a bias."""
    chosen = options(
        op, "TransposeConvOptions", "Padding", "StrideH", "StrideW", "FusedActivationFunction"
    )
    weights, x, out = work.constant(op, 1), work.edge(op, 2), work.output(op)
    codes, qtype = filters_of(weights, axis=0)  # (outputs, rows, columns, inputs)
    shape, stride = frame_shape(out), (chosen.StrideH, chosen.StrideW)
    outputs, *kernel, inputs = codes.shape
    if len(x.shape) != 3 or len(shape) != 3 or x.channels != inputs or shape[2] != outputs:
        raise UserError(f"weights {list(codes.shape)} do not bring {x.shape} to {shape}")
    if min(stride) < 1 or max(stride) > _MAX_STRIDE:
        raise UserError(f"stride {stride} is not from 1 to {_MAX_STRIDE}")
    before = _before(padding(chosen.Padding), shape, tuple(kernel), stride)
    rows, columns = (
        Phases.of(*numbers) for numbers in zip(x.shape, shape, kernel, stride, before, strict=False)
    )
    bias = bias_of(work, op, outputs, 3)
    # XNNPACK takes no border that reaches beyond the full result; LiteRT's kernel has TFLM's rule.
    full = ((n - 1) * s + k for n, s, k in zip(x.shape, stride, kernel, strict=False))
    beyond = any(n < wanted for n, wanted in zip(full, shape, strict=False))
    left = padding(chosen.Padding) == "same" and beyond
    runtime = Runtime.REFERENCE if left else work.runtime
    by = meaning.convolution(runtime, x.type.scale, weights.scales, out.scale)  # type: ignore[arg-type]
    wide = stride[1]
    by = by.repeated(wide)
    if isinstance(qtype.scale, tuple):
        qtype = replace(qtype, scale=qtype.scale * wide)
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    parts = []
    for row, taps in enumerate(rows.taps):
        picked = _picked(codes, taps, columns.taps)
        conv = Conv2D(
            picked, qtype, padding=(rows.pads, columns.pads),
            bias=None if bias is None else np.tile(bias, wide),
        )  # fmt: skip
        acc = work.add(f"{op.name}_{row}_mac", conv, x)
        parts.append(work.rescale(f"{op.name}_{row}", acc, by, out, activation))
    work.give(op, _image(work, op, parts, rows.count, columns.count, shape))


def _before(padding: str, shape, kernel, stride) -> list[int]:
    """Rows and columns of the full result that the runtime leaves out first."""
    if padding == "valid":
        return [0, 0]
    # As many elements as a convolution from the result to the input would pad.
    return [
        max(0, (-(-n // s) - 1) * s + k - n) // 2
        for n, k, s in zip(shape, kernel, stride, strict=False)
    ]


def _picked(codes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Weights (rows, columns, inputs, phases of columns times outputs); 0 where there are none."""
    bordered = np.pad(codes, ((0, 0), (0, 1), (0, 1), (0, 0)))  # -1 is the border of zeros
    picked = bordered[:, rows][:, :, columns]  # (outputs, rows, phases, columns, inputs)
    picked = picked.transpose(1, 3, 4, 2, 0)
    return picked.reshape(*picked.shape[:3], -1)


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
