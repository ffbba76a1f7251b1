"""Sums, differences and products of two tensors, or of a tensor and constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import UserError
from ...ir import Op, Tensor
from ...ir.ops import Add, Mul, Requantize, Rescale
from ...numeric import Overflow, QType, Rounding
from .. import moves
from ..moves import Spread
from . import meaning
from .file import TfOperator, TfTensor, enumerated, options
from .meaning import ADD_SHIFT, Multipliers, Runtime
from .work import TfliteImport, quantized, shape_for

WIDE = QType(True, 32, 0, Rounding.HALF_UP, Overflow.SATURATE)
"""The type of what is still to be scaled."""


def addition(work: TfliteImport, op: TfOperator) -> None:
    """ADD."""
    _sum(work, op, "AddOptions", 1)


def subtraction(work: TfliteImport, op: TfOperator) -> None:
    """SUB."""
    _sum(work, op, "SubOptions", -1)


def _sum(work: TfliteImport, op: TfOperator, table: str, sign: int) -> None:
    """Both operands on a common fine scale, their exact sum, then the output's scale."""
    chosen = options(op, table, "FusedActivationFunction", "PotScaleInt16")
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    out, tensors = work.output(op), _operands(work, op)
    a, b = (t.scale for t in tensors)
    if out.dtype == "INT16" and chosen.PotScaleInt16:
        raise UserError(
            "its int16 sums have scales of powers of two",
            hint="convert the model again with a TensorFlow of version 2.4 or later",
        )
    runtime = meaning.of_width(work.runtime, out.dtype)
    if runtime is Runtime.XNNPACK:
        rule = meaning.Addition.of(a, b, out.scale)
        first, second = rule.multipliers
        steps = [_centered(tensors[0], first), _centered(tensors[1], sign * second)]
        total = _joined(work, op, tensors, steps)
        _give(
            work,
            op,
            total,
            lambda name: work.add(name, _shifted(rule.shift, out, activation), total),
        )
        return
    twice = 2.0 * max(a, b)
    left = meaning.ADD_SHIFT_OF_16_BITS if out.dtype == "INT16" else ADD_SHIFT
    steps = [
        _scaled(runtime, operand, left, real / twice, by)
        for operand, real, by in zip(tensors, (a, b), (1, sign), strict=True)
    ]
    total = _joined(work, op, tensors, steps)
    by = Multipliers.of(meaning.plain(runtime, 1.0).scaling,
                        [twice / ((1 << left) * out.scale)])  # fmt: skip
    _give(work, op, total, lambda name: work.rescale(name, total, by, out, activation))


def _give(work: TfliteImport, op: TfOperator, total: Tensor, last: Callable[[str], Tensor]) -> None:
    """The last node's edge as the output, seen as the output is where that is another view."""
    shape = shape_for(op, work.output(op))
    name = op.name if total.shape == shape else f"{op.name}_flat"
    work.give(op, moves.viewed(work.add, op.name, last(name), shape))


Steps = dict[str, Op]
"""What becomes of an operand: ops, each with what its node's name ends in."""


def _centered(operand: TfTensor, mult: int) -> Steps:
    """An operand less its zero point, times an integer."""
    return {"": Requantize.scaled(WIDE, mult, -operand.zero_point * mult)}


def _scaled(runtime: Runtime, operand: TfTensor, left: int, real: float, sign: int) -> Steps:
    """An operand less its zero point, moved to the left and multiplied by a number below one."""
    by = meaning.plain(runtime, real)
    steps: Steps = {
        "_wide": _centered(operand, 1 << left)[""],
        "": Rescale(by.scaling, by.mult, by.shift, WIDE),
    }
    return steps if sign > 0 else steps | {"_negative": Requantize.scaled(WIDE, -1)}


