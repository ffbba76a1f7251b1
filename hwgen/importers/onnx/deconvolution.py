"""ConvTranspose: one convolution with a set of outputs for each phase of the strides.

All phases (see ``phases``) together are a convolution of the input with ``stride`` times the
outputs in each direction, whose channels then are put beside each other in space.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir.ops import Conv2D
from .. import moves
from ..phases import Phases, filters
from .file import OxNode
from .fusion import TRANSPOSED
from .linear import numbers_of, summed, weights
from .work import Codes, Const, OnnxImport, Value, canonical, image

_NOT_QOPERATOR = "QOperator leaves it in float32: quantize as QDQ, with scales of powers of two"


def conv_transpose(work: OnnxImport, node: OxNode) -> None:
    """ConvTranspose of images, grouped or not, without dilation."""
    value = image(work, node.name, work.settled(node.name, work.value(node)))
    codes = weights(work, node, 1, _NOT_QOPERATOR)
    kernel, spatial = codes.codes, value.where.ndim - 2
    if kernel.ndim != value.where.ndim or 0 in kernel.shape:
        raise UserError(f"weights have shape {list(kernel.shape)}, {value.where.ndim} axes are "
                        "needed")  # fmt: skip
    groups = int(node.get("group", 1))
    channels = value.edge.channels
    if kernel.shape[0] != channels or channels % groups:
        raise UserError(f"weights for {kernel.shape[0]} channels in {groups} groups, the input "
                        f"has {channels}")  # fmt: skip
    axes, size = _axes(node, value, kernel.shape[2:], spatial)
    # As of a convolution: outputs first. Each group's outputs follow each other.
    outputs = kernel.shape[1]
    first = (_outputs_first(a, kernel.shape, groups) for a in (codes.scale, codes.zero))
    swapped = Codes(_outputs_first(kernel, kernel.shape, groups), *first, type=codes.type)
    numbers, scale, qtype = numbers_of(swapped, axis=0)
    numbers = numbers if spatial == 2 else numbers[..., np.newaxis]
    # The file's output of each output of the convolution: phases stand before a group's outputs.
    strides = axes[0].taps.shape[0], axes[1].taps.shape[0]
    spread = np.indices((groups, *strides, outputs))
    spread = (spread[0] * outputs + spread[3]).reshape(-1)
    kernel, pads = _weights(numbers, groups, axes), (axes[0].pads, axes[1].pads)
    x, pads = moves.bordered(work.add, f"{node.name}_border", value.edge, pads, kernel.shape[:2])
    if scale.size > 1:
        scale = scale[spread]
        qtype = replace(qtype, scale=tuple(float(s) for s in scale))
    op = Conv2D(kernel, qtype, (1, 1), pads, groups=groups)
    bias = None
    if work.has(node, 2):
        given = work.const(node, 2)
        bias = Const(given.array.reshape(-1)[spread], _spread(given.quant, spread))
    result = summed(
        work, node, op, replace(value, edge=x), codes, scale, bias,
        lambda edge: _where(edge.shape, groups, outputs, axes, size, spatial),
    )  # fmt: skip
    work.give(node, replace(result, apart=result.apart or TRANSPOSED))


def _outputs_first(array: Array, shape: tuple[int, ...], groups: int) -> Array:
    """Weights (inputs, outputs of a group, ...) as (all outputs, inputs of a group, ...)."""
    if array.size == 1:
        return array
    full = np.broadcast_to(array, shape)
    split = full.reshape(groups, shape[0] // groups, *shape[1:]).swapaxes(1, 2)
    return split.reshape(groups * shape[1], shape[0] // groups, *shape[2:])


def _axes(
    node: OxNode, value: Value, kernel: tuple[int, ...], spatial: int
) -> tuple[tuple[Phases, Phases], tuple[int, int]]:
    """The phases of both axes of the result, and its rows and columns."""
    strides = node.ints("strides", [1] * spatial)
    extra = node.ints("output_padding", [0] * spatial)
    if any(d != 1 for d in node.ints("dilations", [1] * spatial)):
        raise UserError("dilation is not supported")
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.get("output_shape"):
        raise UserError("auto_pad and output_shape are not supported", hint="export with pads")
    pads = node.ints("pads", [0] * (2 * spatial))
    if len(strides) != spatial or len(extra) != spatial or len(pads) != 2 * spatial or (
        min(strides) < 1 or min(*extra, *pads) < 0
    ):  # fmt: skip
        raise UserError(f"strides {strides}, pads {pads} or output_padding {extra} do not fit")
    axes, lengths = [], []
    for n in range(spatial):
        size = value.where.shape[2 + n]
        length = (size - 1) * strides[n] + kernel[n] - pads[n] - pads[spatial + n] + extra[n]
        if length < 1:
            raise UserError(f"pads {pads} leave no rows or columns of the result")
        axes.append(Phases.of(size, length, kernel[n], strides[n], pads[n]))
        lengths.append(length)
    if spatial == 1:
        axes, lengths = [*axes, Phases.of(1, 1, 1, 1, 0)], [*lengths, 1]
    return (axes[0], axes[1]), (lengths[0], lengths[1])


def _weights(numbers: Array, groups: int, axes: tuple[Phases, Phases]) -> Array:
    """Weights (rows, columns, inputs of a group, outputs) of the convolution."""
    picked = filters(np.moveaxis(numbers, 1, -1), axes[0].taps, axes[1].taps)
    split = picked.reshape(groups, -1, *picked.shape[1:])
    # (groups, outputs, phases of rows, of columns, rows, columns, inputs)
    ordered = split.transpose(4, 5, 6, 0, 2, 3, 1)
    return ordered.reshape(*ordered.shape[:3], -1)


def _spread(quant: Codes | None, outputs: Array) -> Codes | None:
    """A bias' integers for each output of the convolution."""
    if quant is None:
        return None
    scale, zero = (np.reshape(a, -1) for a in (quant.scale, quant.zero))
    return Codes(
        quant.codes.reshape(-1)[outputs], scale[outputs] if scale.size > 1 else scale,
        zero[outputs] if zero.size > 1 else zero, quant.type,
    )  # fmt: skip


def _where(
    shape: tuple[int, ...],
    groups: int,
    outputs: int,
    axes: tuple[Phases, Phases],
    size: tuple[int, int],
    spatial: int,
) -> Array:
    """Places of the file's (1, outputs, rows, columns) in the edge of the convolution."""
    (rows, down), (columns, across) = ((axis.count, axis.taps.shape[0]) for axis in axes)
    split = canonical(shape).reshape(*shape[:2], groups, down, across, outputs)
    # (groups, outputs, rows, phases of rows, columns, phases of columns)
    moved = split[:rows, :columns].transpose(2, 5, 0, 3, 1, 4)
    whole = moved.reshape(1, groups * outputs, rows * down, columns * across)
    where = whole[:, :, : size[0], : size[1]]
    return where if spatial == 2 else where[..., 0]
