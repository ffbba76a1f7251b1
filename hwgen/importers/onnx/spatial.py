"""Pools, averages, borders and resizing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import UserError
from ...ir import Op
from ...ir.ops import MaxPool, Pad, SumPool, Upsample
from .file import OxNode
from .fusion import BEHIND_PAD, OLD_POOL, REDUCED, is_old_pool, is_power_of_two
from .linear import padding
from .work import Group, OnnxImport, Value, image, shaped

_WITH_COORDINATES = 11
"""The version of the operators since which a Resize says which coordinates it takes; before, a
pixel is the one that its place divided by the factor falls on."""


def max_pool(work: OnnxImport, node: OxNode) -> None:
    """MaxPool; what is still to be done to the numbers must keep their order."""
    value = work.value(node)
    if not all(step.increasing for step in value.steps):
        raise UserError("behind arithmetic that falls it is not supported",
                        hint="put a quantizer before it")  # fmt: skip
    result = _windowed(work, node, value, MaxPool)
    if is_old_pool(node, work.model.opset) and not value.codes:
        result = replace(result, apart=result.apart or OLD_POOL)
    work.give(node, result)


def global_max_pool(work: OnnxImport, node: OxNode) -> None:
    """GlobalMaxPool."""
    value = image(work, node.name, work.value(node))
    if not all(step.increasing for step in value.steps):
        raise UserError("behind arithmetic that falls it is not supported",
                        hint="put a quantizer before it")  # fmt: skip
    size = value.edge.hwc[:2]
    edge = work.add(node.name, MaxPool(size, size), value.edge)
    apart = value.apart or ("a GlobalMaxPool stands behind it" if value.pending else "")
    where = shaped(edge, value.where.ndim)
    work.give(node, replace(value, edge=edge, where=where, apart=apart, moved=True))


def average_pool(work: OnnxImport, node: OxNode) -> None:
    """AveragePool: the exact sum, and then a division."""
    kernel = node.ints("kernel_shape")
    value = work.settled(node.name, work.value(node))
    work.give(node, averaged(work, node, value, kernel))


def global_average_pool(work: OnnxImport, node: OxNode) -> None:
    """GlobalAveragePool, and ReduceMean over rows and columns."""
    value = image(work, node.name, work.settled(node.name, work.value(node)))
    where = value.where
    axes = _reduced(work, node)
    if axes == [] and node.get("noop_with_empty_axes", 0):
        work.give(node, value)
        return
    axes = list(range(where.ndim)) if axes == [] else axes
    if axes is not None and {a % where.ndim for a in axes} != set(range(2, where.ndim)):
        raise UserError(f"a mean over axes {axes} is not supported, rows and columns are")
    result = averaged(work, node, value, list(value.edge.shape[:2]), whole=True)
    if axes is not None:
        # The sum in float32, exact or not, is then divided, and so rounded once more.
        group = Group(value.edge.type, is_power_of_two(value.scale))
        result = replace(result, apart=REDUCED, group=group)
    if axes is not None and not node.get("keepdims", 1):
        result = replace(result, where=result.where.reshape(1, -1), moved=True)
    work.give(node, result)


def _reduced(work: OnnxImport, node: OxNode) -> list[int] | None:
    """The axes of a ReduceMean, none where it has none; None of another operator."""
    if node.kind != "ReduceMean":
        return None
    if work.has(node, 1):
        return work.wholes(node, 1)
    return node.ints("axes", [])


def averaged(
    work: OnnxImport, node: OxNode, value: Value, kernel: list[int], whole: bool = False
) -> Value:
    """The sum of each window, its division pending."""
    summed = replace(value, edge=work.centered(f"{node.name}_centered", value), zero=0)
    if whole:
        size = (kernel[0], kernel[1])
        edge = work.add(
            f"{node.name}_sum", SumPool(size, size), image(work, node.name, summed).edge
        )
        where = shaped(edge, value.where.ndim)
        result = Value(edge, where, value.scale)
    else:
        result = _windowed(work, node, summed, SumPool)
        if any(map(any, padding(node, kernel, [1] * len(kernel), kernel, len(kernel)))) and not (
            node.get("count_include_pad", 0)
        ):
            raise UserError("an average that leaves out padding is not supported",
                            hint="set count_include_pad, or pad before")  # fmt: skip
    # A border of zeros becomes the window's own, as a convolution's does.
    apart = "" if value.apart == BEHIND_PAD and not whole else value.apart
    count = int(np.prod(kernel))
    exact = is_power_of_two(np.append(value.scale, np.float32(count)))
    return replace(result, sums=True, count=count, whole=whole, apart=apart, moved=False,
                   group=Group(value.edge.type, exact))  # fmt: skip


def _windowed(work: OnnxImport, node: OxNode, value: Value, op: Callable[..., Op]) -> Value:
    kernel = node.ints("kernel_shape")
    spatial = len(kernel)
    value = image(work, node.name, value)
    if spatial != value.where.ndim - 2 or min(kernel) < 1:
        raise UserError(f"kernel {kernel} does not fit {list(value.where.shape)}")
    strides = node.ints("strides", [1] * spatial)
    if len(strides) != spatial or min(strides) < 1:
        raise UserError(f"strides {strides} must be {spatial} positive numbers")
    if any(d != 1 for d in node.ints("dilations", [1] * spatial)):
        raise UserError("a pool with dilation is not supported")
    full = [*kernel, 1] if spatial == 1 else kernel
    steps = [*strides, 1] if spatial == 1 else strides
    pads = padding(node, full, steps, value.edge.shape[:2], spatial)
    if node.get("ceil_mode", 0):
        for axis in range(2):
            size = value.edge.shape[axis] + sum(pads[axis])
            if (size - full[axis]) % steps[axis]:
                raise UserError("ceil_mode where windows reach over the border is not supported")
    pool = op((full[0], full[1]), (steps[0], steps[1]), pads)
    edge = work.add(f"{node.name}_sum" if op is SumPool else node.name, pool, value.edge)
    return replace(value, edge=edge, where=shaped(edge, value.where.ndim), moved=True)


def pad(work: OnnxImport, node: OxNode) -> None:
    """Pad of rows and columns with zeros (or another constant)."""
    value = image(work, node.name, work.value(node))
    amounts = work.wholes(node, 1) if work.has(node, 1) else node.ints("pads")
    rank, mode = value.where.ndim, str(node.get("mode", "constant"))
    if mode != "constant":
        raise UserError(f"padding of mode {mode} is not supported", hint="pad with a number")
    axes = _axes(work.wholes(node, 3), rank) if work.has(node, 3) else list(range(rank))
    if len(amounts) != 2 * len(axes):
        raise UserError(f"padding {amounts} must be {2 * len(axes)} numbers")
    if value.steps or value.sums:
        raise UserError("its input is not quantized", hint="put a quantizer before it")
    if min(amounts, default=0) < 0:
        raise UserError(f"padding {amounts}: what is negative cuts elements off, which is not "
                        "supported", hint="cut them off with a Slice")  # fmt: skip
    begins, ends = [0] * rank, [0] * rank
    for number, axis in enumerate(axes):
        begins[axis], ends[axis] = amounts[number], amounts[number + len(axes)]
    if any(begins[:2]) or any(ends[:2]):
        raise UserError(f"padding {amounts}: only rows and columns can be padded")
    real = float(work.number(node, 2)) if work.has(node, 2) else float(node.get("value", 0.0))
    if value.codes:
        real = (real - value.zero) * float(value.scale[0])
    code = real / float(value.scale[0]) + value.zero
    if not np.isfinite(code) or code != int(code):
        raise UserError(f"padding with {real:g} is no integer of the input's type")
    pads = [(b, e) for b, e in zip(begins[2:], ends[2:], strict=True)]
    pads = [*pads, (0, 0)] if rank == 3 else pads
    edge = work.add(node.name, Pad((pads[0], pads[1]), int(code)), value.edge)
    before = value.apart or (BEHIND_PAD if real == 0 else "a Pad with numbers stands before it")
    work.give(node, replace(value, edge=edge, where=shaped(edge, value.where.ndim), apart=before))


def resize(work: OnnxImport, node: OxNode) -> None:
    """Resize and Upsample to whole multiples, nearest neighbour."""
    value = image(work, node.name, work.value(node))
    factors = _factors(work, node, value)
    mode = str(node.get("mode", "nearest"))
    if mode != "nearest":
        raise UserError(f"mode {mode} is not supported, nearest is",
                        hint="export it with the nearest neighbour")  # fmt: skip
    _check_repeats(work, node, factors)
    edge = work.add(node.name, Upsample(factors), value.edge)
    where = shaped(edge, value.where.ndim)
    stands = "stands behind it" if value.sums else "stands before it"
    before = value.apart or f"a {node.kind} {stands}"
    work.give(node, replace(value, edge=edge, where=where, apart=before))


def _check_repeats(work: OnnxImport, node: OxNode, factors: tuple[int, int]) -> None:
    """Raises UserError where the nearest neighbours are not each pixel as often as the others."""
    if node.kind == "Upsample" or work.model.opset < _WITH_COORDINATES:
        return
    corners = str(node.get("coordinate_transformation_mode", "half_pixel"))
    nearest = str(node.get("nearest_mode", "round_prefer_floor"))
    if corners in ("half_pixel", "pytorch_half_pixel"):
        repeats = nearest.startswith("round_prefer")
    else:
        halves = nearest == "round_prefer_floor" and max(factors) <= 2
        repeats = corners == "asymmetric" and (nearest == "floor" or halves)
    if not repeats:
        raise UserError(
            f"nearest neighbours by {corners} and {nearest} do not repeat all pixels alike, which "
            "is not supported",
            hint="export it as asymmetric with floor, or as half_pixel with round_prefer_floor",
        )


def _axes(axes: list[int], rank: int) -> list[int]:
    """Axes counted from the first one. Raises UserError where one is none of the input's, or is
    named twice."""
    found = [axis % rank for axis in axes if -rank <= axis < rank]
    if len(set(found)) != len(axes):
        raise UserError(f"axes {axes} are not axes of a tensor that has {rank}, each one once")
    return found


def _factors(work: OnnxImport, node: OxNode, value: Value) -> tuple[int, int]:
    shape = value.where.shape
    rank = len(shape)
    axes = _axes(node.ints("axes"), rank) if node.get("axes") is not None else list(range(rank))
    if node.kind == "Resize" and work.has(node, 3):
        sizes = work.wholes(node, 3)
        given = [float(s) / shape[axis] for s, axis in zip(sizes, axes, strict=False)]
    else:
        old = node.kind == "Upsample" or work.model.opset < _WITH_COORDINATES
        if old and not work.has(node, 1):
            scales = node.get("scales", [])
        else:
            scales = work.const(node, 1 if old else 2).array.reshape(-1).tolist()
        given = [float(s) for s in scales]
    if len(given) != len(axes) or any(not n.is_integer() or n < 1 for n in given):
        raise UserError(f"factors {given} are not whole numbers, one for each axis",
                        hint="enlarge rows and columns by whole numbers only")  # fmt: skip
    numbers = [1.0] * rank
    for axis, factor in zip(axes, given, strict=True):
        numbers[axis] = factor
    if numbers[:2] != [1, 1]:
        raise UserError(f"factors {numbers}: only rows and columns can be resized")
    return int(numbers[2]), int(numbers[3]) if rank == 4 else 1