def _joined(
    work: TfliteImport, op: TfOperator, operands: list[TfTensor], steps: list[Steps]
) -> Tensor:
    """The sum of both operands behind their steps; a constant one is a bias of the other."""
    edges: list[Tensor] = []
    shape = shape_for(op, work.output(op))
    constants = [t for t in operands if t.data is not None]
    spread = Spread.of(_codes(constants[0]), shape) if constants else Spread(shape, np.zeros(1))
    bias = np.zeros(1, np.int64)
    for position, (operand, side) in enumerate(zip(operands, steps, strict=True)):
        name = f"{op.name}_{'ab'[position]}"
        if operand.data is not None:
            x = Tensor(operand.name, (spread.values.size,), quantized(operand))
            values = spread.values
            for step in side.values():
                values, x = step.golden([values], [x]), step.infer(name, [x])
            bias = values
            continue
        x = _operand(work, op, position, spread.view)
        for ending, step in side.items():
            x = work.add(name + ending, step, x)
        edges.append(x)
    name = f"{op.name}_sum"
    if len(edges) == 2:
        return work.add(name, Add(), *edges)
    return work.add(name, Requantize.scaled(WIDE, 1, bias), *edges)


def _shifted(shift: int, out: TfTensor, activation: str) -> Requantize:
    """XNNPACK's end of a sum: a half and the zero point are added, then it is shifted."""
    plain = quantized(out)
    clip = meaning.activation_bounds(activation, out.scale, out.zero_point, plain.min, plain.max)
    bias = (out.zero_point << shift) + (1 << (shift - 1))
    qtype = meaning.rounded_down(plain)
    return Requantize.scaled(
        qtype, 1, bias, shift, None if clip == (plain.min, plain.max) else clip
    )


def multiplication(work: TfliteImport, op: TfOperator) -> None:
    """MUL; a tensor of one pixel is the same for all pixels of the other."""
    chosen = options(op, "MulOptions", "FusedActivationFunction")
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    out, tensors = work.output(op), _operands(work, op)
    a, b = (t.scale for t in tensors)
    product = _product(work, op, tensors)
    as_float = float(np.float32(a) * np.float32(b) / np.float32(out.scale))
    by = meaning.plain(meaning.of_width(work.runtime, out.dtype), a * b / out.scale, as_float)
    _give(work, op, product, lambda name: work.rescale(name, product, by, out, activation))


def _product(work: TfliteImport, op: TfOperator, operands: list[TfTensor]) -> Tensor:
    name, shape = f"{op.name}_product", shape_for(op, work.output(op))
    for position, operand in enumerate(operands):
        if operand.data is not None:
            spread = Spread.of(_codes(operand), shape)
            x = _operand(work, op, 1 - position, spread.view)
            mult = spread.values - operand.zero_point
            return work.add(name, Requantize.scaled(WIDE, mult, -x.type.zero_point * mult), x)
    edges = [work.edge(op, n) for n in range(2)]
    if edges[0].size < edges[1].size:
        edges.reverse()
    if edges[0].shape == shape and edges[1].shape == (1, 1, edges[0].channels):
        return work.add(name, Mul(), *edges)
    edges = [
        moves.repeated(work.add, f"{name}_{n}", x, shape) for n, x in zip("ab", edges, strict=True)
    ]
    return work.add(name, Mul(), *edges)


def _operand(work: TfliteImport, op: TfOperator, position: int, view: tuple[int, ...]) -> Tensor:
    """An operand as large as the output, seen as the constants next to it need it."""
    x, name = work.edge(op, position), f"{op.name}_{'ab'[position]}"
    x = moves.repeated(work.add, f"{name}_all", x, shape_for(op, work.output(op)))
    return moves.viewed(work.add, f"{name}_view", x, view)


def _operands(work: TfliteImport, op: TfOperator) -> list[TfTensor]:
    """Both inputs, of which one may be a constant. Raises UserError."""
    if len(op.inputs) != 2 or min(op.inputs) < 0:
        raise UserError(f"has {len(op.inputs)} inputs, two are needed")
    operands = [work.model.tensors[i] for i in op.inputs]
    if all(t.data is not None for t in operands):
        raise UserError("both operands are constants", hint="fold them before quantization")
    return operands


def _codes(constant: TfTensor) -> np.ndarray:
    """A constant operand's integers."""
    quantized(constant)
    assert constant.data is not None
    return constant.data.astype(np.int64)
