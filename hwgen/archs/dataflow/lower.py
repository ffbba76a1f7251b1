"""Lowering: a planned unit and its layers to the gateware that carries it out."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import wiring

from ...errors import UserError
from ...gateware.common.mac import MacParameters
from ...gateware.common.requantizer import RequantParameters
from ...gateware.common.softmax import Softmax
from ...gateware.common.streams import element
from ...gateware.stream.cast import Cast, CastParameters
from ...gateware.stream.conv import Conv, Depths
from ...gateware.stream.dense import Dense
from ...gateware.stream.elementwise import ArgMax, Elementwise, Regroup, Requant
from ...gateware.stream.join_fork import Add, Concat, Fork, Mul
from ...gateware.stream.multi_threshold import MultiThreshold, MultiThresholdParameters
from ...gateware.stream.pad_crop_upsample import Crop, Pad, Upsample
from ...gateware.stream.pool import PoolReduction, StreamPool, WindowPool
from ...gateware.stream.rescaler import RescaleParameters, Rescaler, Rule
from ...gateware.stream.ring_conv import RingConv
from ...gateware.stream.softmax_table import SoftmaxTable
from ...gateware.stream.window_conv import WindowConv
from ...ir import Accumulator, Graph, Tensor, ops
from ...numeric import PowerCode
from ...plan.dataflow.rules.argmax import ArgMaxUnit
from ...plan.dataflow.rules.border import PadUnit, UpsampleUnit
from ...plan.dataflow.rules.cast import CastUnit
from ...plan.dataflow.rules.conv2d import ConvUnit, RingConvUnit
from ...plan.dataflow.rules.dense import DenseUnit
from ...plan.dataflow.rules.join import AddUnit, ConcatUnit, MulUnit
from ...plan.dataflow.rules.multi_threshold import MultiThresholdUnit
from ...plan.dataflow.rules.pool import StreamPoolUnit, WindowPoolUnit
from ...plan.dataflow.rules.requantize import RequantUnit
from ...plan.dataflow.rules.rescale import RescaleUnit
from ...plan.dataflow.rules.slice import CropUnit
from ...plan.dataflow.rules.softmax import SoftmaxTableUnit, SoftmaxUnit
from ...plan.dataflow.units import ForkUnit, MacUnit, RegroupUnit, Unit
from ...plan.exponentials import softmax_powers


@singledispatch
def lower_unit(unit: Unit, graph: Graph, shape: Shape, *others: Shape) -> wiring.Component:
    """The gateware of a unit; ``shape`` (and ``others``) are those of the elements it is given.

    Dispatches on the unit's type: the dataflow architecture's rule for each.
    """
    raise AssertionError(f"no lowering rule for {type(unit).__name__}")


@lower_unit.register
def _(unit: ConvUnit, graph: Graph, shape: Shape) -> Conv:
    return _conv(WindowConv, unit, graph, shape)


@lower_unit.register
def _(unit: RingConvUnit, graph: Graph, shape: Shape) -> Conv:
    return _conv(RingConv, unit, graph, shape)


def _conv(kind: type[Conv], unit: ConvUnit | RingConvUnit, graph: Graph, shape: Shape) -> Conv:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.Conv2D)
    return kind(
        unit.name,
        unit.geometry,
        _matrix(op),
        unit.pe,
        _mac(unit, op, graph, shape),
        requant_parameters(_node(graph, unit.layers[1]), unit.outputs),
        unit.output.lanes,
        Depths(unit.rows, unit.parallel, unit.windows, unit.shadow, unit.fifo),
        pad_value=_operand(graph, unit.layers[0]).type.zero_point,
        dilation=op.dilation,
        groups=op.groups,
    )


@lower_unit.register
def _(unit: DenseUnit, graph: Graph, shape: Shape) -> Dense:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.Dense)
    return Dense(
        unit.name,
        _matrix(op),
        unit.pe,
        _mac(unit, op, graph, shape),
        requant_parameters(_node(graph, unit.layers[1]), unit.outputs),
        unit.output.lanes,
        Depths(shadow=unit.shadow, fifo=unit.fifo),
    )


@lower_unit.register
def _(unit: StreamPoolUnit, graph: Graph, shape: Shape) -> StreamPool:
    name = unit.layers[0]
    result = element(graph.tensors[name].type)
    depths = Depths(fifo=unit.fifo)
    return StreamPool(shape, unit.geometry, _reduction(_node(graph, name)), depths, result)


@lower_unit.register
def _(unit: WindowPoolUnit, graph: Graph, shape: Shape) -> WindowPool:
    depths = Depths(unit.rows, unit.parallel, unit.windows, fifo=unit.fifo)
    name = unit.layers[0]
    result = element(graph.tensors[name].type)
    return WindowPool(shape, unit.geometry, _reduction(_node(graph, name)), depths, result)


@lower_unit.register
def _(unit: RequantUnit, graph: Graph, shape: Shape) -> Requant:
    parameters = requant_parameters(_node(graph, unit.layers[0]), unit.output.channels)
    return Requant(unit.name, shape, unit.input.lanes, parameters, unit.fifo)


@lower_unit.register
def _(unit: RescaleUnit, graph: Graph, shape: Shape) -> Elementwise:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.Rescale)
    mult, shift, bias = (
        tuple(np.broadcast_to(values, unit.output.channels).tolist())
        for values in (op.mult, op.shift, op.bias)
    )
    rule = Rule[op.scaling.name]
    parameters = RescaleParameters(rule, mult, shift, bias, op.offset, op.type, op.clip)
    core = Rescaler(f"{unit.name}_rescale", shape, unit.input.lanes, parameters)
    return Elementwise(core, shape, element(op.type), unit.fifo)


@lower_unit.register
def _(unit: PadUnit, graph: Graph, shape: Shape) -> Pad:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.Pad)
    beats = unit.input.beats // unit.input.pixels
    return Pad(shape, unit.input.lanes, unit.size, beats, unit.pads, op.value, unit.fifo)


@lower_unit.register
def _(unit: CropUnit, graph: Graph, shape: Shape) -> Crop:
    return Crop(shape, unit.input.lanes, unit.kept, unit.fifo)


@lower_unit.register
def _(unit: UpsampleUnit, graph: Graph, shape: Shape) -> Upsample:
    beats = unit.input.beats // unit.input.pixels
    return Upsample(shape, unit.input.lanes, unit.columns, beats, unit.factor, unit.fifo)


@lower_unit.register
def _(unit: MultiThresholdUnit, graph: Graph, shape: Shape) -> Elementwise:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.MultiThreshold)
    out = element(op.type)
    parameters = MultiThresholdParameters(
        tuple(tuple(row) for row in op.rows.tolist()), tuple(op.values.tolist()), out
    )
    core = MultiThreshold(unit.name, shape, unit.input.lanes, unit.input.channels, parameters)
    return Elementwise(core, shape, out, unit.fifo)


@lower_unit.register
def _(unit: CastUnit, graph: Graph, shape: Shape) -> Elementwise:
    node = next(node for node in graph.nodes if node.name == unit.layers[0])
    op, (x,) = node.op, graph.operands(node)
    assert isinstance(op, ops.Cast)
    lanes = unit.input.lanes
    index = []
    for row in op.rows(x).tolist():
        row += [-1] * (-len(row) % lanes)
        index += [tuple(row[n : n + lanes]) for n in range(0, len(row), lanes)]
    parameters = CastParameters(op.types, x.type.frac, op.type, tuple(index))
    core = Cast(unit.name, shape, lanes, parameters)
    return Elementwise(core, shape, element(op.type), unit.fifo)


@lower_unit.register
def _(unit: ArgMaxUnit, graph: Graph, shape: Shape) -> ArgMax:
    return ArgMax(shape, unit.input.channels, unit.fifo)


@lower_unit.register
def _(unit: SoftmaxUnit, graph: Graph, shape: Shape) -> Softmax:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.Softmax)
    powers = softmax_powers(op.mult, op.shift, shape.width)
    return Softmax(unit.name, shape, unit.input.channels, powers, element(op.type), unit.fifo)


@lower_unit.register
def _(unit: SoftmaxTableUnit, graph: Graph, shape: Shape) -> SoftmaxTable:
    op = _node(graph, unit.layers[0])
    assert isinstance(op, ops.SoftmaxTable)
    return SoftmaxTable(
        unit.name,
        shape,
        unit.input.channels,
        op.patterns,
        element(op.type),
        op.type.min if op.steps is None else op.type.zero_point,
        unit.fifo,
        op.steps,
    )


@lower_unit.register
def _(unit: RegroupUnit, graph: Graph, shape: Shape) -> Regroup:
    a, b = unit.input, unit.output
    return Regroup(shape, a.lanes, a.channels, b.lanes, b.channels)


@lower_unit.register
def _(unit: ForkUnit, graph: Graph, shape: Shape) -> Fork:
    return Fork(shape, unit.input.lanes, unit.fifos)


@lower_unit.register
def _(unit: AddUnit, graph: Graph, *shapes: Shape) -> Add:
    node = next(node for node in graph.nodes if node.name == unit.layers[0])
    assert isinstance(node.op, ops.Add)
    result = element(graph.tensors[node.name].type)
    shifts = node.op.shifts(graph.operands(node))
    return Add(shapes, shifts, result, unit.output.lanes, unit.fifo)


@lower_unit.register
def _(unit: MulUnit, graph: Graph, *shapes: Shape) -> Mul:
    node = next(node for node in graph.nodes if node.name == unit.layers[0])
    zeros = [x.type.zero_point for x in graph.operands(node)]
    result = element(graph.tensors[node.name].type)
    return Mul(shapes, zeros, result, unit.output.lanes, unit.fifo)


@lower_unit.register
def _(unit: ConcatUnit, graph: Graph, *shapes: Shape) -> Concat:
    channels = [stream.channels for stream in unit.inputs]
    return Concat(shapes[0], channels, unit.output.lanes, unit.fifo)


def _node(graph: Graph, name: str):
    return next(node.op for node in graph.nodes if node.name == name)


def _operand(graph: Graph, name: str) -> Tensor:
    node = next(node for node in graph.nodes if node.name == name)
    return graph.operands(node)[0]


def _matrix(op: ops.Conv2D | ops.Dense) -> list[list[int]]:
    return op.weights.reshape(-1, op.weights.shape[-1]).tolist()


def _mac(unit: MacUnit, op: ops.Conv2D | ops.Dense, graph: Graph, shape: Shape) -> MacParameters:
    """Arithmetic of the MAC array. Raises UserError where SIMD breaks a given accumulator."""
    node = next(node for node in graph.nodes if node.name == unit.layers[0])
    x = graph.operands(node)[0]
    acc: Tensor = graph.tensors[node.name]
    drop = 0
    if op.accumulator is not None:
        drop = x.type.frac + op.weight_type.frac - op.accumulator.type.frac
        _check_group(unit, op.accumulator)
    powers = PowerCode.of(op.weights, op.weight_type.width)
    ends = (*x.range, x.type.zero_point)
    return MacParameters(
        x=shape,
        w=element(op.weight_type),
        acc=acc.type,
        simd=unit.simd,
        exact=op.accumulator is None,
        drop=drop,
        powers=powers,
        signs=powers is not None and powers.width == 1 and -1 <= min(ends) <= max(ends) <= 1,
    )


def _check_group(unit: MacUnit, acc: Accumulator) -> None:
    if unit.simd != min(acc.group, unit.taps):
        raise UserError(
            f"the model sums {acc.group} products exactly before its accumulator saturates or "
            f"wraps, this plan sums {unit.simd}",
            layer=unit.name,
            hint=f"plan it with SIMD {min(acc.group, unit.taps)}",
        )


def requant_parameters(op: ops.Requantize, channels: int) -> RequantParameters:
    """Parameters for every channel."""
    (shift,) = op.shift.tolist()  # legal.ONE_SHIFT

    def per_channel(values) -> tuple[int, ...]:
        listed = [int(v) for v in values.tolist()]
        return tuple(listed * channels if len(listed) == 1 else listed)

    split_at, bias_below = (None if a is None else per_channel(a) for a in (op.pivot, op.below))
    return RequantParameters(
        per_channel(op.mult),
        per_channel(op.bias),
        shift,
        op.type,
        op.clip,
        split_at,
        bias_below,
    )


def _reduction(op: ops.Pool) -> PoolReduction:
    return PoolReduction.MAX if isinstance(op, ops.MaxPool) else PoolReduction.SUM
