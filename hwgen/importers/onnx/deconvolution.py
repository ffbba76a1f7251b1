"""ConvTranspose: one convolution with a set of outputs for each phase of the strides.

Row ``stride * y + a`` of the output takes every stride-th row of the kernel, from rows around ``y``
of the input. All phases together are a convolution of the input with ``stride`` times the outputs
in each direction, whose channels then are put beside each other in space.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import UserError
from ...ir.ops import Conv2D, Pad
from .file import OxNode
from .fusion import TRANSPOSED
from .linear import numbers_of, summed, weights
from .work import Array, Codes, Const, OnnxImport, Value, canonical, image


@dataclass(frozen=True)
class _Axis:
    """One direction: lengths of the input, the kernel and the output, stride, rows cut before."""

    size: int
    kernel: int
    stride: int
    before: int
    length: int

    @property
    def shifts(self) -> list[tuple[int, int]]:
        """The first row of the kernel of each phase, and the input's row that meets it."""
        return [(s % self.stride, s // self.stride) for s in
                range(self.before, self.before + self.stride)]  # fmt: skip

    @property
    def reach(self) -> tuple[int, int]:
        """The first and the last row that any phase reads, counted from that of its output."""
        rows = [0]
        for first, meets in self.shifts:
            count = -(-(self.kernel - first) // self.stride)
            rows += [meets - count + 1, meets] if count > 0 else []
        return min(rows), max(rows)

    def place(self, phase: int, tap: int) -> int | None:
        """The kernel's row that a phase has at a tap of the convolution; None where there is
        none."""
        first, meets = self.shifts[phase]
        row = first + self.stride * (meets - self.reach[0] - tap)
        return row if 0 <= row < self.kernel else None

    @property
    def pads(self) -> tuple[int, int]:
        """Rows before and behind the input."""
        low, high = self.reach
        outputs = self.length // self.stride
        return -low, max(0, outputs - 1 + high - (self.size - 1))


def conv_transpose(work: OnnxImport, node: OxNode) -> None:
    """ConvTranspose of images, grouped or not, without dilation."""
    value = image(work, node.name, work.settled(node.name, work.value(node)))
    codes = weights(work, node, 1)
    kernel, spatial = codes.codes, value.where.ndim - 2
    if kernel.ndim != value.where.ndim or 0 in kernel.shape:
        raise UserError(f"weights have shape {list(kernel.shape)}, {value.where.ndim} axes are "
                        "needed")  # fmt: skip
    groups = int(node.get("group", 1))
    channels = value.edge.channels
    if kernel.shape[0] != channels or channels % groups:
        raise UserError(f"weights for {kernel.shape[0]} channels in {groups} groups, the input "
                        f"has {channels}")  # fmt: skip
    axes = _axes(node, value, kernel.shape[2:], spatial)
    # As of a convolution: outputs first. Each group's outputs follow each other.
    outputs = kernel.shape[1]
    first = (_outputs_first(a, kernel.shape, groups) for a in (codes.scale, codes.zero))
    swapped = Codes(_outputs_first(kernel, kernel.shape, groups), *first, type=codes.type)
    numbers, scale, qtype = numbers_of(swapped, axis=0)
    numbers = numbers if spatial == 2 else numbers[..., np.newaxis]
    index = _phases(groups, outputs, axes)
    filters = _filters(numbers, index, axes)
    x, pads = value.edge, (axes[0].pads, axes[1].pads)
    if any(max(pad) >= n for pad, n in zip(pads, filters.shape[:2], strict=True)):
        x = work.add(f"{node.name}_border", Pad(pads, x.type.zero_point), x)
        pads = ((0, 0), (0, 0))
    op = Conv2D(filters, qtype, (1, 1), pads, groups=groups)
    bias = None
    if work.has(node, 2):
        given = work.const(node, 2)
        spread = index[:, 0]
        bias = Const(given.array.reshape(-1)[spread], _spread(given.quant, spread))
    scale = scale[index[:, 0]] if scale.size > 1 else scale
    result = summed(
        work, node, op, replace(value, edge=x), codes, scale, bias,
        lambda edge: _where(edge.shape, groups, outputs, axes, spatial),
    )  # fmt: skip
    work.give(node, replace(result, apart=result.apart or TRANSPOSED))


def _outputs_first(array: Array, shape: tuple[int, ...], groups: int) -> Array:
    """Weights (inputs, outputs of a group, ...) as (all outputs, inputs of a group, ...)."""
    if array.size == 1:
        return array
    full = np.broadcast_to(array, shape)
    split = full.reshape(groups, shape[0] // groups, *shape[1:]).swapaxes(1, 2)
    return split.reshape(groups * shape[1], shape[0] // groups, *shape[2:])


def _axes(node: OxNode, value: Value, kernel: tuple[int, ...], spatial: int) -> tuple[_Axis, _Axis]:
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
    axes = []
    for n in range(spatial):
        size = value.where.shape[2 + n]
        length = (size - 1) * strides[n] + kernel[n] - pads[n] - pads[spatial + n] + extra[n]
        if length < 1 or length % strides[n]:
            raise UserError(
                f"an output of {length} rows or columns at a stride of {strides[n]} is not "
                "supported", hint="choose pads that make it a multiple",
            )  # fmt: skip
        axes.append(_Axis(size, kernel[n], strides[n], pads[n], length))
    return (axes[0], axes[1]) if spatial == 2 else (axes[0], _Axis(1, 1, 1, 0, 1))


def _phases(groups: int, outputs: int, axes: tuple[_Axis, _Axis]) -> Array:
    """The file's output and the phases of each output of the convolution."""
    shape = (groups, axes[0].stride, axes[1].stride, outputs)
    group, row, column, output = np.indices(shape).reshape(4, -1)
    return np.stack([group * outputs + output, row, column], axis=1)


def _filters(numbers: Array, index: Array, axes: tuple[_Axis, _Axis]) -> Array:
    """Weights (rows, columns, inputs of a group, outputs) of the convolution."""
    taps = [high - low + 1 for low, high in (axis.reach for axis in axes)]
    filters = np.zeros((*taps, numbers.shape[1], len(index)), np.int64)
    for n, (output, *phases) in enumerate(index.tolist()):
        for row in range(taps[0]):
            for column in range(taps[1]):
                places = [axis.place(phase, tap) for axis, phase, tap in
                          zip(axes, phases, (row, column), strict=True)]  # fmt: skip
                if None not in places:
                    filters[row, column, :, n] = numbers[output, :, places[0], places[1]]
    return filters


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
    shape: tuple[int, ...], groups: int, outputs: int, axes: tuple[_Axis, _Axis], spatial: int
) -> Array:
    """Places of the file's (1, outputs, rows, columns) in the edge of the convolution."""
    rows, columns = (axis.length // axis.stride for axis in axes)
    split = canonical(shape).reshape(*shape[:2], groups, axes[0].stride, axes[1].stride, outputs)
    # (groups, outputs, rows, phases of rows, columns, phases of columns)
    moved = split[:rows, :columns].transpose(2, 5, 0, 3, 1, 4)
    where = moved.reshape(1, groups * outputs, axes[0].length, axes[1].length)
    return where if spatial == 2 else where[..., 0]
